"""The objects of each pool with GPUs: its NodePool, and its nodes with what runs there.

Pools are NodePools of Karpenter's and node groups that a node label names. A pool is left out, and
named, where it cannot be told which of its GPUs pods have: an unknown is no zero.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from fleet.account.loading import PodLoad
from fleet.account.machines import claims_of_nodes
from fleet.account.node import NodeGpus
from fleet.account.node_ends import node_ends
from fleet.cluster.gpu_resources import WHOLE
from fleet.cluster.karpenter import NodeClaim, NodePool
from fleet.cluster.nodes import Node
from fleet.cluster.pods import Pod
from fleet.cluster.reading import Cluster
from fleet.instances import Instance
from fleet.snapshot import FleetSnapshot
from policies.reading import terms
from policies.reading.gang_objects import UnmadeGang
from policies.reading.gangs import GangPod
from policies.reading.nodes import NodeReading, UsualNode
from policies.rounds import Emptied
from policies.situation import NodeStage


@dataclass(slots=True, kw_only=True)
class PoolObjects:
    """A pool, as its objects are put together."""

    name: str
    record: NodePool | None
    readings: list[NodeReading] = field(default_factory=list)
    gpus_per_node: int = 0
    machines: tuple[Instance, ...] = ()
    """What new nodes may be; empty = nothing tells."""
    waiting: list[GangPod] = field(default_factory=list)
    pods_wait: bool = False
    """Pods wait that may get a node of it, also such as no pool counts."""
    unmade: list[UnmadeGang] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def members(self) -> list[GangPod]:
        """The pods that run on the pool or wait for it; one that goes needs no node any more."""
        placed = [
            GangPod(pod=pod, gpus=gpus)
            for one in self.readings
            for pod, gpus in one.pods
            if pod.deleted_seconds is None
        ]
        return [*placed, *self.waiting]


def pools_with_gpus(
    cluster: Cluster,
    snapshot: FleetSnapshot,
    loads: Mapping[str, PodLoad],
    instances: Mapping[str, Instance],
    emptied: Mapping[str, Emptied],
    usual: Mapping[str, UsualNode],
) -> tuple[list[PoolObjects], list[str]]:
    """The pools by name, and remarks on those that are left out.

    Args:
        cluster: one reading.
        snapshot: the GPUs of the same reading.
        loads: what is known of pods' loading, by their UID.
        instances: machine types by name, for pools without a node.
        emptied: how Nodes lost their pods, by name, where that was seen.
        usual: what nodes of pools were, by the NodePool's name, for pools without a node.
    """
    records = {one.name: one for one in cluster.node_pools or ()}
    readings = _readings(cluster, snapshot, loads, emptied)
    found, remarks = [], []
    for name in sorted({*records, *readings}):
        pool = PoolObjects(name=name, record=records.get(name), readings=readings.get(name, []))
        _count_gpus(pool, instances, usual.get(name))
        accounts = [one.account for one in pool.readings if one.account is not None]
        unread = {one.not_read for one in accounts} - {None}
        of_gpus = pool.gpus_per_node > 0
        if of_gpus and cluster.taint_rules is None and _by_dra(cluster, pool.readings):
            # Else a node would be ordered, and given up as soon as it shows a GPU, again and again.
            remarks.append(
                f"pool {name} is left alone: not every DeviceTaintRule was read, so pods may get "
                "no GPU of its nodes"
            )
        elif unread:
            kinds = ", ".join(sorted(map(str, unread)))
            remarks.append(f"pool {name} is left alone: no {kinds} was read, so use is unknown")
        elif of_gpus:
            found.append(pool)
        elif not pool.readings and terms.may_have_gpus(records[name], instances):
            remarks.append(
                f"pool {name} is left alone: no node of it was seen since the start, and its "
                "requirements do not tell how many GPUs one has"
            )
    return found, remarks


def _readings(
    cluster: Cluster,
    snapshot: FleetSnapshot,
    loads: Mapping[str, PodLoad],
    emptied: Mapping[str, Emptied],
) -> dict[str, list[NodeReading]]:
    """By pool, the objects of each node and of each claim that has no node yet."""
    accounts = {one.node: one for one in snapshot.nodes}
    claims = claims_of_nodes(cluster)
    pods = {pod.name: pod for pod in cluster.pods or () if not pod.ended}
    ends = node_ends(cluster)
    cpu_pods = cluster.cpu_pod_by_node
    found: dict[str, list[NodeReading]] = defaultdict(list)
    with_node: set[str] = set()
    for node in cluster.nodes:
        claim = claims.get(node.name)
        if claim is not None:
            with_node.add(claim.uid)
        pool = node.pool or (claim.pool if claim is not None else None)
        account = accounts.get(node.name)
        if pool is not None and (account is not None or _orders_gpus(claim)):
            reading = replace(
                _reading(claim, node, account, pods),
                loads=loads,
                end=ends.get(node.name),
                emptied=emptied.get(node.name),
                cpu_pod=cpu_pods.get(node.name),
            )
            found[pool].append(reading)
    for claim in cluster.node_claims or ():
        if claim.uid not in with_node and claim.pool is not None and _orders_gpus(claim):
            found[claim.pool].append(NodeReading(claim=claim, node=None, account=None))
    return found


def _reading(
    claim: NodeClaim | None, node: Node, account: NodeGpus | None, pods: Mapping[str, Pod]
) -> NodeReading:
    held: list[tuple[Pod, float]] = []
    unowned = 0.0
    for use in account.uses if account is not None else ():
        if use.placeholder:
            continue  # it goes as soon as a real pod comes: the room is free
        pod = pods.get(f"{use.namespace}/{use.pod}")
        if pod is None:
            unowned += use.gpus
        else:
            held.append((pod, use.gpus))
    return NodeReading(
        claim=claim, node=node, account=account, pods=tuple(held), unowned_gpus=unowned
    )


def _by_dra(cluster: Cluster, readings: Iterable[NodeReading]) -> bool:
    """Whether DRA gives out a pool's GPUs, or may, where it has no node yet that shows them."""
    shown = [one for one in readings if one.gives_gpus]
    if not shown:
        return any(one.of_gpus for one in cluster.classes or ())
    return any(one.account is not None and one.account.devices for one in shown)


