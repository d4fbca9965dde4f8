"""One reading of a cluster to the pools that the rules see.

Pools are NodePools of Karpenter's and node groups that a node label names. A pool is left out, and
named, where it cannot be told which of its GPUs pods have: an unknown is no zero. A waiting pod
that several pools may get is counted in none of them, and named in the steps of each.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from fleet.account.loading import PodLoad
from fleet.account.machines import claims_of_nodes
from fleet.account.node import NodeGpus
from fleet.account.node_ends import node_ends
from fleet.cluster.gpu_resources import WHOLE
from fleet.cluster.groups import PodGroup
from fleet.cluster.hardware import Prices
from fleet.cluster.karpenter import NodeClaim, NodePool
from fleet.cluster.nodes import Node
from fleet.cluster.owners import Workload
from fleet.cluster.pods import Pod
from fleet.cluster.reading import Cluster
from fleet.snapshot import FleetSnapshot
from policies.reading import terms
from policies.reading.ending import ending_remarks
from policies.reading.fitting import Candidate, candidate_of
from policies.reading.gang_objects import GangObjects, UnmadeGang, ends_of
from policies.reading.gangs import (
    GangPod,
    by_gang,
    gang_demand,
    gang_of,
    missing_pods,
    unmade_demand,
)
from policies.reading.nodes import NodeReading, NodesSeen, pool_node
from policies.reading.waiting import waiting_gangs, waiting_pods
from policies.situation import LeadTime, NodeStage, PoolState


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What the reading of a cluster does not tell."""

    lead_time_of: Callable[[str], LeadTime]
    """Of a pool, by its name."""
    held_until_seconds: Mapping[str, float] = field(default_factory=dict)
    """Ends of our own holds, by the Node's name."""
    loads: Mapping[str, PodLoad] = field(default_factory=dict)
    """What is known of pods' loading, by their UID."""
    gang_ends_at: Mapping[Workload, float] = field(default_factory=dict)
    """When gangs are expected to end."""
    pod_groups: tuple[PodGroup, ...] = ()
    prices: Prices = field(default_factory=Prices)
    """With the machine types: for pools without a node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicas:
    """The pods of a workload in one pool; those of gangs are none."""

    pods: int
    """That run there or wait for a node of it."""
    gpus: float
    """Of all of them."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Of one of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """The pools of one reading."""

    pools: tuple[PoolState, ...]
    remarks: tuple[str, ...]
    """Of what is in no pool."""
    seen: NodesSeen
    """For the next reading."""
    replicas: Mapping[Workload, Mapping[str, Replicas]] = field(default_factory=dict)
    """By workload and by the pool's name."""
    pods: Mapping[str, tuple[GangPod, ...]] = field(default_factory=dict)
    """By the pool's name, with GPUs of it or waiting for them, gangs' among them."""


@dataclass(slots=True, kw_only=True)
class _Pool:
    """A pool, as its objects are put together."""

    name: str
    record: NodePool | None
    readings: list[NodeReading] = field(default_factory=list)
    gpus_per_node: int = 0
    waiting: list[GangPod] = field(default_factory=list)
    pods_wait: bool = False
    unmade: list[UnmadeGang] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gangs:
    """What is told of gangs beside their pods."""

    objects: GangObjects
    missing: Mapping[Workload, int]
    ends_at: Mapping[Workload, float]


