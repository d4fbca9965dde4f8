"""What a ResourceClaim asks for and was given, as the allocator's prediction takes it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from scheduler.first_fit import Alternative, Device, MatchAttribute, Request, Toleration
from scheduler.selectors import matches

Json = Mapping[str, object]
Classes = Mapping[str, Sequence[str]]
"""Selectors of each DeviceClass, by name."""

_REQUESTS_MAX: Final = 32
Place = tuple[str, str, str]
"""Driver, pool and name of a device."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim, or those of a pod together."""

    key: str
    """Equal for claims that ask for the same."""
    requests: tuple[Request, ...] = field(compare=False, default=())
    constraints: tuple[MatchAttribute, ...] = field(compare=False, default=())
    given: tuple[Place, ...] | None = None
    """None = not allocated yet."""


def claim_of(document: Json, classes: Classes) -> Claim:
    """The claim of an API object.

    Raises:
        ValueError: with the field that is not as the API has it, or of a kind that is not
            predicted: consumable capacity, administrators' access.
    """
    given = _given(document)
    if given is not None:
        return Claim(key="", given=given)
    spec = _object(_object(document.get("spec"), "spec").get("devices") or {}, "spec.devices")
    requests = _listed(spec, "requests")
    if len(requests) > _REQUESTS_MAX:
        raise ValueError(f"{len(requests)} requests; at most {_REQUESTS_MAX}")
    names = {str(alternative.get("deviceClassName")) for alternative in _alternatives(requests)}
    key = json.dumps([spec, {name: list(classes.get(name, ())) for name in sorted(names)}])
    return Claim(
        key=key,
        requests=tuple(_request(one, classes) for one in requests),
        constraints=tuple(_constraint(one) for one in _listed(spec, "constraints")),
    )


def together(claims: Sequence[Claim]) -> Claim:
    """The claims of one pod, none of them allocated yet, as one."""
    if len(claims) == 1:
        return claims[0]
    requests: list[Request] = []
    constraints: list[MatchAttribute] = []
    for at, claim in enumerate(claims):
        # Two claims may use one name; a constraint covers the requests of its own claim.
        requests += [
            Request(name=f"{at}.{one.name}", alternatives=one.alternatives)
            for one in claim.requests
        ]
        covered = [one.name for one in claim.requests]
        constraints += [
            MatchAttribute(
                attribute=one.attribute,
                requests=frozenset(f"{at}.{name}" for name in one.requests or covered),
            )
            for one in claim.constraints
        ]
    return Claim(
        key="\n".join(claim.key for claim in claims),
        requests=tuple(requests),
        constraints=tuple(constraints),
    )


def _alternatives(requests: Sequence[Json]) -> list[Json]:
    return [
        alternative
        for request in requests
        for alternative in (
            [_object(request["exactly"], "exactly")]
            if request.get("exactly") is not None
            else _listed(request, "firstAvailable")
        )
    ]


def _request(document: Json, classes: Classes) -> Request:
    alternatives = _alternatives([document])
    if not alternatives:
        raise ValueError(f"request {document.get('name')}: neither exactly nor firstAvailable")
    return Request(
        name=str(document.get("name")),
        alternatives=tuple(_alternative(one, classes) for one in alternatives),
    )


def _alternative(document: Json, classes: Classes) -> Alternative:
    class_name = str(document.get("deviceClassName"))
    if class_name not in classes:
        raise ValueError(f"DeviceClass {class_name} is not known")
    for field_name in ("adminAccess", "capacity"):
        if document.get(field_name):
            raise ValueError(f"{field_name} is not predicted")
    expressions = [*classes[class_name], *selectors_of(document)]

    def selected(device: Device) -> bool:
        return all(matches(expression, device) for expression in expressions)

    every = document.get("allocationMode") == "All"
    return Alternative(
        name=str(document.get("name", "")),
        matches=selected,
        count=None if every else int(str(document.get("count", 1))),
        tolerations=tuple(
            Toleration(
                key=str(one.get("key", "")),
                operator=str(one.get("operator", "Equal")),
                value=str(one.get("value", "")),
                effect=str(one.get("effect", "")),
            )
            for one in _listed(document, "tolerations")
        ),
    )


def selectors_of(spec: Json) -> list[str]:
    """The CEL expressions of a DeviceClass's or a request's selectors."""
    return [
        str(_object(one.get("cel"), "a selector's cel").get("expression"))
        for one in _listed(spec, "selectors")
    ]


def _constraint(document: Json) -> MatchAttribute:
    attribute = document.get("matchAttribute")
    if not isinstance(attribute, str):
        raise ValueError("only matchAttribute is predicted")  # noqa: TRY004
    return MatchAttribute(
        attribute=attribute,
        requests=frozenset(map(str, document.get("requests") or [])),  # type: ignore[call-overload]
    )


def _given(document: Json) -> tuple[Place, ...] | None:
    status = _object(document.get("status") or {}, "status")
    if status.get("allocation") is None:
        return None
    devices = _object(_object(status["allocation"], "allocation").get("devices") or {}, "devices")
    return tuple(
        (str(one.get("driver")), str(one.get("pool")), str(one.get("device")))
        for one in _listed(devices, "results")
        if not one.get("adminAccess")  # an administrator looks on, and takes nothing
    )


def _object(value: object, name: str) -> Json:
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} is {type(value).__name__}, not an object")  # noqa: TRY004
    return value


def _listed(of: Json, name: str) -> list[Json]:
    value = of.get(name) or []
    if not isinstance(value, list):
        raise ValueError(f"{name} is {type(value).__name__}, not a list")  # noqa: TRY004
    return [_object(one, f"an entry of {name}") for one in value]