def _count_gpus(
    pool: PoolObjects, instances: Mapping[str, Instance], usual: UsualNode | None
) -> None:
    pool.machines = terms.machine_types(pool.record, instances)
    # What is not launched has no size but that of its pods, and may never have another.
    counts = _sizes(one for one in pool.readings if one.stage[0] is not NodeStage.ORDERED)
    if not counts:
        _take_what_is_told(pool, instances, usual)
        counts = Counter() if pool.gpus_per_node else _sizes(pool.readings)
    if counts:
        pool.gpus_per_node = counts.most_common(1)[0][0]
        if len(counts) > 1:
            sizes = ", ".join(map(str, sorted(counts)))
            pool.remarks.append(
                f"its nodes have {sizes} GPUs; new ones are taken to have {pool.gpus_per_node}"
            )


def _take_what_is_told(
    pool: PoolObjects, instances: Mapping[str, Instance], usual: UsualNode | None
) -> None:
    """The GPUs and the machines that its requirements leave, else those of its last nodes."""
    allowed = {one.gpus for one in pool.machines}
    if len(allowed) == 1:
        pool.gpus_per_node = allowed.pop()
    elif pool.record is not None and usual is not None and (not allowed or usual.gpus in allowed):
        pool.gpus_per_node = usual.gpus
        known = instances.get(usual.instance_type or "")
        if known is not None and known.gpus == usual.gpus and known in (pool.machines or (known,)):
            pool.machines = (known,)


def _sizes(readings: Iterable[NodeReading]) -> Counter[int]:
    """How many nodes have how many GPUs."""
    return Counter(gpus for one in readings if (gpus := gpus_of(one)))


def gpus_of(reading: NodeReading) -> int:
    if reading.account is not None:
        return reading.account.gpus
    return _claimed_gpus(reading.claim) if reading.claim is not None else 0


def _claimed_gpus(claim: NodeClaim) -> int:
    amounts = [int(of.get(name, 0)) for of in (claim.capacity, claim.requests) for name in WHOLE]
    return max(amounts)


def _orders_gpus(claim: NodeClaim | None) -> bool:
    return claim is not None and _claimed_gpus(claim) > 0
