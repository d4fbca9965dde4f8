"""Replicas that are planned and have no pods yet, as GPUs of the pools that they will run in.

A plan of a workload is ahead of its pods by the time that KEDA and its HPA take. One pod is taken
as one replica, so workloads whose replica is a group of pods count by their pods alone.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Final

from fleet.cluster.owners import Workload
from policies.reading.assess import Assessment
from policies.situation import PoolState

WORKLOADS_MAX: Final = 4096
FORGOTTEN_SECONDS: Final = 8 * 86_400.0
"""After which a workload without pods is forgotten."""
ONE_POD_EACH: Final = frozenset({"Deployment", "ReplicaSet", "StatefulSet"})
"""Kinds of workloads of which one pod is one replica."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsualPool:
    """Where a workload's replicas run, as it was last seen."""

    pool: str
    """Of several the one with most of its GPUs."""
    gpus_per_replica: float
    seen_seconds: float
    labels: Mapping[str, str] = field(default_factory=dict)
    """Of one of its pods."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedDemand:
    """GPUs of planned replicas without pods."""

    gpus: Mapping[str, float]
    """By pool."""
    remarks: tuple[str, ...]
    """Of plans that could not be counted."""


def usual_pools_of(
    assessment: Assessment, before: Mapping[Workload, UsualPool], now_seconds: float
) -> Mapping[Workload, UsualPool]:
    """Where workloads run, with those that were seen before and have no pods now."""
    found = {
        workload: usual
        for workload, usual in before.items()
        if now_seconds - usual.seen_seconds <= FORGOTTEN_SECONDS
    }
    for workload, pools in assessment.replicas.items():
        name, replicas = max(pools.items(), key=lambda item: (item[1].gpus, item[0]))
        found.pop(workload, None)
        found[workload] = UsualPool(
            pool=name,
            gpus_per_replica=replicas.gpus / replicas.pods,
            seen_seconds=now_seconds,
            labels=replicas.labels,
        )
    return dict(list(found.items())[-WORKLOADS_MAX:])


def usual_pod_gpus(pool: PoolState, usual_pools: Iterable[UsualPool]) -> int:
    """Whole GPUs of a pod of the pool: of most of its pods, else of the workload seen last in it.

    One that was never used has pods of one GPU.
    """
    counts = Counter(pod.gpus for node in pool.nodes for pod in node.pods)
    gpus, seen = 1.0, [one for one in usual_pools if one.pool == pool.name]
    if counts:
        gpus = max(counts, key=lambda one: (counts[one], one))
    elif seen:
        gpus = max(seen, key=lambda one: one.seen_seconds).gpus_per_replica
    return min(max(1, ceil(gpus)), pool.gpus_per_node)


def planned_demand(
    planned: Mapping[Workload, float],
    assessment: Assessment,
    usual_pools: Mapping[Workload, UsualPool],
) -> PlannedDemand:
    """The demand of planned replicas beyond those that have pods.

    Args:
        planned: replicas by workload.
        assessment: the pools, and the pods in them.
        usual_pools: where workloads run.
    """
    pools = {one.name for one in assessment.pools}
    gpus: dict[str, float] = {}
    remarks = []
    for workload, replicas in planned.items():
        more = replicas - replicas_now(workload, assessment)
        if more <= 0 or workload.kind not in ONE_POD_EACH:
            continue
        usual = usual_pools.get(workload)
        if usual is not None and usual.pool in pools:
            gpus[usual.pool] = gpus.get(usual.pool, 0.0) + more * usual.gpus_per_replica
        else:
            remarks.append(
                f"{workload.kind} {workload.namespace}/{workload.name}: {replicas:g} replicas are "
                "planned, and no pod of it was seen that shows its GPUs and its pool"
            )
    return PlannedDemand(gpus=gpus, remarks=tuple(remarks))


def replicas_now(workload: Workload, assessment: Assessment) -> int:
    """Replicas of a workload that have pods, in any pool."""
    return sum(one.pods for one in assessment.replicas.get(workload, {}).values())
