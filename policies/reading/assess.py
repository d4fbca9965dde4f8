"""One reading of a cluster to the pools that the rules see.

A waiting pod that several pools may get is counted in none of them, and named in the steps of each.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fleet.account.loading import PodLoad
from fleet.cluster.groups import PodGroup
from fleet.cluster.hardware import Prices
from fleet.cluster.nodes import CapacityType
from fleet.cluster.owners import Workload
from fleet.cluster.reading import Cluster
from fleet.snapshot import FleetSnapshot
from policies.reading import terms
from policies.reading.ending import ending_remarks
from policies.reading.fitting import Candidate, candidate_of
from policies.reading.gang_objects import GangObjects, ends_of
from policies.reading.gangs import (
    GangPod,
    by_gang,
    gang_demand,
    gang_of,
    missing_pods,
    unmade_demand,
)
from policies.reading.nodes import NodesSeen, UsualNode, pool_node
from policies.reading.pool_objects import PoolObjects, gpus_of, pools_with_gpus
from policies.reading.waiting import waiting_gangs, waiting_pods
from policies.rounds import Emptied
from policies.situation import LeadTime, NodeStage, PoolState


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What the reading of a cluster does not tell."""

    lead_time_of: Callable[[str], LeadTime]
    """Of a pool, by its name."""
    held_until_seconds: Mapping[str, float] = field(default_factory=dict)
    """Ends of our own holds, by the Node's name."""
    emptied: Mapping[str, Emptied] = field(default_factory=dict)
    """How Nodes lost their pods, by name, where that was seen between readings."""
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
    pools, remarks = pools_with_gpus(
        cluster, snapshot, beside.loads, beside.prices.instances, beside.emptied, seen.usual
    )
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
    members = {pool.name: tuple(pool.members()) for pool in pools}
    missing = missing_pods(cluster.pods or (), beside.pod_groups, objects, members.values())
    gangs = {gang for of_pool in members.values() for gang in by_gang(of_pool)}
    gangs |= {gang.workload for pool in pools for gang in pool.unmade}
    told = _Gangs(
        objects=objects,
        missing=missing,
        ends_at=ends_of(objects, gangs, beside.gang_ends_at),
    )
    states = [_state(pool, members[pool.name], beside, told, seen, now_seconds) for pool in pools]
    nodes = [node for state in states for node in state.nodes]
    return Assessment(
        pools=tuple(states),
        replicas=_replicas(members),
        pods=members,
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
            usual=_usual_nodes(cluster, states, seen.usual),
        ),
    )


def _waiting_pod(waiting: Iterable[GangPod]) -> tuple[str, str] | None:
    """One of no gang, where there is any."""
    found = ((gang_of(one.pod) is not None, one.pod.uid, one.pod.name) for one in waiting)
    first = min(found, default=None)
    return None if first is None else first[1:]


def _usual_nodes(
    cluster: Cluster, states: Iterable[PoolState], before: Mapping[str, UsualNode]
) -> dict[str, UsualNode]:
    """With those of before, as long as their NodePool is there, or they were not read."""
    pools = cluster.node_pools
    names = set(before) if pools is None else {pool.name for pool in pools}
    found = {name: usual for name, usual in before.items() if name in names}
    for state in states:
        types = [
            one.instance_type
            for one in state.nodes
            if one.stage is not NodeStage.ORDERED and one.gpus == state.gpus_per_node
        ]
        if types and state.name in names:
            found[state.name] = UsualNode(
                gpus=state.gpus_per_node, instance_type=terms.most_common(types)
            )
    return found


def _candidate(pool: PoolObjects) -> Candidate:
    nodes = [one.node for one in pool.readings if one.node is not None]
    return candidate_of(
        pool.name,
        pool.gpus_per_node,
        pool.record,
        [node.labels for node in nodes],
        [node.taints for node in nodes],
    )


def _replicas(
    members: Mapping[str, Iterable[GangPod]],
) -> dict[Workload, dict[str, Replicas]]:
    found: dict[Workload, dict[str, Replicas]] = defaultdict(dict)
    for pool, of_pool in members.items():
        replicas: dict[Workload, list[GangPod]] = defaultdict(list)
        for one in of_pool:
            if one.pod.workload is not None and gang_of(one.pod) is None:
                replicas[one.pod.workload].append(one)
        for workload, pods in replicas.items():
            gpus = sum(one.gpus for one in pods)
            labels = pods[-1].pod.labels
            found[workload][pool] = Replicas(pods=len(pods), gpus=gpus, labels=labels)
    return dict(found)


def _state(
    pool: PoolObjects,
    pods: Sequence[GangPod],
    beside: Beside,
    told: _Gangs,
    seen: NodesSeen,
    now_seconds: float,
) -> PoolState:
    lead = beside.lead_time_of(pool.name)
    lead_seconds = lead.boot_seconds_p90 + lead.pull_seconds
    found = (
        pool_node(
            one,
            gpus_of(one) or pool.gpus_per_node,
            seen,
            beside.held_until_seconds.get(one.node.name) if one.node is not None else None,
            now_seconds,
            lead_seconds,
        )
        for one in pool.readings
    )
    nodes = tuple(terms.with_price(one, beside.prices) for one in found)
    capacity = terms.capacity_type(pool.record, nodes)
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
        or terms.only(one.generation for one in pool.machines),
        gpus_per_node=pool.gpus_per_node,
        usd_per_hour=terms.usd_per_hour(
            nodes, pool.gpus_per_node, capacity, pool.machines, beside.prices
        ),
        usd_per_hour_on_demand=terms.usd_per_hour(
            nodes, pool.gpus_per_node, CapacityType.ON_DEMAND, pool.machines, beside.prices
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
        waiting_pod=_waiting_pod(pool.waiting),
        remarks=(*pool.remarks, *ending_remarks(nodes, gangs, now_seconds + lead_seconds)),
    )
