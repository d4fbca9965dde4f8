"""A node of a pool as the rules see it, from its NodeClaim, its Node and its GPUs' account."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fleet.account.loading import PodLoad
from fleet.account.node import NodeGpus
from fleet.account.node_ends import NodeEnd
from fleet.annotations import DELETION_COST, DISRUPTION_COST
from fleet.cluster.gpu_resources import counts_gpus
from fleet.cluster.karpenter import NodeClaim
from fleet.cluster.nodes import Node
from fleet.cluster.pods import Pod
from policies.loading import with_load
from policies.reading.gangs import gang_of
from policies.rounds import Emptied
from policies.situation import NodePod, NodeStage, PoolNode


@dataclass(frozen=True, slots=True, kw_only=True)
class UsualNode:
    """What the last nodes of a pool were."""

    gpus: int
    instance_type: str | None = None
    """None = they did not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodesSeen:
    """What readings told of nodes, kept for the next one; a fresh one makes nodes look younger."""

    empty_since_seconds: Mapping[str, float] = field(default_factory=dict)
    """By the node's UID."""
    starting: frozenset[str] = frozenset()
    """UIDs of nodes that were not initialized yet."""
    usual: Mapping[str, UsualNode] = field(default_factory=dict)
    """By the name of a NodePool: what it has no node any more to tell of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeReading:
    """All objects of one node; at least a claim or a node is there."""

    claim: NodeClaim | None
    node: Node | None
    account: NodeGpus | None
    pods: tuple[tuple[Pod, float], ...] = ()
    """With GPUs on it, and how many."""
    unowned_gpus: float = 0.0
    """Given out to claims that no pod holds."""
    loads: Mapping[str, PodLoad] = field(default_factory=dict)
    """What is known of pods' loading, by their UID."""
    end: NodeEnd | None = None
    """When it goes whatever anybody does; None = no such end is known."""
    emptied: Emptied | None = None
    """How it lost its pods; None = nobody saw that between readings."""
    cpu_pod: str | None = None
    """A pod on it that asks for no device and is no part of the node; None = there is none."""

    @property
    def uid(self) -> str:
        return self.claim.uid if self.claim is not None else self.node.uid if self.node else ""

    @property
    def name(self) -> str:
        return self.claim.name if self.claim is not None else self.node.name if self.node else ""

    @property
    def leaving(self) -> bool:
        deleted = self.claim is not None and self.claim.deleted_seconds is not None
        return deleted or (self.node is not None and self.node.leaves)

    def ends_within(self, seconds: float, now_seconds: float) -> bool:
        return self.end is not None and self.end.at_seconds <= now_seconds + seconds

    @property
    def stage(self) -> tuple[NodeStage, float | None]:
        """How far it is, and since when, where that is told."""
        claim, node = self.claim, self.node
        if claim is None:
            ready = node is not None and node.ready and self._had_gpus
            since = node.ready_seconds if node is not None and ready else None
            return (NodeStage.INITIALIZED if ready else NodeStage.REGISTERED), since
        since = claim.since_seconds("Initialized")
        # A NodeClaim of a static pool asks for no GPUs, and is initialized without them. Where pods
        # have GPUs, they were there, though the driver may be gone.
        if since is not None and self._had_gpus:
            return NodeStage.INITIALIZED, since
        for stage, kind in ((NodeStage.REGISTERED, "Registered"), (NodeStage.LAUNCHED, "Launched")):
            since = claim.since_seconds(kind)
            if since is not None:
                return stage, since
        return NodeStage.ORDERED, claim.created_seconds

    @property
    def cancellable(self) -> bool:
        """Whether it is a machine on its way for pods with GPUs, or of a static pool."""
        claim = self.claim
        if claim is None or claim.since_seconds("Initialized") is not None:
            return False
        # Without GPUs it was bought for pods that are not read, unless they ask by claims.
        asked = not claim.requests or any(map(counts_gpus, claim.requests))
        return asked or claim.for_drivers

    @property
    def _had_gpus(self) -> bool:
        return self.gives_gpus or bool(self.pods) or self.unowned_gpus > 0

    @property
    def gives_gpus(self) -> bool:
        """Whether DRA or a device plugin shows GPUs of it."""
        if self.account is not None and self.account.devices:
            return True
        allocatable = self.node.allocatable if self.node is not None else {}
        return any(amount > 0 and counts_gpus(name) for name, amount in allocatable.items())


