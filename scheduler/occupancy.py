"""Which pods are on which nodes: those that run, and those that were answered and not yet seen.

Nodes and pods may come in any order. A pod whose node is not known waits for it; a node that
changes keeps its pods. What a pod takes is given back as it was taken.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from itertools import repeat
from typing import Final

import numpy as np

from fleet.cluster.devices import Place
from scheduler.groups import Groups
from scheduler.ledger import Assumed, Ledger
from scheduler.machines import Machine
from scheduler.offers import Predictor
from scheduler.placement import WHOLE_MILLI, Int, Nodes, Shape
from scheduler.pods import Pod
from scheduler.score.preference import Preferences
from scheduler.turnover import Start, turnover_of

_ENDED_MAX: Final = 4096


class Occupancy:
    """The nodes as they are."""

    def __init__(self, machines: Iterable[Machine] = ()) -> None:
        listed = list(machines)
        self.nodes = Nodes(machine.empty() for machine in listed)
        """What is left of them."""
        self.row = {machine.name: at for at, machine in enumerate(listed)}
        self.preferences = Preferences(self.nodes)
        self.predictor = Predictor(self.nodes)
        self.machines: dict[str, Machine] = {machine.name: machine for machine in listed}
        self.groups = Groups()
        self._ledger = Ledger()
        self._bound: dict[str, Assumed] = {}
        self._on: defaultdict[str, dict[str, Assumed]] = defaultdict(dict)
        self._waiting: set[str] = set()
        """UIDs of pods that the watch has told of, and that are on no node yet."""
        self._ended: OrderedDict[str, None] = OrderedDict()
        """UIDs of pods that are gone, the last ones."""
        self._short: set[str] = set()
        """Nodes with pods that have fewer GPUs than they ask for, as far as we know."""
        for at, machine in enumerate(listed):
            self._know(at, machine)

    @property
    def assumed(self) -> int:
        return len(self._ledger)

    @property
    def bound_pods(self) -> int:
        return len(self._bound)

    def rows(self, names: list[str]) -> Int:
        """The row of each node, shape ``(len(names),)``; -1 = it is not known."""
        return np.fromiter(map(self.row.get, names, repeat(-1)), np.int64, len(names))

    # -- nodes -----------------------------------------------------------------------------------

    def put(self, machine: Machine) -> None:
        """The node is there, or is not as it was.

        Raises:
            ValueError: it has more GPUs than can be told apart; what was known of it stands.
        """
        if self.machines.get(machine.name) == machine:
            return
        row = self.row.get(machine.name)
        if row is None:
            row = self.row[machine.name] = self.nodes.add(machine.empty())
        self.machines[machine.name] = machine
        self._know(row, machine)
        self._settle(machine.name)

    def drop(self, name: str) -> None:
        """The node is gone; its pods are remembered until they are gone too."""
        row = self.row.pop(name, None)
        if row is not None:
            del self.machines[name]
            self.nodes.drop(row)
            self._know(row, None)

    def _know(self, row: int, machine: Machine | None) -> None:
        self.preferences.put(row, machine)
        self.predictor.put(row, machine)

    def _settle(self, node: str) -> None:
        """Take anew what the node's pods take: first the GPUs that are known, then any."""
        row, machine = self.row[node], self.machines[node]
        self.nodes.put(row, machine.empty())
        self._short.discard(node)
        pods = self._on.get(node, {})
        for uid in sorted(pods, key=lambda uid: (_assumed_gpus(pods[uid]) > 0, uid)):
            pods[uid] = self._take(row, machine, pods[uid])

    def _take(self, row: int, machine: Machine, entry: Assumed) -> Assumed:
        """Take what the pod takes from the node; the entry as it now is.

        A driver that renews its slices shows fewer GPUs for a moment. An entry keeps the GPUs that
        it was given, so that they are taken again when they are back.
        """
        shape = entry.shape
        devices = entry.known
        if _assumed_gpus(entry):
            devices += tuple(self._free(row, shape, but=devices))
        present = _present(devices, machine)
        if len(present) < shape.gpus:
            self._short.add(machine.name)
        self.nodes.place(row, shape, present)
        return replace(entry, devices=devices)

    # -- pods ------------------------------------------------------------------------------------

    def bind(self, pod: Pod, node: str, devices: Sequence[int] | None = None) -> None:
        """The pod runs on the node.

        Args:
            pod: that was seen there.
            node: where.
            devices: GPUs that are known to be its: of a pod with claims those that they were given,
                and the device plugin's come on top. None = nothing is known. What is not known is
                taken as our answer had it, else as the allocator would give it.
        """
        is_new = pod.uid not in self._bound
        shape = pod.shape if pod.given is None else pod.shape_with(len(devices or ()))
        before = self._ledger.drop(pod.uid) or self._bound.get(pod.uid)
        self._waiting.discard(pod.uid)
        if devices is not None:
            self.predictor.held.let_go(_holder(pod.uid))  # its claims' own news has come
        if before is not None and before.node == node:
            kept = self._on[node].get(pod.uid, before)
            if devices is None:
                # It keeps its GPUs; CPU and memory may be resized in place.
                cpu, memory = shape.cpu_milli, shape.memory_mib
                shape = replace(kept.shape, cpu_milli=cpu, memory_mib=memory)
                devices = kept.known
            if (tuple(devices), shape) == (kept.known, kept.shape):
                if is_new:
                    self.nodes.came(kept.shape)
                self._bound[pod.uid] = kept
                return
        if before is not None:
            self._give_back(before)
        entry = self._bound[pod.uid] = self._place(pod, node, shape, devices)
        if is_new:
            self.nodes.came(entry.shape)

    def waits(self, pod: Pod) -> None:
        """The watch has told of the pod, and it is on no node yet."""
        if pod.uid in self._bound:
            return
        self._waiting.add(pod.uid)
        entry = self._ledger.entry(pod.uid)
        if entry is not None and pod.unscheduled not in {None, entry.unscheduled}:
            self.forget_assumed(pod.uid)  # kube-scheduler has given it up since the answer
            entry = None
        if entry is None:
            self.groups.put(pod, None)

    def assume(
        self,
        pod: Pod,
        node: str,
        devices: Sequence[int] | None,
        now_seconds: float,
        *,
        others: Iterable[Place] = (),
    ) -> None:
        """Count on the pod being there soon.

        Args:
            pod: that was not seen on a node yet.
            node: where it will be.
            devices: GPUs that its claims will be given, of a pod without claims to be given any
                those of the device plugin; None = any.
            now_seconds: on a clock that never goes back.
            others: devices that its claims will be given and that are no whole GPUs.
        """
        if node in self.row and pod.uid not in self._ended:
            claimed = 0 if pod.claim is None else len(devices or ())
            entry = self._place(pod, node, pod.shape_with(claimed), devices)
            self.predictor.held.hold(_holder(pod.uid), others)
            for crowded in self._ledger.add(entry, now_seconds):
                self._give_back(crowded)

    def forget_assumed(self, uid: str) -> None:
        """The pod is asked about again."""
        entry = self._ledger.drop(uid)
        if entry is not None:
            self._give_back(entry)

    def gone(self, uid: str) -> None:
        """The pod has ended or was deleted."""
        self._waiting.discard(uid)
        self._ended[uid] = None
        if len(self._ended) > _ENDED_MAX:
            self._ended.popitem(last=False)
        bound = self._bound.pop(uid, None)
        entry = self._ledger.drop(uid) or bound
        if entry is not None:
            self._give_back(entry)
        self.groups.drop(uid)
        if bound is not None:
            self.nodes.left(bound.shape)

    def expire(self, now_seconds: float) -> int:
        """Give back what was answered for pods that did not come; how many."""
        due = self._ledger.expired(now_seconds)
        for entry in due:
            self._give_back(entry)
        return len(due)

    def answered_on(self, nodes: Collection[str]) -> int:
        """Pods that are taken to be on these nodes by answers of ours, and were not seen there."""
        return self._ledger.count_on(nodes)

    def recall(self, starts: Sequence[Start]) -> None:
        """After a start: what the ages of the pods that run say of those that left."""
        capacity = float(sum(one.gpus for one in self.machines.values())) * WHOLE_MILLI
        read = turnover_of(starts, capacity_milli=capacity)
        self.nodes.came_milli, self.nodes.left_milli = read.came_milli, read.left_milli

    def free_and_used(self, node: str) -> tuple[float, float] | None:
        """The GPUs of a node that new pods can have, and the others; None = it is not known.

        A GPU that a claim holds is used also while no pod of the claim runs.
        """
        row = self.row.get(node)
        if row is None:
            return None
        gpus, left = self.machines[node].gpus, self.nodes.gpus[row]
        held = int(self.predictor.held.gpus[row])
        unseen = sum(held >> slot & 1 and left[slot] == WHOLE_MILLI for slot in range(gpus))
        free = float(self.nodes.idle[row]) / WHOLE_MILLI - unseen
        return free, gpus - free

    def is_bound(self, uid: str) -> bool:
        """Whether the pod was seen on a node."""
        return uid in self._bound

    def shape_of(self, uid: str) -> Shape | None:
        """What a pod that was seen on a node takes of it; None = it was not."""
        entry = self._bound.get(uid)
        return None if entry is None else entry.shape

    def is_assumed(self, uid: str, node: str) -> bool:
        """Whether the pod is taken to be on this node by an answer of ours."""
        entry = self._ledger.entry(uid)
        return entry is not None and entry.node == node

    def _place(
        self,
        pod: Pod,
        node: str,
        shape: Shape,
        devices: Sequence[int] | None,
    ) -> Assumed:
        known = tuple(devices or ())
        entry = Assumed(
            uid=pod.uid,
            node=node,
            shape=shape,
            devices=known,
            known=known,
            unscheduled=pod.unscheduled,
        )
        self.groups.put(pod, node)
        self._on[node][pod.uid] = entry
        row = self.row.get(node)
        if row is not None:
            entry = self._on[node][pod.uid] = self._take(row, self.machines[node], entry)
            present = _present(entry.devices, self.machines[node])
            if any(self.nodes.gpus[row, one] < 0 for one in present):
                # A pod that was only assumed to have this GPU has another one.
                self._settle(node)
        return self._on[node][pod.uid]

    def _free(self, row: int, shape: Shape, but: tuple[int, ...]) -> list[int]:
        """The GPUs that the pod gets besides `but`, as the allocator would give them.

        Fewer where others took more than we knew of.
        """
        if shape.is_share and self.nodes.most[row] < shape.gpu_milli:
            return []
        if shape.gpus and not shape.is_share:
            free = self.predictor.plugged(row, shape.gpus) or self.nodes.devices(row, shape)
            return [one for one in free if one not in but][: shape.gpus - len(but)]
        return self.nodes.devices(row, shape)

    def _give_back(self, entry: Assumed) -> None:
        pods = self._on[entry.node]
        entry = pods.pop(entry.uid, entry)
        if not pods:
            del self._on[entry.node]
        row = self.row.get(entry.node)
        if row is not None:
            present = _present(entry.devices, self.machines[entry.node])
            self.nodes.release(row, entry.shape, present)
            if entry.node in self._short:
                self._settle(entry.node)
        self.predictor.held.let_go(_holder(entry.uid))
        if entry.uid in self._waiting:
            self.groups.leave_node(entry.uid)
        else:
            self.groups.drop(entry.uid)


def _present(devices: Iterable[int], machine: Machine) -> list[int]:
    """Of these GPUs the ones that the node has now."""
    return [one for one in devices if one < machine.gpus]


def _assumed_gpus(entry: Assumed) -> int:
    """GPUs of a pod of which nothing says which they are."""
    return entry.shape.gpus - len(entry.known)


def _holder(uid: str) -> str:
    return f"pod {uid}"
