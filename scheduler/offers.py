"""Which GPUs each node would give a pod, and what that breaks of its islands.

With a claim kube-scheduler's allocator gives the first devices that fit; without one the device
plugin gives whole GPUs, taken here in the same order. What was worked out is kept for each node
until it changes, and equal nodes in the same state are worked out once.
"""

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from scheduler.first_fit import Device, SearchTooLongError, first_fit
from scheduler.islands import island_price_milli
from scheduler.machines import Machine
from scheduler.placement import WHOLE_MILLI, Float, Int, Nodes
from scheduler.resource_claim import Claim
from scheduler.selectors import UnknownMatchError

_ASKED_MAX: Final = 256
"""Different claims and widths whose offers are kept."""
_EQUAL_MAX: Final = 50_000
_OWN: Final = ("/uuid", "/pciBusID", "/minor", "/index", "/serial")
"""Attributes that no two devices share: equal nodes differ in them, and nothing else does."""

Slots = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Offer:
    """What one node would give."""

    slots: Slots
    position: int
    """Of the alternatives taken, in the order in which the claim has them; 0 = all first ones."""


@dataclass(slots=True)
class Offers:
    """What every node would give one kind of pod."""

    version: Int
    count: Int
    """Shape ``(N,)``: GPUs; -1 = the claim does not fit, or nobody can say."""
    position: Int
    island_milli: Float
    """Shape ``(N,)``: the price of breaking islands."""
    given: dict[int, Slots]


class Predictor:
    """Predicts over one set of nodes, whose changes it follows."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self._machines: dict[int, Machine] = {}
        self._profiles: dict[int, int] = {}
        self._numbers: dict[object, int] = {}
        """Of each profile that there ever was: a fleet has a handful."""
        self._asked: OrderedDict[object, Offers] = OrderedDict()
        self._equal: OrderedDict[object, tuple[Offer | None, float]] = OrderedDict()
        self.unknown: dict[str, str] = {}
        """Claims that cannot be predicted, each with the reason; by the claim's key."""

    def put(self, row: int, machine: Machine | None) -> None:
        """The node of `row` is now this one."""
        if machine is None:
            self._machines.pop(row, None)
            self._profiles.pop(row, None)
            return
        self._machines[row] = machine
        profile = (
            machine.islands,
            machine.order,
            _profile(machine.devices),
            _profile(machine.others),
        )
        self._profiles[row] = self._numbers.setdefault(profile, len(self._numbers))

    def of(self, claim: Claim | None, gpus: int) -> Offers:
        """The offers to a pod with this claim, or with `gpus` whole GPUs of a device plugin."""
        rows = len(self._nodes)
        key: object = gpus if claim is None else claim.key
        kept = self._asked.get(key)
        if kept is None or len(kept.version) < rows:
            kept = self._asked[key] = Offers(
                version=np.full(rows, -1, np.int64),
                count=np.full(rows, -1, np.int64),
                position=np.zeros(rows, np.int64),
                island_milli=np.zeros(rows),
                given={},
            )
            if len(self._asked) > _ASKED_MAX:
                self._asked.popitem(last=False)
        self._asked.move_to_end(key)
        for row in np.flatnonzero(kept.version != self._nodes.version).tolist():
            kept.version[row] = self._nodes.version[row]
            self._work_out(row, claim, gpus, kept)
        return kept

    def _work_out(self, row: int, claim: Claim | None, gpus: int, into: Offers) -> None:
        into.count[row], into.position[row], into.island_milli[row] = -1, 0, 0.0
        into.given.pop(row, None)
        machine = self._machines.get(row)
        if machine is None or not machine.gpus:
            return
        free = self._nodes.gpus[row, : machine.gpus] == WHOLE_MILLI
        asked: object = gpus if claim is None else claim.key
        key = (asked, free.tobytes(), self._profiles[row], self._own(row, claim))
        if key not in self._equal:
            self._equal[key] = self._predicted(machine, free.tolist(), claim, gpus)
            if len(self._equal) > _EQUAL_MAX:
                self._equal.popitem(last=False)
        offer, price = self._equal[key]
        if offer is not None:
            into.count[row], into.position[row] = len(offer.slots), offer.position
            into.island_milli[row] = price
            into.given[row] = offer.slots

    def _own(self, row: int, claim: Claim | None) -> int | None:
        """The row where the claim picks devices by what no other node has; else None."""
        picks = claim is not None and any(name[1:] in claim.key for name in _OWN)
        return row if picks else None

    def _predicted(
        self, machine: Machine, free: list[bool], claim: Claim | None, gpus: int
    ) -> tuple[Offer | None, float]:
        if claim is None:
            slots = [slot for slot in machine.order if free[slot]][:gpus]
            offer = Offer(tuple(slots), 0) if len(slots) == gpus else None
        else:
            offer = self._allocated(machine, free, claim)
        if offer is None:
            return None, 0.0
        idle = [slot for slot, is_free in enumerate(free) if is_free]
        return offer, island_price_milli(machine.islands, idle, offer.slots)

    def _allocated(self, machine: Machine, free: list[bool], claim: Claim) -> Offer | None:
        slot_of = {device.place: slot for slot, device in enumerate(machine.devices)}
        devices = [
            replace(device, is_free=free[slot]) for slot, device in enumerate(machine.devices)
        ]
        try:
            given = first_fit([*devices, *machine.others], claim.requests, claim.constraints)
        except (UnknownMatchError, SearchTooLongError) as error:
            if len(self.unknown) < _ASKED_MAX:
                self.unknown[claim.key] = str(error)
            return None
        if given is None:
            return None
        taken = {(one.request, one.alternative) for one in given}
        position = sum(
            place
            for request in claim.requests
            for place, alternative in enumerate(request.alternatives)
            if (request.name, alternative.name) in taken
        )
        slots = [slot_of[one.device.place] for one in given if one.device.place in slot_of]
        return Offer(tuple(sorted(slots)), position)


def _profile(devices: tuple[Device, ...]) -> tuple[object, ...]:
    """What the prediction can see of the devices, the same for equal nodes.

    Attributes that `matchAttribute` may compare, such as a PCIe root, count by which devices share
    them; the same text on another node means nothing.
    """
    first: dict[object, int] = {}
    return tuple(
        (
            device.driver,
            tuple(
                (name, first.setdefault((name, value), at) if "pcie" in name.lower() else value)
                for name, value in sorted(device.attributes.items())
                if not name.endswith(_OWN)
            ),
        )
        for at, device in enumerate(devices)
    )