def pool_node(
    reading: NodeReading,
    gpus: int,
    seen: NodesSeen,
    held_until_seconds: float | None,
    now_seconds: float,
    lead_seconds: float,
) -> PoolNode:
    """The record of one node.

    Args:
        reading: its objects.
        gpus: that it has, or will have.
        seen: what earlier readings told.
        held_until_seconds: the end of our own hold's lease.
        now_seconds: of this reading.
        lead_seconds: until another node could be in its place.
    """
    claim, node, account = reading.claim, reading.node, reading.account
    stage, since = reading.stage
    created = (claim.created_seconds if claim else None) or (node.created_seconds if node else None)
    ordered = now_seconds if created is None else created
    since = ordered if since is None else since
    priced = account or claim
    price = priced.usd_per_gpu_hour if priced is not None else None
    pods = tuple(
        with_load(_pod(pod, count, now_seconds), reading.loads.get(pod.uid))
        for pod, count in reading.pods
    )
    told = claim if claim is not None and claim.capacity_type is not None else node
    occupied = bool(pods) or reading.unowned_gpus > 0
    # No pod can have GPUs of a node that is not ready, or whose GPUs are all unhealthy or tainted:
    # to hold it would pay for nothing.
    out = stage is NodeStage.INITIALIZED and account is not None and _is_out(account)
    empty = stage is NodeStage.INITIALIZED and not occupied and not out
    empty_since = _empty_since(reading, since, seen, now_seconds) if empty else None
    kept = node.do_not_disrupt if node is not None else claim is not None and claim.do_not_disrupt
    return PoolNode(
        name=reading.name,
        uid=reading.uid,
        instance_type=told.instance_type if told is not None else None,
        zone=told.zone if told is not None else None,
        capacity_type=told.capacity_type if told is not None else None,
        gpus=gpus,
        usd_per_hour=None if price is None else price * gpus,
        stage=stage,
        stage_since_seconds=since,
        ordered_seconds=ordered,
        cancellable=reading.cancellable,
        pods=pods,
        empty_since_seconds=empty_since,
        replaced_until_seconds=_replaced_until(reading.emptied, empty_since),
        held_by_us_until_seconds=held_until_seconds if kept else None,
        held_by_others=kept and held_until_seconds is None,
        leaving=reading.leaving,
        ending=reading.ends_within(lead_seconds, now_seconds),
        ends_at_seconds=None if reading.end is None else reading.end.at_seconds,
        ends_because=None if reading.end is None else reading.end.why,
        out_of_service=out,
        pods_moved=not any(pod.ranked_by_karpenter for pod, _ in reading.pods),
        clique=account.clique if account is not None else None,
        cpu_pod=reading.cpu_pod,
    )


def _is_out(account: NodeGpus) -> bool:
    return bool(account.out) and not account.free


def _empty_since(reading: NodeReading, since: float, seen: NodesSeen, now_seconds: float) -> float:
    """From the end of its last pod, where that was seen after any earlier reading of it as empty.

    Else from that reading, else from the node's start where that was seen, else now.
    """
    emptied = reading.emptied.at_seconds if reading.emptied is not None else None
    first = since if reading.uid in seen.starting else now_seconds
    if emptied is not None:
        first = emptied
    return min(max(seen.empty_since_seconds.get(reading.uid, first), emptied or 0.0), now_seconds)


def _replaced_until(emptied: Emptied | None, empty_since_seconds: float | None) -> float | None:
    """None also where it was emptied before, as after a gap: it may have had other pods since."""
    if emptied is None or empty_since_seconds is None or emptied.at_seconds < empty_since_seconds:
        return None
    return emptied.replaced_until_seconds


def _pod(pod: Pod, gpus: float, now_seconds: float) -> NodePod:
    return NodePod(
        uid=pod.uid,
        name=pod.name,
        workload=gang_of(pod) or pod.workload,
        gpus=gpus,
        # A pod that goes loads nothing.
        ready=pod.ready or pod.deleted_seconds is not None,
        created_seconds=now_seconds if pod.created_seconds is None else pod.created_seconds,
        do_not_disrupt=pod.do_not_disrupt is not None,
        deletion_cost=_cost(pod, DELETION_COST),
        disruption_cost=_cost(pod, DISRUPTION_COST),
    )


def _cost(pod: Pod, annotation: str) -> int | None:
    try:
        return int(pod.annotations[annotation])
    except (KeyError, ValueError):
        return None
