"""What a ResourceClaim asks for and was given, as the allocator's prediction takes it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from fleet.cluster import claims as records
from fleet.cluster.devices import Place
from scheduler.first_fit import Alternative, Device, MatchAttribute, Request
from scheduler.selectors import matches, steps_of

SELECTORS_MAX: Final = 8 * 2**10
"""Characters of a pod's claims and their classes: to compile them takes twenty milliseconds."""
Classes = Mapping[str, Sequence[str]]
"""Selectors of each DeviceClass, by name."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim, or those of a pod together."""

    key: str
    """Equal for claims that ask for the same."""
    requests: tuple[Request, ...] = field(compare=False, default=())
    constraints: tuple[MatchAttribute, ...] = field(compare=False, default=())
    expressions: frozenset[str] = field(compare=False, default=frozenset())
    """CEL selectors of its requests and their classes."""
    given: tuple[Place, ...] | None = None
    """None = not allocated yet."""


def claim_of(claim: records.Claim, classes: Classes) -> Claim:
    """The claim for the prediction.

    Raises:
        ValueError: it names a class that is not known, or is of a kind that is not predicted:
            consumable capacity, administrators' access, `distinctAttribute`, or has selectors that
            are too long.
    """
    if claim.grants is not None:
        return Claim(key="", given=given_to(claim))
    asked = [one for request in claim.requests for one in request.alternatives]
    names = sorted({one.device_class for one in asked})
    selectors = {name: list(classes.get(name, ())) for name in names}
    expressions = frozenset(
        expression
        for some in (*selectors.values(), *(one.selectors for one in asked))
        for expression in some
    )
    if sum(map(len, expressions)) > SELECTORS_MAX:
        raise ValueError(f"selectors of more than {SELECTORS_MAX} characters are not predicted")
    return Claim(
        key=repr((claim.requests, claim.constraints, selectors)),
        requests=tuple(_request(one, classes) for one in claim.requests),
        constraints=tuple(map(_constraint, claim.constraints)),
        expressions=expressions,
    )


def given_to(claim: records.Claim) -> tuple[Place, ...]:
    """The devices that the claim takes; those with an administrator's access are not taken."""
    return tuple(one.place for one in claim.grants or () if not one.admin_access)


def selector_characters(claims: Sequence[Claim]) -> int:
    """Of all selectors that the claims have."""
    expressions = frozenset[str]().union(*(claim.expressions for claim in claims))
    return sum(map(len, expressions))


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
        expressions=frozenset[str]().union(*(claim.expressions for claim in claims)),
    )


def _request(request: records.Request, classes: Classes) -> Request:
    return Request(
        name=request.name,
        alternatives=tuple(_alternative(one, classes) for one in request.alternatives),
    )


def _alternative(asked: records.Alternative, classes: Classes) -> Alternative:
    if asked.device_class not in classes:
        raise ValueError(f"DeviceClass {asked.device_class} is not known")
    for name, is_asked in (
        ("adminAccess", asked.admin_access),
        ("capacity", asked.asks_capacity),
    ):
        if is_asked:
            raise ValueError(f"{name} is not predicted")
    expressions = [*classes[asked.device_class], *asked.selectors]

    def selected(device: Device) -> bool:
        return all(matches(expression, device) for expression in expressions)

    return Alternative(
        name=asked.name,
        matches=selected,
        count=asked.count,
        tolerations=asked.tolerations,
        steps=max(1, sum(map(steps_of, expressions)) - len(expressions)),
    )


def _constraint(constraint: records.Constraint) -> MatchAttribute:
    if constraint.distinct:
        raise ValueError("only matchAttribute is predicted")
    return MatchAttribute(attribute=constraint.attribute, requests=frozenset(constraint.requests))
