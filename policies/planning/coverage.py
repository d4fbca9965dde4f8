"""Which workloads a policy is about, and what is left of the pool's demand for its rules.

A pool has one policy, and that counts: where two policies name one workload, it goes in each pool
by the policy of that pool. Pods of other workloads are there all the same: they fill nodes, and
their demand is taken to stay as it is. But no node is ordered, held or kept for them, and the order
of their replicas is left alone.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from fleet.cluster.owners import Workload
from policies.planning.planned_replicas import UsualPool
from policies.policy.selectors import WorkloadSelector
from policies.reading.gangs import GangPod, by_gang, gang_of
from policies.situation import GangDemand, PoolNode, PoolState

Selectors = Mapping[str, WorkloadSelector]
"""By pool, of pools whose policy says which workloads it is about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoveredPool:
    """A pool as the rules of its policy see it."""

    pool: PoolState
    others_gpus: float = 0.0
    """Of its demand, what the policy is not about."""


def covered_pool(
    pool: PoolState, pods: Iterable[GangPod], selector: WorkloadSelector | None
) -> CoveredPool:
    """The pool with what its policy is about marked.

    Args:
        pool: as it was read.
        pods: with GPUs of it, or that wait for them.
        selector: of the policy; None = it is about all.
    """
    if selector is None:
        return CoveredPool(pool=pool)
    members = list(pods)
    mine = {one.pod.uid for one in members if selector.covers(one.pod.namespace, one.pod.labels)}
    theirs = {one.pod.uid for one in members} - mine
    gangs = {
        gang for gang, of in by_gang(members).items() if any(one.pod.uid in mine for one in of)
    }
    gangs |= {
        gang.workload
        for gang in pool.gangs
        if gang.missing_pods == gang.pods and selector.covers(gang.workload.namespace, gang.labels)
    }
    left = [gang for gang in pool.gangs if gang.workload not in gangs]
    gpus = sum(one.gpus for one in members if one.pod.uid in mine and gang_of(one.pod) is None)
    demand = pool.demand_gpus + sum(map(_seen_gpus, left))
    others = max(0.0, demand - gpus)
    text = f"{others:g} GPUs of its demand are of workloads that the policy is not about"
    return CoveredPool(
        pool=replace(
            pool,
            demand_gpus=demand,
            gangs=tuple(gang for gang in pool.gangs if gang.workload in gangs),
            nodes=tuple(_marked(node, theirs) for node in pool.nodes),
            remarks=(*pool.remarks, *([text] if others else [])),
        ),
        others_gpus=others,
    )


def is_covered(
    workload: Workload, usual_pools: Mapping[Workload, UsualPool], selectors: Selectors
) -> bool:
    """Whether the policy of the pool where a workload runs is about it.

    True where that pool is not known, or its policy is about all.
    """
    usual = usual_pools.get(workload)
    selector = selectors.get(usual.pool) if usual is not None else None
    return usual is None or selector is None or selector.covers(workload.namespace, usual.labels)


def _seen_gpus(gang: GangDemand) -> float:
    """Of its pods that have a node, or that Karpenter buys one for."""
    return (gang.pods - gang.waiting_pods + gang.seen_pods) * gang.gpus_per_pod


def _marked(node: PoolNode, theirs: set[str]) -> PoolNode:
    if not any(pod.uid in theirs for pod in node.pods):
        return node
    pods = tuple(replace(pod, covered=pod.uid not in theirs) for pod in node.pods)
    return replace(node, pods=pods)
