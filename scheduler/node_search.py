"""What one node would give a pod: the GPUs, and what that breaks of its islands."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from scheduler.first_fit import (
    STEPS_MAX,
    Alternative,
    Device,
    Search,
    SearchTooLongError,
    Steps,
    UnpredictableError,
)
from scheduler.machines import Machine
from scheduler.resource_claim import Claim
from scheduler.score.islands import island_price_milli

_SEARCHES_MAX: Final = 512
_CLAIMS_MAX: Final = 64
_SHARED_A_STEP: Final = 16
"""Shared devices that one step looks at: most are of a driver that the claim does not ask for."""

Slots = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Offer:
    """What one node would give."""

    slots: Slots
    position: int
    """Of the alternatives taken, in the order in which the claim has them; 0 = all first ones."""
    others: tuple[int, ...] = ()
    """Of the node's devices that are no whole GPUs, by their place in `Machine.others`."""


@dataclass(frozen=True, slots=True)
class Answer:
    """For all nodes that are equal."""

    offer: Offer | None = None
    island_milli: float = 0.0
    is_known: bool = True
    is_final: bool = True
    """False = a later call may know more."""


DOES_NOT_FIT: Final = Answer()
_UNKNOWN: Final = Answer(is_known=False)
_NOT_YET: Final = Answer(is_known=False, is_final=False)


@dataclass(frozen=True, slots=True)
class NodeState:
    """A node as a claim finds it."""

    machine: Machine
    open_: int
    """A bit for each GPU that is free."""
    held: tuple[int, ...] = ()
    """Its other devices that are allocated, by their place in `Machine.others`."""
    alike: object = None
    """The same for nodes on which a claim finds the same devices."""


def plugged(state: NodeState, gpus: int) -> Answer:
    """What the device plugin gives: so many whole GPUs, in the order of the allocator."""
    slots = tuple(slot for slot in state.machine.order if state.open_ >> slot & 1)[:gpus]
    if not slots or len(slots) != gpus:
        return DOES_NOT_FIT
    return _answer(state, Offer(slots, 0))


class NodeSearches:
    """Searches of claims; what a search learns of a claim on some devices is kept."""

    def __init__(self) -> None:
        self._shared: tuple[Device, ...] = ()
        self._shared_of: OrderedDict[str, tuple[Device, ...]] = OrderedDict()
        """By claim, those of the shared devices that it may ask for."""
        self._kept: OrderedDict[object, _Search] = OrderedDict()

    def share(self, devices: tuple[Device, ...]) -> bool:
        """These devices belong to no single node; whether they are others than before."""
        if devices == self._shared:
            return False
        self._shared = devices
        self._shared_of.clear()
        self._kept.clear()
        return True

    def claimed(self, claim: Claim, state: NodeState, steps: Steps) -> Answer:
        """What the allocator gives the claim, as far as `steps` go."""
        most = min(steps.left, STEPS_MAX)
        work = Steps(most)
        try:
            offer = self._search(claim, state, work).offer(claim, state, work)
        except UnpredictableError as error:
            if isinstance(error, SearchTooLongError) and most < STEPS_MAX:
                return _NOT_YET
            return _UNKNOWN
        finally:
            steps.left -= most - max(work.left, 0)
        return DOES_NOT_FIT if offer is None else _answer(state, offer)

    def _search(self, claim: Claim, state: NodeState, steps: Steps) -> "_Search":
        key = claim.key, state.alike
        found = self._kept.get(key)
        if found is None:
            found = self._kept[key] = _Search.of(
                claim, state.machine, self._shared_by(claim, steps)
            )
            if len(self._kept) > _SEARCHES_MAX:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return found

    def _shared_by(self, claim: Claim, steps: Steps) -> tuple[Device, ...]:
        """The shared devices that the claim may ask for: looked at once, and not for each node.

        Raises:
            SearchTooLongError: there are more than `steps` allow.
        """
        found = self._shared_of.get(claim.key)
        if found is None:
            alternatives = [one for request in claim.requests for one in request.alternatives]
            work = len(self._shared) * sum(one.steps for one in alternatives)
            steps.take(work // _SHARED_A_STEP)
            found = self._shared_of[claim.key] = tuple(
                device
                for device in self._shared
                if any(_may_match(one, device) for one in alternatives)
            )
            if len(self._shared_of) > _CLAIMS_MAX:
                self._shared_of.popitem(last=False)
        self._shared_of.move_to_end(claim.key)
        return found


def _may_match(alternative: Alternative, device: Device) -> bool:
    try:
        return alternative.matches(device)
    except UnpredictableError:
        return True


@dataclass(frozen=True, slots=True)
class _Search:
    """One claim over the devices of one kind of node."""

    search: Search
    gpus: int
    index_of: dict[int, int]
    """The place of each device of the search, by identity, among GPUs, others and shared ones."""
    bit_of: tuple[int, ...]
    """Of each device in that order, as the search knows it."""

    @classmethod
    def of(cls, claim: Claim, machine: Machine, shared: tuple[Device, ...]) -> "_Search":
        devices = (*machine.devices, *machine.others, *shared)
        search = Search(devices, claim.requests, claim.constraints)
        index_of = {id(device): at for at, device in enumerate(devices)}
        bits = [0] * len(devices)
        for bit, device in enumerate(search.devices):
            bits[index_of[id(device)]] = 1 << bit
        return cls(search, len(machine.devices), index_of, tuple(bits))

    def offer(self, claim: Claim, state: NodeState, steps: Steps) -> Offer | None:
        """What the claim gets.

        Raises:
            UnpredictableError: that is unknown.
        """
        free = sum(self.bit_of[self.gpus :])
        for index in range(self.gpus):
            if state.open_ >> index & 1:
                free |= self.bit_of[index]
        for index in state.held:
            free &= ~self.bit_of[self.gpus + index]
        given = self.search.first(free, steps)
        if given is None:
            return None
        taken = {(one.request, one.alternative) for one in given}
        position = sum(
            place
            for request in claim.requests
            for place, alternative in enumerate(request.alternatives)
            if (request.name, alternative.name) in taken
        )
        at = sorted(self.index_of[id(one.device)] for one in given)
        return Offer(
            tuple(index for index in at if index < self.gpus),
            position,
            tuple(index - self.gpus for index in at if index >= self.gpus),
        )


def _answer(state: NodeState, offer: Offer) -> Answer:
    idle = [slot for slot in range(state.machine.gpus) if state.open_ >> slot & 1]
    return Answer(offer, island_price_milli(state.machine.islands, idle, offer.slots))
