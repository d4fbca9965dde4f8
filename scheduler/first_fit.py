"""Which devices of a node kube-scheduler's DRA allocator will give a claim.

The allocator takes the first solution of a depth-first search: requests in order, the alternatives
of `firstAvailable` in order, devices in the order of pools, slices and their lists (the
"incubating" allocator of Kubernetes 1.34 to 1.37). No score takes part, so the answer is known
beforehand. Covered: exact counts, all matching devices, alternatives, `matchAttribute`, and taints.
A search that comes to a device whose use cannot be predicted has no answer.

Sets of devices are bits of an integer, the first device the lowest. Counts are compared before the
search, and a state that failed is not tried again, so that equal requests cost no permutations.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from fleet.cluster.fields import Taint, Toleration

Attributes = Mapping[str, Hashable]
STEPS_MAX: Final = 1_000
"""Devices looked at before a search is given up; an ordinary claim takes a few dozen."""
_NO_VALUE: Final = object()


class UnpredictableError(ValueError):
    """It cannot be predicted what the allocator will do; the message says why."""


class SearchTooLongError(UnpredictableError):
    """The claim is so entangled that the allocator itself would be slow to answer."""


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
    taints: tuple[Taint, ...] = ()
    unpredictable: str | None = None
    """Why its use cannot be predicted, such as counters it shares with others; None = it can."""

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
    tolerations: tuple[Toleration, ...] = ()
    steps: int = 1
    """Work of one match at the most."""

    def tolerates(self, device: Device) -> bool:
        """Whether every taint that keeps pods away is tolerated."""
        return all(
            not taint.repels or any(one.covers(taint) for one in self.tolerations)
            for taint in device.taints
        )


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


class Steps:
    """How much work is left."""

    def __init__(self, most: int) -> None:
        self.left = most

    def take(self, devices: int = 1) -> None:
        """So many devices are looked at.

        Raises:
            SearchTooLongError: no work is left.
        """
        self.left -= devices
        if self.left < 0:
            raise SearchTooLongError("no answer within the bound on looked-at devices")


def first_fit(
    devices: Sequence[Device],
    requests: Sequence[Request],
    constraints: Sequence[MatchAttribute] = (),
) -> tuple[Given, ...] | None:
    """What the allocator gives, in its order; None if the claim does not fit on these devices.

    Raises:
        UnpredictableError: the result is unknown; `SearchTooLongError` after `STEPS_MAX` devices.
    """
    search = Search(devices, requests, constraints)
    return search.first(search.free_mask(lambda one: one.is_free), Steps(STEPS_MAX))


_Values = tuple[object, ...]
"""The value that each constraint has been bound to so far."""
_Chosen = tuple[tuple[int, int, int], ...]
"""Request, alternative and device, by their places."""


class Search:
    """One claim over one node's devices, of which different ones are free from time to time."""

    def __init__(
        self,
        devices: Sequence[Device],
        requests: Sequence[Request],
        constraints: Sequence[MatchAttribute] = (),
    ) -> None:
        self.devices = sorted(devices, key=lambda d: (d.driver, d.pool, d.slice, d.index))
        self._requests = tuple(requests)
        self._constraints = tuple(constraints)
        self._odd = self.free_mask(lambda one: one.unpredictable is not None)
        self._matching: dict[tuple[int, int], tuple[int, int]] = {}
        self._having: dict[tuple[str, object], int] = {}

    def free_mask(self, is_free: Callable[[Device], bool]) -> int:
        """The devices for which it holds."""
        return sum(1 << at for at, device in enumerate(self.devices) if is_free(device))

    def first(self, free: int, steps: Steps) -> tuple[Given, ...] | None:
        """What the allocator gives where these devices are free; None if the claim does not fit.

        Raises:
            UnpredictableError: the result is unknown.
        """
        if self._is_short(free, steps):
            return None
        values: _Values = (_NO_VALUE,) * len(self._constraints)
        found = self._solved(0, free, values, steps, set())
        if found is None:
            return None
        return tuple(
            Given(
                self._requests[request].name,
                self._requests[request].alternatives[alternative].name,
                self.devices[device],
            )
            for request, alternative, device in found
        )

    def _matched(self, request: int, alternative: int, steps: Steps) -> tuple[int, int]:
        """Devices that the selectors match, and those of them whose taints are tolerated."""
        key = request, alternative
        if key not in self._matching:
            one = self._requests[request].alternatives[alternative]
            steps.take(len(self.devices) * one.steps)
            matching = self.free_mask(one.matches)
            self._matching[key] = matching, matching & self.free_mask(one.tolerates)
        return self._matching[key]

    def _is_short(self, free: int, steps: Steps) -> bool:
        """Whether some requests together ask for more devices than all that any of them matches.

        By Hall's theorem; sets of requests are those within what one request can use.
        """
        wanted: list[tuple[int, int]] = []
        for at, request in enumerate(self._requests):
            usable, least = 0, None
            for place, alternative in enumerate(request.alternatives):
                try:
                    matching, tolerated = self._matched(at, place, steps)
                except SearchTooLongError:
                    raise
                except UnpredictableError:
                    return False  # the search says so, should it come to it
                usable |= tolerated
                count = matching.bit_count() if alternative.count is None else alternative.count
                least = count if least is None else min(least, count)
            wanted.append((usable, least or 0))
        return any(
            not usable & self._odd
            and sum(count for other, count in wanted if other & ~usable == 0)
            > (usable & free).bit_count()
            for usable in {usable for usable, _ in wanted}
        )

    def _solved(
        self,
        at: int,
        free: int,
        values: _Values,
        steps: Steps,
        failed: set[tuple[int, int, _Values]],
    ) -> _Chosen | None:
        """The first way to meet the requests from `at` on with the devices that are `free`."""
        if at == len(self._requests):
            return ()
        state = at, free, values
        if state in failed:
            return None
        for place, alternative in enumerate(self._requests[at].alternatives):
            usable, count = self._usable(at, place, free, steps)
            binding = [
                number
                for number, one in enumerate(self._constraints)
                if one.covers(self._requests[at], alternative)
            ]
            for chosen, bound in self._ascending(usable, count, binding, values, steps):
                left = free & ~sum(1 << device for device in chosen)
                rest = self._solved(at + 1, left, bound, steps, failed)
                if rest is not None:
                    return (*((at, place, device) for device in chosen), *rest)
        failed.add(state)
        return None

    def _usable(self, request: int, place: int, free: int, steps: Steps) -> tuple[int, int]:
        """The devices that the alternative may be given, and how many it takes of them."""
        matching, tolerated = self._matched(request, place, steps)
        count = self._requests[request].alternatives[place].count
        if count is not None:
            return tolerated & (free | self._odd), count
        if matching & self._odd:
            raise self._unpredictable(matching & self._odd)
        is_met = matching and tolerated & free == matching
        return (matching, matching.bit_count()) if is_met else (0, 1)

    def _ascending(
        self, among: int, count: int, binding: Sequence[int], values: _Values, steps: Steps
    ) -> Iterator[tuple[tuple[int, ...], _Values]]:
        """Every choice of `count` devices; what fails in one order fails in every other."""
        if count == 0:
            yield (), values
            return
        while among.bit_count() >= count:
            lowest = among & -among
            among ^= lowest
            steps.take()
            if lowest & self._odd:
                raise self._unpredictable(lowest)
            device = lowest.bit_length() - 1
            bound = self._bound(device, binding, values)
            if bound is not None:
                alike = among & self._alike(binding, bound)
                for tail, final in self._ascending(alike, count - 1, binding, bound, steps):
                    yield (device, *tail), final

    def _bound(self, device: int, binding: Sequence[int], values: _Values) -> _Values | None:
        """The values that devices must have from here on; None if this one has another."""
        if not binding:
            return values
        bound = list(values)
        for number in binding:
            attribute = self._constraints[number].attribute
            value = self.devices[device].attributes.get(attribute)
            if value is None or (bound[number] is not _NO_VALUE and bound[number] != value):
                return None
            bound[number] = value
        return tuple(bound)

    def _alike(self, binding: Sequence[int], bound: _Values) -> int:
        """The devices that have the values of these constraints."""
        alike = -1
        for number in binding:
            key = self._constraints[number].attribute, bound[number]
            if key not in self._having:
                self._having[key] = sum(
                    1 << at
                    for at, device in enumerate(self.devices)
                    if device.attributes.get(key[0]) == key[1]
                )
            alike &= self._having[key]
        return alike

    def _unpredictable(self, among: int) -> UnpredictableError:
        device = self.devices[(among & -among).bit_length() - 1]
        return UnpredictableError(f"device {device.name}: {device.unpredictable}")
