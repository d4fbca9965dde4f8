"""Keeps a placement state in step with API objects: nodes, pods, slices, claims, classes, groups.

Kinds may come in any order, and objects of one kind before those that they refer to: what cannot be
said yet is said when the rest has come. An object that cannot be read is counted and left out; the
others go on. Nothing here waits or asks.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any

from fleet.documents import seconds
from scheduler.devices import Slice, slice_of, whole
from scheduler.first_fit import Device
from scheduler.history import History
from scheduler.machines import Machine, machine_of
from scheduler.naming import usd_per_gpu_hour
from scheduler.placement import GPUS_MAX
from scheduler.placement_state import PlacementState
from scheduler.pods import Known, Pod, UnreadablePodError, pod_of
from scheduler.resource_claim import Claim, claim_of, selectors_of
from scheduler.turnover import Start

Json = Mapping[str, Any]
_FAULTS = 256


class Kind(StrEnum):
    """What is followed."""

    NODE = "nodes"
    POD = "pods"
    SLICE = "resourceslices"
    CLAIM = "resourceclaims"
    CLASS = "deviceclasses"
    POD_GROUP = "podgroups"
    POD_GROUP_PLUGIN = "podgroups of scheduler-plugins"


class Intake:
    """Keeps one placement state in step with the API server's objects."""

    def __init__(self, placement: PlacementState, history: History) -> None:
        self.placement = placement
        self.claims: dict[str, Claim | None] = {}
        self.sizes: dict[str, int] = {}
        self.known = Known(claims=self.claims, sizes=self.sizes)
        self.unread: Counter[Kind] = Counter()
        """Objects that could not be read, since the start."""
        self.faults: deque[str] = deque(maxlen=_FAULTS)
        """What was found wrong with objects, for who logs it and takes it from here."""
        self._faulty: dict[tuple[Kind, str], str] = {}
        """What was told of objects that cannot be read now."""
        self._history = history
        self._keys: dict[Kind, set[str]] = {kind: set() for kind in Kind}
        self._nodes: dict[str, Json] = {}
        self._slices: dict[str, Slice] = {}
        self._slices_on: defaultdict[str, set[str]] = defaultdict(set)
        self._classes: dict[str, list[str]] = {}
        self._came: dict[str, tuple[float, int]] | None = {}
        """When each pod came and what GPU it takes, by UID; None = that was read."""
        self._waiting: dict[str, Json] = {}
        """Claims that nothing was given to yet, by name."""
        self._holders: dict[str, tuple[Pod, str]] = {}
        """Bound pods with claims, and their node; by UID."""
        self._users: defaultdict[str, set[str]] = defaultdict(set)
        """UIDs of bound pods, by claim."""
        self._holders_on: defaultdict[str, set[str]] = defaultdict(set)

    # -- events ----------------------------------------------------------------------------------

    def listed(self, kind: Kind, objects: tuple[Json, ...], now_seconds: float) -> Iterator[None]:
        """Take a whole list, one object a step; what it does not have is gone."""
        here = {_key(kind, one) for one in objects}
        for key in sorted(self._keys[kind] - here):
            self._gone(kind, key)
            yield
        for one in objects:
            self.changed(kind, one, now_seconds)
            yield

    def changed(self, kind: Kind, document: Json, now_seconds: float) -> None:
        """An object is new, or not as it was."""
        try:
            self._keys[kind].add(_key(kind, document))
            self._take(kind, document, now_seconds)
        except (ValueError, AttributeError, LookupError, TypeError, ArithmeticError) as error:
            # Whatever a tenant, or a driver of tomorrow, has written into one object.
            self._unusable(kind, document, str(error))
        else:
            self._faulty.pop((kind, _key(kind, document)), None)

    def _take(self, kind: Kind, document: Json, now_seconds: float) -> None:
        match kind:
            case Kind.NODE:
                self._nodes[_name(document)] = document
                self._put(_name(document))
            case Kind.POD:
                self._pod(document, now_seconds)
            case Kind.SLICE:
                self._slice(document)
            case Kind.CLAIM:
                self._claim(document)
            case Kind.CLASS:
                self._classes[_name(document)] = selectors_of(document.get("spec") or {})
                self._read_waiting()
            case Kind.POD_GROUP | Kind.POD_GROUP_PLUGIN:
                self._group(document)

    def _unusable(self, kind: Kind, document: Json, why: str) -> None:
        """Leave out an object that cannot be read, and say so once though it is told again."""
        try:
            key = _key(kind, document)
        except (AttributeError, LookupError, TypeError):
            key = str(document.get("metadata"))[:128]  # without a name, and so never gone
        before = self._faulty.get((kind, key))
        if before is None:
            self.unread[kind] += 1
        if before != why:
            self._faulty[kind, key] = why
            self.faults.append(f"{kind} {str(document.get('metadata'))[:128]}: {why}")

    @property
    def device_classes(self) -> frozenset[str]:
        """Names of those that the cluster has, readable or not."""
        return frozenset(self._keys[Kind.CLASS])

    def gone(self, kind: Kind, document: Json) -> None:
        """An object was deleted."""
        self._gone(kind, _key(kind, document))

    def _gone(self, kind: Kind, key: str) -> None:
        self._keys[kind].discard(key)
        self._faulty.pop((kind, key), None)
        match kind:
            case Kind.NODE:
                self._nodes.pop(key, None)
                self.placement.occupancy.drop(key)
            case Kind.POD:
                self._forget(key)
            case Kind.SLICE:
                self._forget_slice(key)
            case Kind.CLAIM:
                self._waiting.pop(key, None)
                self.claims.pop(key, None)
                self.placement.occupancy.predictor.held.let_go(f"claim {key}")
            case Kind.CLASS:
                self._classes.pop(key, None)
                self._read_waiting()
            case Kind.POD_GROUP | Kind.POD_GROUP_PLUGIN:
                self.sizes.pop(key, None)

    # -- nodes and what slices offer on them -----------------------------------------------------

    def _put(self, name: str) -> None:
        document = self._nodes.get(name)
        if document is None:
            return
        before = self.placement.occupancy.machines.get(name)
        try:
            machine = self._machine(document, self._devices(name))
        except (ValueError, AttributeError, TypeError, ArithmeticError):
            # What was known of it is not so any more; kube-scheduler knows better.
            self.placement.occupancy.drop(name)
            raise
        self.placement.occupancy.put(machine)
        if machine.report_refused and (
            before is None or before.report_refused != machine.report_refused
        ):
            self.faults.append(f"node {name}: {machine.report_refused}")
        if before is None or before.devices != machine.devices:
            for uid in sorted(self._holders_on.get(name, ())):
                self._hold(uid)

    def _machine(self, document: Json, devices: list[Device]) -> Machine:
        machine = machine_of(document, devices)
        if machine.usd_per_gpu_hour is None:
            machine = replace(machine, usd_per_gpu_hour=usd_per_gpu_hour(machine.model))
        return machine

    def _devices(self, node: str) -> list[Device]:
        names = self._slices_on.get(node, ())
        return whole(self._slices[name] for name in names)

    def _slice(self, document: Json) -> None:
        read = document.get("read") or slice_of(document)
        self._forget_slice(read.name)
        self._slices[read.name] = read
        if read.node is not None:
            self._slices_on[read.node].add(read.name)
            self._put(read.node)
        else:
            self._share()

    def _forget_slice(self, name: str) -> None:
        before = self._slices.pop(name, None)
        if before is not None and before.node is not None:
            _discard(self._slices_on, before.node, name)
            self._put(before.node)
        elif before is not None:
            self._share()

    def _share(self) -> None:
        """Devices that belong to no single node: a claim that they match is not predicted."""
        self.placement.occupancy.predictor.share(
            replace(device, unpredictable="it belongs to no single node")
            for one in self._slices.values()
            if one.node is None
            for device in one.devices
        )

    # -- claims ----------------------------------------------------------------------------------

    def _claim(self, document: Json) -> None:
        name = f"{document['metadata']['namespace']}/{_name(document)}"
        self._waiting[name] = document
        self.claims[name] = None  # there, and not predicted, if reading it fails
        claim = claim_of(document, self._classes)
        self.placement.occupancy.predictor.held.hold(f"claim {name}", claim.given or ())
        self.claims[name] = claim
        if claim.given is not None:
            del self._waiting[name]
            for uid in sorted(self._users.get(name, ())):
                self._hold(uid)

    def _read_waiting(self) -> None:
        """Classes have changed, and with them what claims ask for."""
        for name, document in self._waiting.items():
            try:
                self.claims[name] = claim_of(document, self._classes)
            except ValueError:
                self.claims[name] = None

    # -- pods ------------------------------------------------------------------------------------

    def _pod(self, document: Json, now_seconds: float) -> None:
        uid = str(document["metadata"]["uid"])
        node = (document.get("spec") or {}).get("nodeName")
        if (document.get("status") or {}).get("phase") in {"Succeeded", "Failed"}:
            self._forget(uid)
        elif node:
            try:
                pod = pod_of(document, self.known)
            except UnreadablePodError:
                self._forget(uid)
                raise
            if not self.placement.occupancy.is_bound(uid) and (pod.shape.gpus or pod.claim_names):
                self._history_of(pod, _created(document, now_seconds))
            if pod.claim_names:
                self._holders[uid] = (pod, node)
                self._holders_on[node].add(uid)
                for name in pod.claim_names:
                    self._users[name].add(uid)
                self._hold(uid)
            else:
                self.placement.bound(pod, node)
        else:
            self.placement.waits(pod_of(document, self.known))

    def _history_of(self, pod: Pod, came_seconds: float) -> None:
        gpus = pod.shape.gpus if pod.given is None else len(pod.given)
        if gpus:
            shape = pod.shape if pod.given is None else pod.shape_with(min(gpus, GPUS_MAX))
            self._history.saw(shape, came_seconds)
            if self._came is not None:
                self._came[pod.uid] = came_seconds, shape.total_milli

    def read_turnover(self, now_seconds: float) -> None:
        """All pods were read for the first time: take what their ages say of those that left."""
        starts = [Start(now_seconds - came, milli) for came, milli in (self._came or {}).values()]
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
        holder = self._holders.pop(uid, None)
        if holder is not None:
            pod, node = holder
            _discard(self._holders_on, node, uid)
            for name in pod.claim_names:
                _discard(self._users, name, uid)
        if self._came is not None:
            self._came.pop(uid, None)
        self.placement.gone(uid)

    def _group(self, document: Json) -> None:
        spec = document.get("spec") or {}
        gang = (spec.get("schedulingPolicy") or {}).get("gang") or {}
        size = spec.get("minMember", gang.get("minCount"))
        if isinstance(size, int) and size > 0:
            self.sizes[f"{document['metadata']['namespace']}/{_name(document)}"] = size


def _discard(sets: defaultdict[str, set[str]], key: str, value: str) -> None:
    sets[key].discard(value)
    if not sets[key]:
        del sets[key]


def _created(document: Json, otherwise: float) -> float:
    """When the object was made, in seconds since 1970."""
    told = seconds(document["metadata"], "creationTimestamp")
    return otherwise if told is None else min(told, otherwise)


def _name(document: Json) -> str:
    return str(document["metadata"]["name"])


def _key(kind: Kind, document: Json) -> str:
    """What an object is known by: pods by UID, for a name can be used again."""
    metadata = document["metadata"]
    match kind:
        case Kind.POD:
            return str(metadata["uid"])
        case Kind.NODE | Kind.SLICE | Kind.CLASS:
            return str(metadata["name"])
        case Kind.CLAIM | Kind.POD_GROUP | Kind.POD_GROUP_PLUGIN:
            return f"{metadata['namespace']}/{metadata['name']}"
