"""Fields of an API object, read once into a record.

The API server checks the structure of what it serves, so an object that is built otherwise is no
object of its kind: `UnreadableObjectError` names the field. Labels and annotations are free text
that anybody may write: whatever depends on one is unknown when it makes no sense.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from sys import intern
from typing import Final

from fleet.quantities import quantity

Json = Mapping[str, object]
_WHOLE_MAX: Final = 2**63
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_DURATION_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION_CHARACTERS_MAX: Final = 64
"""The regular expression takes quadratic time."""
_DURATION_SECONDS_MAX: Final = 2.0**63 / 1e9
"""Go has no longer one."""
_YEAR_MIN, _YEAR_MAX = 1970, 9000
"""A tenant may write any: the sum of a moment and a duration is still a date that can be shown."""


class UnreadableObjectError(ValueError):
    """An object that is not as the API has it; the message names the field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """An object that could not be read: it is there, and nothing more is known of it."""

    name: str
    """With its namespace, where it has one."""
    uid: str
    why: str


def as_object(value: object, name: str) -> Json:
    """An object.

    Raises:
        UnreadableObjectError: it is something else.
    """
    # Of what JSON and YAML are read into; the general test for mappings is five times slower.
    if not isinstance(value, dict):
        raise UnreadableObjectError(f"{name} is {type(value).__name__}, not an object")
    return value


def part(of: Json, *names: str) -> Json:
    """The object at a path, empty where there is none.

    Raises:
        UnreadableObjectError: something else is there.
    """
    for name in names:
        value = of.get(name)
        of = {} if value is None else as_object(value, name)
    return of


def listed(of: Json, name: str) -> Iterator[Json]:
    """The objects of a list, none where there is none.

    Raises:
        UnreadableObjectError: it is no list of objects.
    """
    value = of.get(name)
    if value is not None and not isinstance(value, list):
        raise UnreadableObjectError(f"{name} is {type(value).__name__}, not a list")
    for entry in value or ():
        yield as_object(entry, f"an entry of {name}")


def text(of: Json, name: str) -> str | None:
    """A text that is not empty."""
    value = of.get(name)
    return value if isinstance(value, str) and value else None


def texts(of: Json, name: str) -> tuple[str, ...]:
    """The texts of a list."""
    value = of.get(name)
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


def whole_number(of: Json, name: str) -> int | None:
    """An integer of 64 bits, as the API has it; a file may hold any."""
    value = of.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > _WHOLE_MAX:
        return None
    return value


def amounts(of: Json, name: str) -> Mapping[str, Fraction]:
    """Quantities by the name of the resource.

    Raises:
        UnreadableObjectError: one is no quantity, or is below 0.
    """
    found = {}
    for resource, value in part(of, name).items():
        try:
            amount = quantity(value)
        except ValueError as error:
            raise UnreadableObjectError(f"{name}: {resource}: {error}") from error
        if amount < 0:
            raise UnreadableObjectError(f"{name}: {resource} is {value!r}, below 0")
        found[intern(resource)] = amount
    return found


def strings(of: Json, name: str) -> Mapping[str, str]:
    """Labels or annotations; a value that is no text is left out."""
    # Thousands of objects have the same few keys and values.
    return {
        intern(key): intern(value)
        for key, value in part(of, name).items()
        if isinstance(value, str)
    }


def seconds(of: Json, name: str) -> float | None:
    """A time stamp in seconds since 1970; None = there is none that can be read, or that is meant.

    Without a zone it is of UTC, as all of Kubernetes' are.
    """
    try:
        stamp = datetime.fromisoformat(text(of, name) or "")
    except ValueError:
        return None
    if not _YEAR_MIN <= stamp.year <= _YEAR_MAX:
        return None
    return (stamp if stamp.tzinfo is not None else stamp.replace(tzinfo=UTC)).timestamp()


def go_duration_seconds(given: object) -> float | None:
    """The seconds of a duration of Go's such as `1h30m0s`; None = it is none."""
    if not isinstance(given, str) or len(given) > _DURATION_CHARACTERS_MAX:
        return None
    parts = _DURATION.findall(given)
    if not parts or "".join(number + unit for number, unit in parts) != given:
        return None
    found = sum(float(number) * _DURATION_UNITS[unit] for number, unit in parts)
    return found if found <= _DURATION_SECONDS_MAX else None


def name_of(document: Json) -> str:
    """The name, with the namespace where the object has one.

    Raises:
        UnreadableObjectError: it has no name.
    """
    metadata = part(document, "metadata")
    name, namespace = text(metadata, "name"), text(metadata, "namespace")
    if name is None:
        raise UnreadableObjectError("metadata.name is missing")
    return name if namespace is None else f"{namespace}/{name}"


def namespaced_name_of(document: Json) -> str:
    """The name with the namespace, which is `default` where a file leaves it out.

    Raises:
        UnreadableObjectError: it has no name.
    """
    name = name_of(document)
    return name if "/" in name else f"default/{name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Taint:
    """Of a node or a device."""

    key: str
    value: str = ""
    effect: str = ""

    @property
    def repels(self) -> bool:
        """Nothing new comes that does not tolerate it."""
        return self.effect in {"NoSchedule", "NoExecute"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Toleration:
    """Of a taint; an empty key tolerates every key, an empty effect every effect."""

    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""

    def covers(self, taint: Taint) -> bool:
        """Whether it tolerates the taint, as kube-scheduler has it."""
        if self.effect and self.effect != taint.effect:
            return False
        if self.key and self.key != taint.key:
            return False
        return self.operator == "Exists" or (bool(self.key) and self.value == taint.value)


def tolerations(of: Json) -> tuple[Toleration, ...]:
    """The tolerations of a request."""
    return tuple(
        Toleration(
            key=text(one, "key") or "",
            operator=text(one, "operator") or "Equal",
            value=text(one, "value") or "",
            effect=text(one, "effect") or "",
        )
        for one in listed(of, "tolerations")
    )


def taints(of: Json) -> tuple[Taint, ...]:
    """The taints of a spec or a device."""
    return tuple(map(taint, listed(of, "taints")))


def taint(document: Json) -> Taint:
    """A taint as the API writes it."""
    return Taint(
        key=intern(text(document, "key") or ""),
        value=text(document, "value") or "",
        effect=intern(text(document, "effect") or ""),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One entry of `status.conditions`."""

    type: str
    status: str
    """True, False or Unknown."""
    reason: str = ""
    since_seconds: float | None = None
    """When the status last changed; None = not told."""

    @property
    def holds(self) -> bool:
        return self.status == "True"


def conditions(status: Json) -> tuple[Condition, ...]:
    """The conditions of a status."""
    return tuple(
        Condition(
            type=intern(text(one, "type") or ""),
            status=intern(text(one, "status") or ""),
            reason=intern(text(one, "reason") or ""),
            since_seconds=seconds(one, "lastTransitionTime"),
        )
        for one in listed(status, "conditions")
    )


def condition(among: tuple[Condition, ...], kind: str) -> Condition | None:
    """The condition of a type."""
    return next((one for one in among if one.type == kind), None)
