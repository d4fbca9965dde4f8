"""Keeps a placement state in step with records: nodes, pods, slices, claims, classes, groups.

Kinds may come in any order, and records of one kind before those that they refer to: what cannot be
said yet is said when the rest has come. An object that cannot be read is counted and left out; the
others go on. Nothing here waits or asks.

A node whose device plugin gives out parts of GPUs is kept out of the placement state:
kube-scheduler counts the parts itself, and a node that is not known there passes.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final

from fleet.cluster.claims import Claim as ClaimRecord
from fleet.cluster.classes import DeviceClass
from fleet.cluster.devices import Slice
from fleet.cluster.fields import Unreadable, UnreadableObjectError
from fleet.cluster.groups import PodGroup
from fleet.cluster.kinds import Kind, Record
from fleet.cluster.nodes import Node
from fleet.cluster.pods import Pod as PodRecord
from scheduler.devices import allocatable
from scheduler.first_fit import Device
from scheduler.gpu_holders import GpuHolders
from scheduler.history import History
from scheduler.machines import NO_PRICES, Facts, Machine, machine_of
from scheduler.placement import GPUS_MAX
from scheduler.placement_state import PlacementState
from scheduler.pods import Known, Pod, UnreadablePodError, placed
from scheduler.resource_claim import Claim, claim_of, given_to
from scheduler.turnover import Start

KINDS: Final = (
    Kind.NODE,
    Kind.POD,
    Kind.CLASS,
    Kind.SLICE,
    Kind.CLAIM,
    Kind.POD_GROUP,
    Kind.POD_GROUP_PLUGIN,
)
"""What is followed."""
_FAULTS: Final = 256
_SHOWN_CHARACTERS_MAX: Final = 128
_OF_NO_NODE: Final = "it belongs to no single node"


@dataclass(frozen=True, slots=True)
class _Came:
    """A pod that takes GPU."""

    node: str
    at_seconds: float
    gpu_milli: int


class Intake:
    """Keeps one placement state in step with the API server's objects."""

    def __init__(
        self, placement: PlacementState, history: History, facts: Facts = NO_PRICES
    ) -> None:
        self.placement = placement
        self.facts = facts
        self.claims: dict[str, Claim | None] = {}
        self.sizes: dict[tuple[Kind, str], int] = {}
        self.known = Known(claims=self.claims, sizes=self.sizes)
        self.nodes: dict[str, Node] = {}
        self.holders = GpuHolders()
        self.unread: Counter[Kind] = Counter()
        """Objects that could not be read, since the start."""
        self.faults: deque[str] = deque(maxlen=_FAULTS)
        """What was found wrong with objects; the logging side takes it from here."""
        self._faulty: dict[tuple[Kind, str], str] = {}
        """What was said of objects that cannot be used now."""
        self._history = history
        self._keys: dict[Kind, set[str]] = {kind: set() for kind in KINDS}
        self._divided: set[str] = set()
        """Nodes that give out parts of GPUs."""
        self._slices: dict[str, Slice] = {}
        self._slices_on: defaultdict[str, set[str]] = defaultdict(set)
        self._shared: dict[str, tuple[Device, ...]] = {}
        """Devices that belong to no single node, by slice."""
        self._classes: dict[str, tuple[str, ...]] = {}
        self._came: dict[str, _Came] | None = {}
        """Running pods with GPUs, by UID, until their ages were read; None = that was done."""
        self._waiting: dict[str, ClaimRecord] = {}
        """Claims that nothing was given to yet, by name."""
        self._holders: dict[str, tuple[Pod, str]] = {}
        """Bound pods with claims, and their node; by UID."""
        self._users: defaultdict[str, set[str]] = defaultdict(set)
        """UIDs of bound pods, by claim."""
        self._holders_on: defaultdict[str, set[str]] = defaultdict(set)

    # -- events ----------------------------------------------------------------------------------

    def listed(self, kind: Kind, records: tuple[Record, ...], now_seconds: float) -> Iterator[None]:
        """Take a whole list, one record a step; what it does not have is gone."""
        here = {_key(kind, one.name, one.uid) for one in records}
        for key in sorted(self._keys[kind] - here):
            self._gone(kind, key)
            yield
        for one in records:
            self.changed(kind, one, now_seconds)
            yield

    def changed(self, kind: Kind, record: Record, now_seconds: float) -> None:
        """An object is new, or not as it was."""
        key = _key(kind, record.name, record.uid)
        self._keys[kind].add(key)
        try:
            self._take(kind, record, now_seconds)
        except (ValueError, ArithmeticError) as error:
            # Whatever a tenant, or a driver of tomorrow, has written into one object.
            self._unusable(kind, key, record.name, str(error))
        else:
            self._faulty.pop((kind, key), None)

    def _take(self, kind: Kind, record: Record, now_seconds: float) -> None:
        match record:
            case Node():
                self._node(record)
            case PodRecord():
                self._pod(record, now_seconds)
            case Slice():
                self._slice(record)
            case ClaimRecord():
                self._claim(record)
            case DeviceClass():
                self._classes[record.name] = record.selectors
                self._read_waiting()
            case PodGroup():
                self._group(kind, record)
            case Unreadable():
                self._unreadable(kind, record)
            case _:
                raise TypeError(f"{kind} is not followed")

    def gone(self, kind: Kind, name: str, uid: str) -> None:
        """An object was deleted."""
        self._gone(kind, _key(kind, name, uid))

    def _gone(self, kind: Kind, key: str) -> None:
        self._keys[kind].discard(key)
        self._faulty.pop((kind, key), None)
        match kind:
            case Kind.NODE:
                self.nodes.pop(key, None)
                self._divided.discard(key)
                self.placement.occupancy.drop(key)
            case Kind.POD:
                self._forget(key)
            case Kind.SLICE:
                self._slice_gone(key)
            case Kind.CLAIM:
                self._waiting.pop(key, None)
                self.claims.pop(key, None)
                self.holders.drop_claim(key)
                self.placement.occupancy.predictor.held.let_go(f"claim {key}")
            case Kind.CLASS:
                self._classes.pop(key, None)
                self._read_waiting()
            case _:
                self.sizes.pop((kind, key), None)

    def _unusable(self, kind: Kind, key: str, name: str, why: str) -> None:
        """Leave out an object that cannot be used, and say so once though it comes again."""
        before = self._faulty.get((kind, key))
        if before is None:
            self.unread[kind] += 1
        if before != why:
            self._faulty[kind, key] = why
            self.faults.append(f"{kind} {name[:_SHOWN_CHARACTERS_MAX]}: {why}")

    def _unreadable(self, kind: Kind, record: Unreadable) -> None:
        match kind:
            case Kind.CLAIM:
                self.claims[record.name] = None  # it is there, and cannot be predicted
                self._waiting.pop(record.name, None)
            case Kind.POD:
                self._forget(record.uid)
            case Kind.NODE:
                # What was known of it may not be so any more; kube-scheduler knows better.
                self.nodes.pop(record.name, None)
                self.placement.occupancy.drop(record.name)
            case _:
                pass  # what was known of it stands
        raise UnreadableObjectError(record.why)

    # -- nodes and what slices offer on them -----------------------------------------------------

    def _node(self, node: Node) -> None:
        before = self.nodes.get(node.name)
        self.nodes[node.name] = node
        for name in ("report_refused", "price_refused"):
            why = getattr(node, name)
            if why is not None and (before is None or getattr(before, name) != why):
                self.faults.append(f"node {node.name}: {why}")
        self._put(node.name)

    def _put(self, name: str) -> None:
        node = self.nodes.get(name)
        if node is None:
            return
        before = self.placement.occupancy.machines.get(name)
        try:
            machine = self.machine(node)
        except (ValueError, ArithmeticError):
            # What was known of it is not so any more; kube-scheduler knows better.
            self.placement.occupancy.drop(name)
            raise
        if machine.divided:
            self._divided.add(name)
            self.placement.occupancy.drop(name)
            return
        self._divided.discard(name)
        self.placement.occupancy.put(machine)
        if before is None or before.devices != machine.devices:
            for uid in sorted(self._holders_on.get(name, ())):
                self._hold(uid)

    def machine(self, node: Node) -> Machine:
        """The machine of a node, with the devices that slices offer on it.

        Raises:
            ValueError: it has more GPUs than can be told apart.
        """
        return machine_of(node, self.slices_on(node.name), self.facts)

    @property
    def slices(self) -> Collection[Slice]:
        """Of all nodes."""
        return self._slices.values()

    def slices_on(self, node: str) -> list[Slice]:
        return [self._slices[name] for name in sorted(self._slices_on.get(node, ()))]

    def _slice(self, record: Slice) -> None:
        before = self._without_slice(record.name)
        self._slices[record.name] = record
        if record.node is not None:
            self._slices_on[record.node].add(record.name)
        else:
            self._shared[record.name] = tuple(
                allocatable(device, _OF_NO_NODE) for device in record.devices
            )
        if before is not None and before.node != record.node:
            self._offer(before.node)
        self._offer(record.node)

    def _slice_gone(self, name: str) -> None:
        before = self._without_slice(name)
        if before is None:
            return
        try:
            self._offer(before.node)
        except (ValueError, ArithmeticError) as error:
            # The node cannot be used, with this slice or without it.
            node = before.node or name
            self._unusable(Kind.NODE, node, node, str(error))

    def _without_slice(self, name: str) -> Slice | None:
        """The slice as it was, which is not among the others any more."""
        before = self._slices.pop(name, None)
        if before is not None and before.node is not None:
            _discard(self._slices_on, before.node, name)
        self._shared.pop(name, None)
        return before

    def _offer(self, node: str | None) -> None:
        """Slices of a node, or of no single node, have changed."""
        if node is None:
            self._share()
        else:
            self._put(node)

    def _share(self) -> None:
        """A claim that matches a device of no single node is unknown."""
        self.placement.occupancy.predictor.share(chain.from_iterable(self._shared.values()))

    # -- claims ----------------------------------------------------------------------------------

    def _claim(self, record: ClaimRecord) -> None:
        self._waiting[record.name] = record
        self.holders.put_claim(record)
        self.placement.occupancy.predictor.held.hold(f"claim {record.name}", given_to(record))
        self.claims[record.name] = None  # there, and not predicted, if that fails
        claim = claim_of(record, self._classes)
        self.claims[record.name] = claim
        if claim.given is not None:
            del self._waiting[record.name]
            for uid in sorted(self._users.get(record.name, ())):
                self._hold(uid)

    def _read_waiting(self) -> None:
        """Classes have changed, and with them what claims ask for."""
        for name, record in self._waiting.items():
            try:
                self.claims[name] = claim_of(record, self._classes)
            except ValueError:
                self.claims[name] = None

    # -- pods ------------------------------------------------------------------------------------

    def _pod(self, record: PodRecord, now_seconds: float) -> None:
        self.placement.launchers.changed(record)
        if record.ended:
            self._forget(record.uid)
        elif record.node:
            self.holders.put_pod(record)
            try:
                pod = placed(record, self.known)
            except UnreadablePodError:
                self._forget(record.uid)
                raise
            is_new = not self.placement.occupancy.is_bound(record.uid)
            if is_new and record.node not in self._divided:
                self._history_of(pod, record.node, _created(record, now_seconds))
            if pod.claim_names:
                self._holders[pod.uid] = (pod, record.node)
                self._holders_on[record.node].add(pod.uid)
                for name in pod.claim_names:
                    self._users[name].add(pod.uid)
                self._hold(pod.uid)
            else:
                self.placement.bound(pod, record.node)
        else:
            self.placement.waits(placed(record, self.known))

    def _history_of(self, pod: Pod, node: str, came_seconds: float) -> None:
        gpus = pod.shape.gpus if pod.given is None else len(pod.given)
        if gpus:
            shape = pod.shape if pod.given is None else pod.shape_with(min(gpus, GPUS_MAX))
            self._history.saw(shape, came_seconds)
            if self._came is not None:
                self._came[pod.uid] = _Came(node, came_seconds, shape.total_milli)

    def read_turnover(self, now_seconds: float) -> None:
        """All pods were read for the first time: take what their ages say of those that left."""
        starts = [
            Start(now_seconds - one.at_seconds, one.gpu_milli)
            for one in (self._came or {}).values()
            if one.node not in self._divided
        ]
        self._came = None
        self.placement.occupancy.recall(starts)

    def _hold(self, uid: str) -> None:
        """Count the GPUs that a bound pod's claims were given, as far as they are known."""
        pod, node = self._holders[uid]
        given = [self.claims.get(name) for name in pod.claim_names]
        places = [place for claim in given if claim for place in claim.given or ()]
        machine = self.placement.occupancy.machines.get(node)
        slot_of = {one.place: at for at, one in enumerate(machine.devices)} if machine else {}
        slots = sorted({slot_of[place] for place in places if place in slot_of})
        if not slots and any(claim is None or claim.given is None for claim in given):
            # The claim's own news is on its way; until then our own answer stands.
            self.placement.bound(
                pod, node, None if self.placement.occupancy.is_assumed(uid, node) else []
            )
        else:
            self.placement.bound(replace(pod, given=tuple(places), claim=None), node, slots)

    def _forget(self, uid: str) -> None:
        self.holders.drop_pod(uid)
        self.placement.launchers.gone(uid)
        holder = self._holders.pop(uid, None)
        if holder is not None:
            pod, node = holder
            _discard(self._holders_on, node, uid)
            for name in pod.claim_names:
                _discard(self._users, name, uid)
        if self._came is not None:
            self._came.pop(uid, None)
        self.placement.gone(uid)

    def _group(self, kind: Kind, record: PodGroup) -> None:
        if record.size is not None:
            self.sizes[kind, record.name] = record.size
        else:
            self.sizes.pop((kind, record.name), None)


def _discard(sets: defaultdict[str, set[str]], key: str, value: str) -> None:
    sets[key].discard(value)
    if not sets[key]:
        del sets[key]


def _created(pod: PodRecord, otherwise: float) -> float:
    """When the pod was made, in seconds since 1970."""
    return otherwise if pod.created_seconds is None else min(pod.created_seconds, otherwise)


def _key(kind: Kind, name: str, uid: str) -> str:
    """What an object is known by: pods by UID, for a name can be used again."""
    return uid if kind is Kind.POD else name
