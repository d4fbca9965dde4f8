"""Which GPUs each node would give a pod, and what that breaks of its islands.

With a claim kube-scheduler's allocator gives the first devices that fit; without one the device
plugin gives whole GPUs, taken here in the same order. What was worked out is kept for each node
until it changes, and equal nodes in the same state are worked out once. One call does bounded work:
nodes that it does not come to are not known until a later call does.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleet.cluster.devices import Place
from scheduler.first_fit import Device, Steps
from scheduler.held_devices import HeldDevices
from scheduler.machines import Machine
from scheduler.node_profiles import NodeProfiles, tells_equal_nodes_apart
from scheduler.node_search import (
    DOES_NOT_FIT,
    Answer,
    NodeSearches,
    NodeState,
    Offer,
    Slots,
    plugged,
)
from scheduler.placement import WHOLE_MILLI, Bool, Float, Int, Nodes
from scheduler.resource_claim import Claim

STEPS_A_CALL: Final = 1_500
"""Devices that one call looks at over all nodes: about ten milliseconds."""
_ASKED_MAX: Final = 64
"""Different claims and widths whose offers are kept."""
_EQUAL_MAX: Final = 20_000
_FEW_ROWS: Final = 24

_ODD: Final = np.int64(0x9E3779B97F4A7C1)


@dataclass(slots=True)
class Offers:
    """What every node would give one kind of pod."""

    claim: Claim | None
    gpus: int
    key: object
    """Equal for pods that would get the same."""
    version: Int
    count: Int
    """Shape ``(N,)``: GPUs; -1 = the claim does not fit, or it is unknown whether it does."""
    position: Int
    island_milli: Float
    """Shape ``(N,)``: the price of breaking islands."""
    is_known: Bool
    """Shape ``(N,)``: False = it is unknown whether the claim fits."""
    found: NDArray[Any]
    """Shape ``(N,)``: the `Offer`; None where there is none."""

    def at(self, row: int) -> Offer | None:
        found: Offer | None = self.found[row]
        return found


class Predictor:
    """Predicts over one set of nodes, whose changes it follows."""

    def __init__(self, nodes: Nodes) -> None:
        self.held = HeldDevices()
        self._nodes = nodes
        self._machines: dict[int, Machine] = {}
        self._profiles = NodeProfiles()
        self._asked: OrderedDict[object, Offers] = OrderedDict()
        self._equal: OrderedDict[object, Answer] = OrderedDict()
        self._searches = NodeSearches()

    @property
    def changes(self) -> int:
        """Of what is known of devices; those of GPUs by pods are changes of the nodes."""
        return int(self.held.version.sum())

    @property
    def unpredicted(self) -> int:
        """Of the different claims that were asked about last, those with a node without answer."""
        return sum(
            bool((~kept.is_known & (kept.version >= 0)).any())
            for kept in self._asked.values()
            if kept.claim is not None
        )

    def put(self, row: int, machine: Machine | None) -> None:
        """The node of `row` is now this one."""
        self._grow()
        self._machines.pop(row, None)
        if machine is not None:
            self._machines[row] = machine
        self._profiles.put(row, machine)
        self.held.put(row, machine)

    def share(self, devices: Iterable[Device]) -> None:
        """These devices belong to no single node; which nodes they serve is unknown here."""
        if self._searches.share(tuple(devices)):
            self._equal.clear()
            self.held.version += 1

    def _grow(self) -> None:
        self._profiles.grow(len(self._nodes))
        self.held.grow(len(self._nodes))

    # -- what they would give --------------------------------------------------------------------

    def plugged(self, row: int, gpus: int) -> Slots | None:
        """The whole GPUs that node `row` would give without a claim; None = too few are free."""
        machine = self._machines.get(row)
        if machine is None:
            return None
        left = self._nodes.gpus[row]
        slots = [slot for slot in machine.order if left[slot] == WHOLE_MILLI][:gpus]
        return tuple(slots) if len(slots) == gpus else None

    def places(self, row: int, offer: Offer) -> tuple[Place, ...]:
        """What an allocation would call the offered devices by that are no whole GPUs."""
        others = self._machines[row].others
        return tuple(others[at].place for at in offer.others)

    def of(self, claim: Claim | None, gpus: int, *, steps: Steps | None = None) -> Offers:
        """What each node would give, as it is now, and as far as `steps` go.

        Args:
            claim: what the pod claims; None = it asks the device plugin for `gpus` whole ones.
            gpus: of a pod without a claim.
            steps: work that may be done; None = `STEPS_A_CALL`.
        """
        self._grow()
        kept = self._kept(claim, gpus)
        version = self._nodes.version + self.held.version
        due = np.flatnonzero(kept.version != version)
        if len(due):
            self._work_out(due, kept, version, steps or Steps(STEPS_A_CALL))
        return kept

    def warm(self) -> bool:
        """Go on where calls stopped, and where many nodes have changed; whether there was any.

        A few nodes are cheaper to work out when they are asked for.
        """
        version = self._nodes.version + self.held.version
        for kept in reversed(self._asked.values()):
            if kept.claim is None or len(kept.version) < len(version):
                continue
            due = np.flatnonzero(kept.version != version)
            if len(due) > _FEW_ROWS or (kept.version[due] < 0).any():
                self._work_out(due, kept, version, Steps(STEPS_A_CALL))
                return True
        return False

    def _kept(self, claim: Claim | None, gpus: int) -> Offers:
        key: object = gpus if claim is None else claim.key
        rows = len(self._nodes)
        kept = self._asked.get(key)
        if kept is None or len(kept.version) < rows:
            kept = self._asked[key] = Offers(
                claim=claim,
                gpus=gpus,
                key=key,
                version=np.full(rows, -1, np.int64),
                count=np.full(rows, -1, np.int64),
                position=np.zeros(rows, np.int64),
                island_milli=np.zeros(rows),
                is_known=np.zeros(rows, np.bool_),
                found=np.full(rows, None, np.object_),
            )
            if len(self._asked) > _ASKED_MAX:
                self._asked.popitem(last=False)
        self._asked.move_to_end(key)
        return kept

    def _work_out(self, due: Int, kept: Offers, version: Int, steps: Steps) -> None:
        """Bring the rows `due` up to date, each group of equal nodes once."""
        nodes, claim = self._nodes, kept.claim
        slots = nodes.gpus.shape[1]
        open_ = (nodes.gpus[due] == WHOLE_MILLI) @ (1 << np.arange(slots))
        codes = (self._profiles.numbers[due] << slots) | open_
        is_alone = claim is not None and tells_equal_nodes_apart(claim)
        if claim is not None:
            open_ &= ~self.held.gpus[due]
            codes = (self._profiles.numbers[due] << slots) | open_
            # Two different sets of devices have the same code by a chance of 2^-64.
            codes = codes * _ODD + (due if is_alone else self.held.others_hash[due])
        _, first, which = np.unique(codes, return_index=True, return_inverse=True)
        which_rows = due[first]
        answers = [
            self._answer(row, profile, bits, kept, steps, alone=is_alone)
            for row, profile, bits in zip(
                which_rows.tolist(),
                self._profiles.numbers[which_rows].tolist(),
                open_[first].tolist(),
                strict=True,
            )
        ]
        found = np.empty(len(answers), np.object_)
        found[:] = [answer.offer for answer in answers]
        offers = [answer.offer for answer in answers]
        for into, values in (
            (kept.count, [-1 if one is None else len(one.slots) for one in offers]),
            (kept.position, [0 if one is None else one.position for one in offers]),
            (kept.island_milli, [answer.island_milli for answer in answers]),
            (kept.is_known, [answer.is_known for answer in answers]),
        ):
            into[due] = np.array(values)[which]
        kept.found[due] = found[which]
        is_final = np.array([answer.is_final for answer in answers])[which]
        kept.version[due] = np.where(is_final, version[due], -1)

    def _answer(
        self, row: int, profile: int, open_: int, kept: Offers, steps: Steps, *, alone: bool
    ) -> Answer:
        """What the node gives where the GPUs of `open_` are free; the same for its equals."""
        claim = kept.claim
        held = self.held.others.get(row, ()) if claim is not None else ()
        alike = (profile, row) if alone else profile
        key = kept.key, alike, open_, held
        answer = self._equal.get(key)
        if answer is not None:
            self._equal.move_to_end(key)
            return answer
        machine = self._machines.get(row)
        if machine is None:
            answer = DOES_NOT_FIT
        elif claim is None:
            answer = plugged(NodeState(machine, open_), kept.gpus)
        else:
            state = NodeState(machine, open_, held, alike)
            answer = self._searches.claimed(claim, state, steps)
        if answer.is_final:
            self._equal[key] = answer
            if len(self._equal) > _EQUAL_MAX:
                self._equal.popitem(last=False)
        return answer
