"""API objects in, a desk in step with them out: nodes, pods, slices, claims, classes, pod groups.

Kinds may come in any order, and objects of one kind before those that they refer to: what cannot be
said yet is said when the rest has come. An object that cannot be read is counted and left out; the
others go on. Nothing here waits or asks.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any

from scheduler.desk import Desk
from scheduler.devices import Slice, slice_of, whole
from scheduler.first_fit import Device
from scheduler.history import History
from scheduler.machines import Machine, machine_of
from scheduler.naming import usd_per_gpu_hour
from scheduler.pods import Known, Pod, UnreadablePodError, pod_of
from scheduler.resource_claim import Claim, claim_of, selectors_of

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
    """Keeps one desk in step with the API server's objects."""

    def __init__(self, desk: Desk, history: History) -> None:
        self.desk = desk
        self.claims: dict[str, Claim | None] = {}
        self.sizes: dict[str, int] = {}
        self.known = Known(claims=self.claims, sizes=self.sizes)
        self.unread: Counter[Kind] = Counter()
        """Objects that could not be read, since the start."""
        self.faults: deque[str] = deque(maxlen=_FAULTS)
        """What was found wrong with objects, for who logs it and takes it from here."""
        self._history = history
        self._keys: dict[Kind, set[str]] = {kind: set() for kind in Kind}
        self._nodes: dict[str, Json] = {}
        self._slices: dict[str, Slice] = {}
        self._slices_on: defaultdict[str, set[str]] = defaultdict(set)
        self._classes: dict[str, list[str]] = {}
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
        except (ValueError, AttributeError, KeyError, TypeError) as error:
            # Whatever a tenant, or a driver of tomorrow, has written into one object.
            self.unread[kind] += 1
            self.faults.append(f"{kind} {str(document.get('metadata'))[:128]}: {error}")

    @property
    def device_classes(self) -> frozenset[str]:
        """Names of those that the cluster has, readable or not."""
        return frozenset(self._keys[Kind.CLASS])

    def gone(self, kind: Kind, document: Json) -> None:
        """An object was deleted."""
        self._gone(kind, _key(kind, document))

    def _gone(self, kind: Kind, key: str) -> None:
        self._keys[kind].discard(key)
        match kind:
            case Kind.NODE:
                self._nodes.pop(key, None)
                self.desk.state.drop(key)
            case Kind.POD:
                self._forget(key)
            case Kind.SLICE:
                self._forget_slice(key)
            case Kind.CLAIM:
                self._waiting.pop(key, None)
                self.claims.pop(key, None)
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
        before = self.desk.state.machines.get(name)
        machine = self._machine(document, self._devices(name))
        self.desk.state.put(machine)
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
        if read.node is not None:
            self._slices[read.name] = read
            self._slices_on[read.node].add(read.name)
            self._put(read.node)

    def _forget_slice(self, name: str) -> None:
        before = self._slices.pop(name, None)
        if before is not None and before.node is not None:
            self._slices_on[before.node].discard(name)
            self._put(before.node)

    # -- claims ----------------------------------------------------------------------------------

    def _claim(self, document: Json) -> None:
        name = f"{document['metadata']['namespace']}/{_name(document)}"
        self._waiting[name] = document
        self.claims[name] = None  # there, and not predicted, if reading it fails
        claim = claim_of(document, self._classes)
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
            if not self.desk.state.is_bound(uid) and (pod.shape.gpus or pod.claim_names):
                self._history_of(pod, now_seconds)
            if pod.claim_names:
                self._holders[uid] = (pod, node)
                self._holders_on[node].add(uid)
                for name in pod.claim_names:
                    self._users[name].add(uid)
                self._hold(uid)
            else:
                self.desk.bound(pod, node)

    def _history_of(self, pod: Pod, now_seconds: float) -> None:
        gpus = pod.shape.gpus if pod.given is None else len(pod.given)
        if gpus:
            shape = pod.shape if pod.given is None else pod.shape_with(min(gpus, 16))
            self._history.saw(shape, now_seconds)

    def _hold(self, uid: str) -> None:
        """Count the GPUs that a bound pod's claims were given, as far as they are known."""
        pod, node = self._holders[uid]
        given = [self.claims.get(name) for name in pod.claim_names]
        places = [place for claim in given if claim for place in claim.given or ()]
        machine = self.desk.state.machines.get(node)
        slot_of = {one.place: at for at, one in enumerate(machine.devices)} if machine else {}
        slots = sorted({slot_of[place] for place in places if place in slot_of})
        if not slots and any(claim is None or claim.given is None for claim in given):
            # The claim's own news is on its way; until then our own answer stands.
            self.desk.bound(pod, node, None if self.desk.state.is_assumed(uid, node) else [])
        else:
            self.desk.bound(replace(pod, given=tuple(places), claim=None), node, slots)

    def _forget(self, uid: str) -> None:
        holder = self._holders.pop(uid, None)
        if holder is not None:
            pod, node = holder
            _discard(self._holders_on, node, uid)
            for name in pod.claim_names:
                _discard(self._users, name, uid)
        self.desk.gone(uid)

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