def assess(
    cluster: Cluster,
    snapshot: FleetSnapshot,
    beside: Beside,
    seen: NodesSeen,
    now_seconds: float,
) -> Assessment:
    """The pools of a cluster with GPUs."""
    pools, remarks = _pools(cluster, snapshot, beside)
    candidates = [_candidate(pool) for pool in pools]
    waiting = waiting_pods(cluster, candidates)
    objects = GangObjects(cluster)
    # Without pods it is not known of which gangs there is none.
    unmade = waiting_gangs(objects, cluster.pods, candidates) if cluster.pods is not None else None
    for pool in pools:
        pool.waiting += waiting.by_pool[pool.name]
        elsewhere = waiting.anywhere or bool(waiting.remarks_by_pool[pool.name])
        pool.pods_wait = elsewhere or bool(pool.waiting)
        pool.remarks += waiting.remarks_by_pool[pool.name]
        if unmade is not None:
            pool.unmade += unmade.by_pool[pool.name]
            pool.remarks += unmade.remarks_by_pool[pool.name]
    remarks += [*waiting.remarks, *(unmade.remarks if unmade is not None else ())]
    missing = missing_pods(cluster.pods or (), beside.pod_groups, objects, map(_members, pools))
    gangs = {gang for pool in pools for gang in by_gang(_members(pool))}
    gangs |= {gang.workload for pool in pools for gang in pool.unmade}
    told = _Gangs(
        objects=objects,
        missing=missing,
        ends_at=ends_of(objects, gangs, beside.gang_ends_at),
    )
    states = [_state(pool, beside, told, seen, now_seconds) for pool in pools]
    nodes = [node for state in states for node in state.nodes]
    return Assessment(
        pools=tuple(states),
        replicas=_replicas(pools),
        pods={pool.name: tuple(_members(pool)) for pool in pools},
        remarks=tuple(remarks),
        seen=NodesSeen(
            empty_since_seconds={
                node.uid: node.empty_since_seconds
                for node in nodes
                if node.empty_since_seconds is not None
            },
            starting=frozenset(
                node.uid for node in nodes if node.stage is not NodeStage.INITIALIZED
            ),
        ),
    )


def _pools(
    cluster: Cluster, snapshot: FleetSnapshot, beside: Beside
) -> tuple[list[_Pool], list[str]]:
    records = {one.name: one for one in cluster.node_pools or ()}
    readings = _readings(cluster, snapshot, beside.loads)
    found, remarks = [], []
    for name in sorted({*records, *readings}):
        pool = _Pool(name=name, record=records.get(name), readings=readings.get(name, []))
        _count_gpus(pool, beside)
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
    return found, remarks


def _by_dra(cluster: Cluster, readings: Iterable[NodeReading]) -> bool:
    """Whether DRA gives out a pool's GPUs, or may, where it has no node yet that shows them."""
    shown = [one for one in readings if one.gives_gpus]
    if not shown:
        return any(one.of_gpus for one in cluster.classes or ())
    return any(one.account is not None and one.account.devices for one in shown)


def _readings(
    cluster: Cluster, snapshot: FleetSnapshot, loads: Mapping[str, PodLoad]
) -> dict[str, list[NodeReading]]:
    """By pool, the objects of each node and of each claim that has no node yet."""
    accounts = {one.node: one for one in snapshot.nodes}
    claims = claims_of_nodes(cluster)
    pods = {pod.name: pod for pod in cluster.pods or () if not pod.ended}
    ends = node_ends(cluster)
    found: dict[str, list[NodeReading]] = defaultdict(list)
    with_node: set[str] = set()
    for node in cluster.nodes:
        claim = claims.get(node.name)
        if claim is not None:
            with_node.add(claim.uid)
        pool = node.pool or (claim.pool if claim is not None else None)
        account = accounts.get(node.name)
        if pool is not None and (account is not None or _orders_gpus(claim)):
            reading = _reading(claim, node, account, pods)
            found[pool].append(replace(reading, loads=loads, end=ends.get(node.name)))
    for claim in cluster.node_claims or ():
        if claim.uid not in with_node and claim.pool is not None and _orders_gpus(claim):
            found[claim.pool].append(NodeReading(claim=claim, node=None, account=None))
    return found


def _orders_gpus(claim: NodeClaim | None) -> bool:
    return claim is not None and _claimed_gpus(claim) > 0


def _claimed_gpus(claim: NodeClaim) -> int:
    amounts = [int(of.get(name, 0)) for of in (claim.capacity, claim.requests) for name in WHOLE]
    return max(amounts)


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


