"""Which devices of a node kube-scheduler's DRA allocator will give a claim.

The allocator takes the first solution of a depth-first search: requests in order, the alternatives
of `firstAvailable` in order, devices in the order of pools, slices and their lists (the
"incubating" allocator of Kubernetes 1.34 to 1.37). No score takes part, so the answer is known
beforehand. Covered: exact counts, all matching devices, alternatives, and `matchAttribute`;
partitionable devices and consumable capacity are not.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

Attributes = Mapping[str, Hashable]


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One device of a node."""

    driver: str
    pool: str
    slice: str
    index: int
    """Its place in the slice's list."""
    name: str
    attributes: Attributes = field(default_factory=dict)
    """By qualified name, such as `gpu.nvidia.com/productName`."""
    is_free: bool = True

    @property
    def place(self) -> tuple[str, str, str]:
        """What an allocation calls it by."""
        return self.driver, self.pool, self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """One way to meet a request."""

    name: str
    matches: Callable[[Device], bool]
    """Class and selectors together."""
    count: int | None = 1
    """None = all matching devices, at least one, none of them in use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """`exactly` with one alternative, or `firstAvailable` with several."""

    name: str
    alternatives: tuple[Alternative, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchAttribute:
    """All devices of these requests have the attribute, with one value."""

    attribute: str
    requests: frozenset[str] = frozenset()
    """Names of requests, or `request/alternative`; empty = all."""

    def covers(self, request: Request, alternative: Alternative) -> bool:
        names = {request.name, f"{request.name}/{alternative.name}"}
        return not self.requests or bool(self.requests & names)


@dataclass(frozen=True, slots=True)
class Given:
    """A device, and the request that it is given to."""

    request: str
    alternative: str
    device: Device


Values = Mapping[str, Hashable]


STEPS_MAX: Final = 20_000
"""Devices looked at before a search is given up; an ordinary claim takes a few dozen."""


class SearchTooLongError(ValueError):
    """The claim is so entangled that the allocator itself would be slow to answer."""


def first_fit(
    devices: Sequence[Device],
    requests: Sequence[Request],
    constraints: Sequence[MatchAttribute] = (),
) -> tuple[Given, ...] | None:
    """What the allocator gives, in its order; None if the claim does not fit on these devices.

    Raises:
        SearchTooLongError: after `STEPS_MAX` devices.
    """
    ordered = sorted(devices, key=lambda d: (d.driver, d.pool, d.slice, d.index))
    search = _Search(tuple(constraints), iter(range(STEPS_MAX)))
    return next(search.solutions(ordered, tuple(requests), frozenset(), {}), None)


@dataclass(frozen=True, slots=True)
class _Search:
    constraints: tuple[MatchAttribute, ...]
    steps: Iterator[int]

    def solutions(
        self,
        devices: Sequence[Device],
        requests: tuple[Request, ...],
        used: frozenset[tuple[str, str, str]],
        values: Values,
    ) -> Iterator[tuple[Given, ...]]:
        """Every way to meet the requests, in the order in which the allocator would meet it."""
        if not requests:
            yield ()
            return
        request, *rest = requests
        for alternative in request.alternatives:
            binding = [one for one in self.constraints if one.covers(request, alternative)]
            for chosen, bound in self._choices(devices, alternative, binding, used, values):
                taken = used | {device.place for device in chosen}
                for tail in self.solutions(devices, tuple(rest), taken, bound):
                    yield (
                        *(Given(request.name, alternative.name, device) for device in chosen),
                        *tail,
                    )

    def _choices(
        self,
        devices: Sequence[Device],
        alternative: Alternative,
        constraints: Sequence[MatchAttribute],
        used: frozenset[tuple[str, str, str]],
        values: Values,
    ) -> Iterator[tuple[tuple[Device, ...], Values]]:
        matching = [device for device in devices if alternative.matches(device)]
        open_ = [device for device in matching if device.is_free and device.place not in used]
        count = alternative.count
        if count is None:
            if not matching or len(open_) < len(matching):
                return
            count = len(matching)
        yield from self._ascending(open_, count, constraints, values)

    def _ascending(
        self,
        devices: Sequence[Device],
        count: int,
        constraints: Sequence[MatchAttribute],
        values: Values,
    ) -> Iterator[tuple[tuple[Device, ...], Values]]:
        """Every choice of `count` devices; what fails in one order fails in every other."""
        if count == 0:
            yield (), values
            return
        for at, device in enumerate(devices[: max(len(devices) - count + 1, 0)]):
            if next(self.steps, None) is None:
                raise SearchTooLongError(f"no answer after {STEPS_MAX} devices")
            bound = _bound(device, constraints, values)
            if bound is not None:
                for tail, final in self._ascending(
                    devices[at + 1 :], count - 1, constraints, bound
                ):
                    yield (device, *tail), final


def _bound(device: Device, constraints: Sequence[MatchAttribute], values: Values) -> Values | None:
    """The values that devices must have from here on; None if this one has another."""
    bound = dict(values)
    for constraint in constraints:
        value = device.attributes.get(constraint.attribute)
        key = f"{constraint.attribute} {sorted(constraint.requests)}"
        if value is None or bound.setdefault(key, value) != value:
            return None
    return bound
