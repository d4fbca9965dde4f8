"""A ResourceClaim: what it asks of DRA, what it was given, and which pods hold it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from fleet.cluster.classes import selectors_of
from fleet.cluster.devices import Place, memory_bytes
from fleet.cluster.fields import (
    Json,
    Toleration,
    UnreadableObjectError,
    amounts,
    listed,
    namespaced_name_of,
    part,
    text,
    texts,
    tolerations,
    whole_number,
)

REQUESTS_MAX: Final = 32
"""Of a claim, by the API."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """`exactly`, or one entry of `firstAvailable`."""

    name: str = ""
    device_class: str
    selectors: tuple[str, ...] = ()
    count: int | None = 1
    """None = all devices that match."""
    admin_access: bool = False
    asks_capacity: bool = False
    """It asks for a part of devices that several claims share."""
    tolerations: tuple[Toleration, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request of a claim, with the alternatives that meet it, the best first."""

    name: str
    alternatives: tuple[Alternative, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """What the devices of several requests must have in common, or must not."""

    attribute: str
    requests: tuple[str, ...] = ()
    """Empty = all."""
    distinct: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A device that a claim was given."""

    place: Place
    admin_access: bool = False
    """An administrator looks at it, and takes nothing."""
    consumed: Mapping[str, str]
    """Of a device that several claims share, by capacity."""

    @property
    def consumed_bytes(self) -> float | None:
        """Memory that it takes of a shared device; None = it takes the whole device."""
        return memory_bytes(self.consumed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A ResourceClaim."""

    name: str
    """With its namespace."""
    uid: str
    requests: tuple[Request, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    grants: tuple[Grant, ...] | None = None
    """None = nothing was allocated to it yet."""
    pods: tuple[str, ...] = ()
    """That hold it, with their namespace."""


def claim_of(document: Json) -> Claim:
    """The claim of an API object.

    Raises:
        UnreadableObjectError: with the field that is not as the API has it.
    """
    name, spec, status = (
        namespaced_name_of(document),
        part(document, "spec", "devices"),
        part(document, "status"),
    )
    requests = tuple(map(_request, listed(spec, "requests")))
    if len(requests) > REQUESTS_MAX:
        raise UnreadableObjectError(f"{len(requests)} requests; the API allows {REQUESTS_MAX}")
    namespace = name.partition("/")[0]
    allocated = status.get("allocation") is not None
    return Claim(
        name=name,
        uid=text(part(document, "metadata"), "uid") or "",
        requests=requests,
        constraints=tuple(map(_constraint, listed(spec, "constraints"))),
        grants=tuple(_grants(part(status, "allocation", "devices"))) if allocated else None,
        pods=tuple(
            f"{namespace}/{text(one, 'name')}"
            for one in listed(status, "reservedFor")
            if text(one, "resource") == "pods"
        ),
    )


def _request(document: Json) -> Request:
    exactly = part(document, "exactly")
    alternatives = [exactly] if exactly else list(listed(document, "firstAvailable"))
    name = text(document, "name") or ""
    if not alternatives:
        raise UnreadableObjectError(f"request {name}: neither exactly nor firstAvailable")
    return Request(name=name, alternatives=tuple(map(_alternative, alternatives)))


def _alternative(document: Json) -> Alternative:
    every = text(document, "allocationMode") == "All"
    count = whole_number(document, "count")
    return Alternative(
        name=text(document, "name") or "",
        device_class=text(document, "deviceClassName") or "",
        selectors=selectors_of(document),
        count=None if every else 1 if count is None else count,
        admin_access=document.get("adminAccess") is True,
        asks_capacity=bool(part(document, "capacity")),
        tolerations=tolerations(document),
    )


def _constraint(document: Json) -> Constraint:
    matched, distinct = text(document, "matchAttribute"), text(document, "distinctAttribute")
    attribute = matched or distinct
    if attribute is None:
        raise UnreadableObjectError("a constraint that names no attribute")
    return Constraint(
        attribute=attribute, requests=texts(document, "requests"), distinct=matched is None
    )


def _grants(devices: Json) -> Iterator[Grant]:
    for one in listed(devices, "results"):
        consumed = amounts(one, "consumedCapacity")
        yield Grant(
            place=(
                text(one, "driver") or "",
                text(one, "pool") or "",
                text(one, "device") or "",
            ),
            admin_access=one.get("adminAccess") is True,
            consumed={name: str(part(one, "consumedCapacity")[name]) for name in consumed},
        )