def _count_gpus(pool: _Pool, beside: Beside) -> None:
    counts = Counter(map(_gpus, pool.readings))
    counts.pop(0, None)
    if counts:
        pool.gpus_per_node = counts.most_common(1)[0][0]
        if len(counts) > 1:
            sizes = ", ".join(map(str, sorted(counts)))
            pool.remarks.append(
                f"its nodes have {sizes} GPUs; new ones are taken to have {pool.gpus_per_node}"
            )
    else:
        machines = terms.machine_types(pool.record, beside.prices.instances)
        pool.gpus_per_node = terms.only(one.gpus for one in machines) or 0


def _gpus(reading: NodeReading) -> int:
    if reading.account is not None:
        return reading.account.gpus
    return _claimed_gpus(reading.claim) if reading.claim is not None else 0


def _candidate(pool: _Pool) -> Candidate:
    nodes = [one.node for one in pool.readings if one.node is not None]
    return candidate_of(
        pool.name,
        pool.gpus_per_node,
        pool.record,
        [node.labels for node in nodes],
        [node.taints for node in nodes],
    )


def _members(pool: _Pool) -> list[GangPod]:
    """The pods that run on the pool or wait for it; one that goes needs no node any more."""
    placed = [
        GangPod(pod=pod, gpus=gpus)
        for one in pool.readings
        for pod, gpus in one.pods
        if pod.deleted_seconds is None
    ]
    return [*placed, *pool.waiting]


def _replicas(pools: Iterable[_Pool]) -> dict[Workload, dict[str, Replicas]]:
    found: dict[Workload, dict[str, Replicas]] = defaultdict(dict)
    for pool in pools:
        for one in _members(pool):
            workload = one.pod.workload
            if workload is None or gang_of(one.pod) is not None:
                continue
            before = found[workload].get(pool.name, Replicas(pods=0, gpus=0.0))
            found[workload][pool.name] = Replicas(
                pods=before.pods + 1, gpus=before.gpus + one.gpus, labels=one.pod.labels
            )
    return dict(found)


def _state(
    pool: _Pool,
    beside: Beside,
    told: _Gangs,
    seen: NodesSeen,
    now_seconds: float,
) -> PoolState:
    lead = beside.lead_time_of(pool.name)
    lead_seconds = lead.boot_seconds_p90 + lead.pull_seconds
    nodes = tuple(
        pool_node(
            one,
            _gpus(one) or pool.gpus_per_node,
            seen,
            beside.held_until_seconds.get(one.node.name) if one.node is not None else None,
            now_seconds,
            lead_seconds,
        )
        for one in pool.readings
    )
    pods = _members(pool)
    capacity = terms.capacity_type(pool.record, nodes)
    machines = terms.machine_types(pool.record, beside.prices.instances)
    unowned = sum(one.unowned_gpus for one in pool.readings)
    single = [one for one in pods if gang_of(one.pod) is None]
    workloads = {one.pod.workload for one in pods if one.pod.workload is not None}
    gangs = (
        *(
            gang_demand(gang, members, told.missing.get(gang, 0), told.ends_at, told.objects)
            for gang, members in by_gang(pods).items()
        ),
        *(unmade_demand(gang, told.ends_at, told.objects) for gang in pool.unmade),
    )
    return PoolState(
        name=pool.name,
        generation=terms.most_common(one.account.generation for one in pool.readings if one.account)
        or terms.only(one.generation for one in machines),
        gpus_per_node=pool.gpus_per_node,
        usd_per_hour=terms.usd_per_hour(
            nodes, pool.gpus_per_node, capacity, machines, beside.prices
        ),
        capacity_type=capacity,
        nodes=nodes,
        demand_gpus=sum(one.gpus for one in single) + unowned,
        gangs=gangs,
        lead_time=lead,
        nodes_max=terms.nodes_max(pool.record, pool.gpus_per_node),
        consolidate_after_seconds=terms.consolidate_after_seconds(pool.record),
        static=pool.record is not None and pool.record.replicas is not None,
        labels=pool.record.labels if pool.record is not None else {},
        workloads=tuple(sorted(workloads, key=str)),
        pods_wait=pool.pods_wait,
        waiting_pod=min(((one.pod.uid, one.pod.name) for one in pool.waiting), default=None),
        remarks=(*pool.remarks, *ending_remarks(nodes, gangs, now_seconds + lead_seconds)),
    )
