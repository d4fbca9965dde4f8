"""Keeps a placement state in step with records: nodes, pods, slices, claims, classes, groups.

Kinds may come in any order, and records of one kind before those that they refer to: what cannot be
said yet is said when the rest has come. An object that cannot be read is counted and left out; the
others go on. Nothing here waits or asks.

A node whose device plugin gives out parts of GPUs is kept out of the placement state:
kube-scheduler counts the parts itself, and a node that is not known there passes.
"""

from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator
from typing import Final

from fleet.cluster.claims import Claim as ClaimRecord
from fleet.cluster.classes import DeviceClass
from fleet.cluster.devices import Slice
from fleet.cluster.fields import Unreadable, UnreadableObjectError
from fleet.cluster.groups import PodGroup
from fleet.cluster.kinds import Kind, Record
from fleet.cluster.nodes import Node
from fleet.cluster.pods import Pod as PodRecord
from fleet.cluster.taint_rules import TaintRule
from scheduler.arrivals import Arrivals
from scheduler.claim_intake import ClaimIntake
from scheduler.gpu_holders import GpuHolders
from scheduler.history import History
from scheduler.machines import NO_PRICES, Facts, Machine, machine_of
from scheduler.offered_slices import OfferedSlices
from scheduler.placement_state import PlacementState
from scheduler.pods import Known, UnreadablePodError, placed

KINDS: Final = (
    Kind.NODE,
    Kind.POD,
    Kind.CLASS,
    Kind.TAINT_RULE,
    Kind.SLICE,
    Kind.CLAIM,
    Kind.POD_GROUP,
    Kind.POD_GROUP_PLUGIN,
)
"""What is followed."""
_FAULTS: Final = 256
_SHOWN_CHARACTERS_MAX: Final = 128


class Intake:
    """Keeps one placement state in step with the API server's objects."""

    def __init__(
        self, placement: PlacementState, history: History, facts: Facts = NO_PRICES
    ) -> None:
        self.placement = placement
        self.facts = facts
        self.sizes: dict[tuple[Kind, str], int] = {}
        self._arrivals = Arrivals(history)
        self._claims = ClaimIntake(placement, self._arrivals)
        self.known = Known(claims=self._claims.claims, sizes=self.sizes)
        self.nodes: dict[str, Node] = {}
        self.holders = GpuHolders()
        self.unread: Counter[Kind] = Counter()
        """Objects that could not be read, since the start."""
        self.faults: deque[str] = deque(maxlen=_FAULTS)
        """What was found wrong with objects; the logging side takes it from here."""
        self._faulty: dict[tuple[Kind, str], str] = {}
        """What was said of objects that cannot be used now."""
        self._keys: dict[Kind, set[str]] = {kind: set() for kind in KINDS}
        self._divided: set[str] = set()
        """Nodes that give out parts of GPUs."""
        self._slices = OfferedSlices()
        self._tainted_anew: dict[str | None, None] = {}
        """Nodes whose devices a rule has tainted, and which `settle` has not come to yet."""

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
        if kind is Kind.TAINT_RULE:
            self._tainted_anew |= dict.fromkeys(self._slices.set_rules_listed(listed=True))
        yield from self.settle()

    def unavailable(self, kind: Kind) -> None:
        """The kind cannot be read before its next list."""
        if kind is Kind.TAINT_RULE:
            self._tainted_anew |= dict.fromkeys(self._slices.set_rules_listed(listed=False))

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
            case Slice() | TaintRule() | ClaimRecord() | DeviceClass():
                self._take_dra(record)
            case PodGroup():
                self._group(kind, record)
            case Unreadable():
                self._unreadable(kind, record)
            case _:
                raise TypeError(f"{kind} is not followed")

    def _take_dra(self, record: Slice | TaintRule | ClaimRecord | DeviceClass) -> None:
        match record:
            case Slice():
                for node in self._slices.put(record):
                    self._offer(node)
            case TaintRule():
                self._tainted_anew |= dict.fromkeys(self._slices.put_rule(record))
            case ClaimRecord():
                self.holders.put_claim(record)
                self._claims.put(record)
            case DeviceClass():
                self._claims.put_class(record.name, record.selectors)

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
                self._offer_all(self._slices.drop(key))
            case Kind.TAINT_RULE:
                self._tainted_anew |= dict.fromkeys(self._slices.drop_rule(key))
            case Kind.CLAIM:
                self.holders.drop_claim(key)
                self._claims.drop(key)
            case Kind.CLASS:
                self._claims.drop_class(key)
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
                self._claims.put_unreadable(record.name)
            case Kind.TAINT_RULE:
                # It may taint any device, so that no claim can be predicted until it is gone.
                self._tainted_anew |= dict.fromkeys(self._slices.put_unread_rule(record.name))
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
            self._claims.devices_changed(name)

    def machine(self, node: Node) -> Machine:
        """The machine of a node, with the devices that slices offer on it.

        Raises:
            ValueError: it has more GPUs than can be told apart.
        """
        return machine_of(node, self._slices.on(node.name), self.facts)

    @property
    def unpredicted(self) -> int:
        """Claims that wait and are not predicted, and those without an answer for some node."""
        return self._claims.unpredicted + self.placement.occupancy.predictor.unpredicted

    @property
    def slices(self) -> Collection[Slice]:
        """Of all nodes."""
        return self._slices.all

    def _offer_all(self, nodes: Iterable[str | None]) -> None:
        """Of these nodes, slices are gone, or have other taints."""
        for node in nodes:
            try:
                self._offer(node)
            except (ValueError, ArithmeticError) as error:
                # The node cannot be used, whatever is gone or tainted.
                self._unusable(Kind.NODE, str(node), str(node), str(error))

    def settle(self) -> Iterator[None]:
        """After a change, do what it has left, one node a step: a rule may taint all nodes."""
        while self._tainted_anew:
            node, _ = self._tainted_anew.popitem()
            self._offer_all([node])
            yield

    def _offer(self, node: str | None) -> None:
        """Slices of a node, or of no single node, have changed."""
        if node is None:
            # A claim that matches a device of no single node is unknown.
            self.placement.occupancy.predictor.share(self._slices.shared)
        else:
            self._put(node)

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
                self._arrivals.came(pod, record.node, _created(record, now_seconds))
            if pod.claim_names:
                self._claims.bind(pod, record.node)
            else:
                self.placement.bound(pod, record.node)
        else:
            self.placement.waits(placed(record, self.known))

    def read_turnover(self, now_seconds: float) -> None:
        """All pods were read for the first time: take what their ages say of those that left."""
        starts = self._arrivals.starts(now_seconds, but=self._divided)
        self.placement.occupancy.recall(starts)

    def _forget(self, uid: str) -> None:
        self.holders.drop_pod(uid)
        self.placement.launchers.gone(uid)
        self._arrivals.forget(uid)
        self.placement.gone(uid)
        self._claims.forget(uid)  # what it had shared counts with another from now on

    def _group(self, kind: Kind, record: PodGroup) -> None:
        if record.size is not None:
            self.sizes[kind, record.name] = record.size
        else:
            self.sizes.pop((kind, record.name), None)


def _created(pod: PodRecord, otherwise: float) -> float:
    """When the pod was made, in seconds since 1970."""
    return otherwise if pod.created_seconds is None else min(pod.created_seconds, otherwise)


def _key(kind: Kind, name: str, uid: str) -> str:
    """What an object is known by: pods by UID, for a name can be used again."""
    return uid if kind is Kind.POD else name
