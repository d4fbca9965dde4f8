"""What is there at this moment: pools, their nodes, pods on them and pods that wait."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf

import numpy as np

from fleet.cluster.owners import Workload
from fleet.reasons import Reason
from policies.rounds import replaced_seconds, taint_due_seconds
from policies.situation import NodeStage, PoolNode
from replay.cluster import karpenter
from replay.cluster.agenda import Agenda
from replay.cluster.books import Books, Waits
from replay.cluster.settings import GangRun, Pool


@dataclass(slots=True, kw_only=True, eq=False)
class LivePod:
    """One pod, from its creation on."""

    uid: str
    workload: Workload
    pools: tuple[str, ...]
    gpus: int
    start_seconds: float
    """From the binding, or the end of the pull, until it serves."""
    created_seconds: float
    waits: Waits
    tie: float
    """Decides between pods that a ReplicaSet finds equal; its UID does there."""
    gang: GangRun | None = None
    node: "LiveNode | None" = None
    served_from_seconds: float = inf
    """The end of its wait."""
    ready_seconds: float = inf
    wait_place: int = -1
    deletion_cost: int = 0

    @property
    def replaced_seconds(self) -> float:
        """How long after its end a pod in its place may come."""
        return replaced_seconds("ReplicaSet" if self.gang is None else "Job")


@dataclass(slots=True, kw_only=True, eq=False)
class LiveNode:
    """One node, from its order on."""

    name: str
    pool: "LivePool"
    gpus: int
    ordered_seconds: float
    order_reason: Reason | None
    """None = Karpenter ordered it for pods that waited."""
    stage: NodeStage = NodeStage.ORDERED
    stage_since_seconds: float
    pulled_seconds: float = inf
    pods: list[LivePod] = field(default_factory=list)
    used_gpus: int = 0
    used_ever: bool = False
    empty_since_seconds: float | None = None
    replaced_until_seconds: float | None = None
    """Until when a pod in the place of one that has left may come; None = none has left."""
    pod_event_seconds: float | None = None
    """The last time that a pod came or went, as Karpenter counts; None = none did."""
    held_until_seconds: float = -inf
    hold_reason: Reason = Reason.NONE
    nominated: bool = False
    """Karpenter counts on it for pods that wait, so emptiness does not take it."""
    tainted_since_seconds: float | None = None
    """Since when a policy keeps pods off it, because it is about to let it go."""
    leaving: bool = False
    gone: bool = False
    accounted_seconds: float
    """Until then its GPU-seconds are in the books."""
    record: PoolNode | None = None
    """What a policy was shown of it last; None = something has changed since."""

    @property
    def open(self) -> bool:
        """Pods may be bound to it."""
        kept_off = self.leaving or self.tainted_since_seconds is not None
        return self.stage is NodeStage.INITIALIZED and not kept_off

    @property
    def taint_due_seconds(self) -> float:
        """From when on it is tainted, if it is to go; infinite while it has pods."""
        since = self.empty_since_seconds
        return inf if since is None else taint_due_seconds(since, self.replaced_until_seconds)

    def pod_left(self, pod: LivePod, now_seconds: float) -> None:
        """Note until when one in its place may come."""
        until = now_seconds + pod.replaced_seconds
        self.replaced_until_seconds = max(until, self.replaced_until_seconds or until)

    def pod_event(self, now_seconds: float) -> None:
        last = self.pod_event_seconds
        if last is None or now_seconds - last >= karpenter.POD_EVENT_SECONDS:
            self.pod_event_seconds = now_seconds

    def account(self, now_seconds: float) -> None:
        """Put its time since the last call into the books; to be called before it changes."""
        self.record = None
        begin, self.accounted_seconds = self.accounted_seconds, now_seconds
        elapsed = now_seconds - begin
        if elapsed == 0:
            return
        books, free = self.pool.books, self.gpus - self.used_gpus
        books.used_gpu_seconds += self.used_gpus * elapsed
        if self.stage is not NodeStage.INITIALIZED:
            books.idle(Reason.UNINITIALIZED, free * elapsed)
        elif self.used_gpus:
            books.idle(Reason.FRAGMENTATION, free * elapsed)
        else:
            held = min(max(0.0, self.held_until_seconds - begin), elapsed)
            books.idle(self.hold_reason, free * held)
            unused = self.order_reason is not None and not self.used_ever
            reason = Reason.PRE_WARM if unused and not self.leaving else Reason.NONE
            books.idle(reason, free * (elapsed - held))


@dataclass(slots=True, kw_only=True, eq=False)
class LivePool:
    """One pool and its books."""

    settings: Pool
    generator: np.random.Generator
    nodes: list[LiveNode] = field(default_factory=list)
    books: Books = field(default_factory=Books)
    refused_until_seconds: float = -inf
    service_gpus: int = 0
    """In use by pods that are no gang's."""

    @property
    def full(self) -> bool:
        limit = self.settings.nodes_max
        return limit is not None and len(self.nodes) >= limit

    def account(self, now_seconds: float) -> None:
        for node in self.nodes:
            node.account(now_seconds)

    def gpu_seconds(self, now_seconds: float) -> float:
        """Of all nodes, from order to end, so far."""
        return self.books.gone_gpu_seconds + sum(
            node.gpus * (now_seconds - node.ordered_seconds) for node in self.nodes
        )


@dataclass(slots=True, kw_only=True, eq=False)
class Live:
    """The state that the parts of a cluster share."""

    agenda: Agenda
    pools: dict[str, LivePool]
    pending: list[LivePod] = field(default_factory=list)
    """Without a node, oldest first."""

    def nodes_for(self, pod: LivePod) -> Iterator[LiveNode]:
        for name in pod.pools:
            yield from self.pools[name].nodes
