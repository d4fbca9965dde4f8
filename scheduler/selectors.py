"""Whether a CEL selector of a DeviceClass or a claim matches a device, as the API server has it.

Evaluated by Google's runtime (`cel-expr-python`) with the functions that Kubernetes adds for
devices: `semver`, `quantity` and their comparisons, as maps of one key because the runtime takes no
types of ours. What it cannot compile or evaluate has no answer here, and a claim with such a
selector is not predicted. Answers are kept by what the expression can see of a device, so that
thousands of equal GPUs cost one evaluation.
"""

import re
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from cel_expr_python import cel
from cel_expr_python.ext.ext_bindings import ExtBindings
from cel_expr_python.ext.ext_optional import ExtOptional
from cel_expr_python.ext.ext_strings import ExtStrings

from fleet.quantities import quantity
from scheduler.first_fit import Device, UnpredictableError

LENGTH_MAX: Final = 10 * 2**10
"""Of an expression, as the API server has it."""
_KEPT_MAX: Final = 4096
_COMPILED_MAX: Final = 512
_VERSION: Final = re.compile(r"(\d{1,9})\.(\d{1,9})\.(\d{1,9})(-[0-9A-Za-z.-]+)?(\+.*)?")
_QUOTED: Final = re.compile(r"""["']([^"']*)["']""")
_ASKED_FOR: Final = re.compile(r"""["']([^"']*)["']\s+in\s+device\.""")
_KIND_VERSION: Final = "version"
_KIND_QUANTITY: Final = "quantity"

_Own = Mapping[str, str]
"""A value of one of Kubernetes' types: its kind, and its text."""


class UnknownMatchError(UnpredictableError):
    """It is unknown whether the selector matches; the message says why."""


@dataclass(frozen=True, slots=True)
class Version:
    """An attribute that is a semantic version."""

    text: str


@dataclass(frozen=True, slots=True)
class Amount:
    """A capacity, as Kubernetes writes quantities."""

    text: str


def matches(expression: str, device: Device) -> bool:
    """Whether the device is selected.

    Raises:
        UnknownMatchError: with the reason.
    """
    seen = tuple(
        sorted(
            (
                (name, value)
                for name, value in device.attributes.items()
                if name.rpartition("/")[2] in expression
            ),
            key=lambda one: one[0],
        )
    )
    return _matches(expression, device.driver, seen)


@lru_cache(_KEPT_MAX)
def _matches(expression: str, driver: str, seen: tuple[tuple[str, Hashable], ...]) -> bool:
    # A domain that a device has nothing of is empty and not missing, unless `in` asks for it.
    domains = {driver, *_QUOTED.findall(expression)} - set(_ASKED_FOR.findall(expression))
    attributes: dict[str, dict[str, object]] = {domain: {} for domain in domains}
    capacity: dict[str, dict[str, object]] = {domain: {} for domain in domains}
    for name, value in seen:
        domain, _, short = name.rpartition("/")
        match value:
            case Amount(text):
                capacity.setdefault(domain, {})[short] = {_KIND_QUANTITY: text}
            case Version(text):
                attributes.setdefault(domain, {})[short] = {_KIND_VERSION: text}
            case _:
                attributes.setdefault(domain, {})[short] = value
    variables = {"driver": driver, "attributes": attributes, "capacity": capacity}
    try:
        answer = _compiled(expression).eval(data={"device": variables}).plain_value()
    except (RuntimeError, TypeError, ValueError, ArithmeticError) as error:
        raise UnknownMatchError(f"{expression[:128]!r}: {str(error)[:128]}") from error
    if not isinstance(answer, bool):
        raise UnknownMatchError(f"{expression[:128]!r}: {str(answer)[:128]}")
    return answer


@lru_cache(_COMPILED_MAX)
def _compiled(expression: str) -> Any:
    if len(expression) > LENGTH_MAX:
        raise UnknownMatchError(f"a selector of {len(expression)} characters")
    try:
        return _environment().compile(expression)
    except Exception as error:  # the runtime promises none in particular
        raise UnknownMatchError(f"{expression[:128]!r} does not compile here") from error


@lru_cache(1)
def _environment() -> Any:
    own, text, whole = cel.Type.Map(cel.Type.STRING, cel.Type.STRING), cel.Type.STRING, cel.Type.INT

    def made(name: str, kind: str) -> Any:
        overload = cel.Overload(
            f"string_to_{kind}", return_type=own, parameters=[text], impl=lambda told: {kind: told}
        )
        return cel.FunctionDecl(name, [overload])

    def compared(name: str, returns: Any, impl: Callable[[_Own, _Own], object]) -> Any:
        overload = cel.Overload(
            f"own_{name}", return_type=returns, parameters=[own, own], is_member=True, impl=impl
        )
        return cel.FunctionDecl(name, [overload])

    return cel.NewEnv(
        variables={"device": cel.Type.DYN},
        extensions=[ExtBindings(), ExtOptional(), ExtStrings()],
        functions=[
            made("quantity", _KIND_QUANTITY),
            made("semver", _KIND_VERSION),
            compared("compareTo", whole, _compare),
            compared("isGreaterThan", cel.Type.BOOL, lambda a, b: _compare(a, b) > 0),
            compared("isLessThan", cel.Type.BOOL, lambda a, b: _compare(a, b) < 0),
        ],
    )


def _compare(one: _Own, other: _Own) -> int:
    """-1, 0 or 1.

    Raises:
        ValueError: they are of two kinds, or one is not of its own.
    """
    left, right = _ordered(one), _ordered(other)
    if left[0] != right[0]:
        raise ValueError(f"{left[0]} compared with {right[0]}")
    return (left > right) - (left < right)


def _ordered(value: _Own) -> tuple[Any, ...]:
    ((kind, text),) = value.items()
    if kind == _KIND_QUANTITY:
        return kind, quantity(text)
    match = _VERSION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:64]!r} is no version such as 9.0.0")
    numbers = tuple(int(part) for part in match.groups()[:3])
    # What is before a release is older than it.
    return kind, numbers, match[4] is None, match[4] or ""
