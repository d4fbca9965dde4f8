"""Keeps a placement state in step with claims and device classes, and with the pods that hold them.

What a claim asks for depends on classes, and what a bound pod takes depends on its claims and on
the devices of its node; all of them may come in any order.
"""

from collections import defaultdict
from dataclasses import replace

from fleet.cluster.claims import Claim as ClaimRecord
from fleet.cluster.devices import Place
from scheduler.arrivals import Arrivals
from scheduler.placement_state import PlacementState
from scheduler.pods import Pod
from scheduler.resource_claim import Claim, claim_of, given_to


class ClaimIntake:
    """The claims of one cluster."""

    def __init__(self, placement: PlacementState, arrivals: Arrivals) -> None:
        self.claims: dict[str, Claim | None] = {}
        """By name; None = it is there and cannot be predicted."""
        self._placement = placement
        self._arrivals = arrivals
        self._classes: dict[str, tuple[str, ...]] = {}
        """Selectors by name."""
        self._waiting: dict[str, ClaimRecord] = {}
        """Claims that nothing was given to yet, by name."""
        self._bound: dict[str, tuple[Pod, str]] = {}
        """Bound pods with claims, and their node; by UID."""
        self._users: defaultdict[str, set[str]] = defaultdict(set)
        """UIDs of bound pods, by claim."""
        self._on: defaultdict[str, set[str]] = defaultdict(set)
        """UIDs of bound pods, by node."""
        self._counted_with: dict[Place, str] = {}
        """UID of the pod with which a GPU counts: pods may share a claim, and claims a device."""
        self._counted: defaultdict[str, set[Place]] = defaultdict(set)
        """The same by UID."""

    # -- claims and classes ----------------------------------------------------------------------

    @property
    def unpredicted(self) -> int:
        """Claims that wait, and cannot be predicted."""
        return sum(self.claims[name] is None for name in self._waiting)

    def put(self, record: ClaimRecord) -> None:
        """The claim is there, or is not as it was."""
        self._waiting[record.name] = record
        self._placement.occupancy.predictor.held.hold(f"claim {record.name}", given_to(record))
        self._read(record)
        claim = self.claims[record.name]
        if claim is not None and claim.given is not None:
            del self._waiting[record.name]
            for uid in sorted(self._users.get(record.name, ())):
                self._hold(uid)

    def put_unreadable(self, name: str) -> None:
        """The claim is there, and cannot be predicted."""
        self.claims[name] = None
        self._waiting.pop(name, None)

    def drop(self, name: str) -> None:
        """The claim was deleted."""
        self._waiting.pop(name, None)
        self.claims.pop(name, None)
        self._placement.occupancy.predictor.held.let_go(f"claim {name}")

    def put_class(self, name: str, selectors: tuple[str, ...]) -> None:
        """The class is there, or is not as it was."""
        self._classes[name] = selectors
        self._read_waiting()

    def drop_class(self, name: str) -> None:
        """The class was deleted."""
        self._classes.pop(name, None)
        self._read_waiting()

    def _read_waiting(self) -> None:
        """Classes have changed, and with them what claims ask for."""
        for record in self._waiting.values():
            self._read(record)

    def _read(self, record: ClaimRecord) -> None:
        """What the claim asks for, where that is predicted: many an ordinary claim is not."""
        try:
            self.claims[record.name] = claim_of(record, self._classes)
        except ValueError:
            self.claims[record.name] = None

    # -- pods that hold them ---------------------------------------------------------------------

    def bind(self, pod: Pod, node: str) -> None:
        """A pod with claims runs on the node."""
        before = self._bound.get(pod.uid)
        if before is not None and (before[0].claim_names, before[1]) != (pod.claim_names, node):
            self.forget(pod.uid)
        self._bound[pod.uid] = (pod, node)
        self._on[node].add(pod.uid)
        for name in pod.claim_names:
            self._users[name].add(pod.uid)
        self._hold(pod.uid)

    def forget(self, uid: str) -> None:
        """The pod has ended or was deleted; it may have had no claims."""
        bound = self._bound.pop(uid, None)
        if bound is not None:
            pod, node = bound
            _discard(self._on, node, uid)
            for name in pod.claim_names:
                _discard(self._users, name, uid)
            shared = self._counted.pop(uid, set())
            for place in shared:
                del self._counted_with[place]
            if shared:
                self.devices_changed(node)

    def devices_changed(self, node: str) -> None:
        """The node offers other devices than before."""
        for uid in sorted(self._on.get(node, ())):
            self._hold(uid)

    def _hold(self, uid: str) -> None:
        """Count the GPUs that a bound pod's claims were given, as far as they are known."""
        pod, node = self._bound[uid]
        given = [self.claims.get(name) for name in pod.claim_names]
        places = [place for claim in given if claim for place in claim.given or ()]
        occupancy = self._placement.occupancy
        machine = occupancy.machines.get(node)
        slot_of = {one.place: at for at, one in enumerate(machine.devices)} if machine else {}
        own = [one for one in places if one in slot_of and self._counts_with(one, uid)]
        slots = sorted({slot_of[place] for place in own})
        if not slots and any(claim is None or claim.given is None for claim in given):
            # The claim's own news is on its way; until then our own answer stands.
            self._placement.bound(pod, node, None if occupancy.is_assumed(uid, node) else [])
        else:
            self._placement.bound(replace(pod, given=tuple(places), claim=None), node, slots)
            self._arrivals.takes(uid, occupancy.shape_of(uid))

    def _counts_with(self, place: Place, uid: str) -> bool:
        """Whether the GPU counts with this pod, because with no other."""
        if self._counted_with.setdefault(place, uid) != uid:
            return False
        self._counted[uid].add(place)
        return True


def _discard(sets: defaultdict[str, set[str]], key: str, value: str) -> None:
    """Take the value out of the key's set, and the key away with its last value."""
    sets[key].discard(value)
    if not sets[key]:
        del sets[key]
