"""Which replica goes first when a Deployment gets smaller: those of the emptiest node.

With the ReplicaSet's own choice a node of eight GPUs almost never empties. The annotation
`controller.kubernetes.io/pod-deletion-cost` makes it take pods of the lowest cost first; only pods
of ReplicaSets have it, and a StatefulSet or a LeaderWorkerSet keeps its own order. Where another
controller ranks the pods of a node with it, which Karpenter's gate `PodDeletionCostManagement`
does, `karpenter.sh/disruption-cost` is set instead, which Karpenter then reads.

Costs stay small and positive: Karpenter counts a pod with -2^27 or less as none, and its node as
empty. A cost is kept while the node's order allows, so that few pods are written in a round.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from math import ceil
from typing import Final

from fleet.cluster.nodes import CapacityType
from policies.node_plan import Step
from policies.policy.pool_policy import Lever
from policies.rules.draft import PoolDraft, per_pool
from policies.situation import NodePod, PoolNode

_RULE: Final = "pod-costs"
_BY_REPLICA_SET: Final = frozenset({"Deployment", "ReplicaSet"})
_BAND: Final = 100
"""Costs for nodes that are equally full."""
_PINNED: Final = 10_000
"""More for a node that does not empty so: a pod of it has another order, or is not to be moved; or
that does not go when it is empty, because a pod without GPUs stays on it."""
_RESERVED: Final = 20_000
"""More for a node whose going saves nothing."""


@per_pool
def rank_replicas(draft: PoolDraft) -> None:
    """Give pods of emptier nodes lower costs, where a node has more than one GPU."""
    nodes = [node for node in draft.pool.nodes if node.pods and node.lasts]
    if draft.pool.gpus_per_node == 1 or len(nodes) <= 1:
        return
    if Lever.POD_DELETION_COST not in draft.policy.levers:
        draft.say(Step(rule=_RULE, text="the policy does not allow costs on pods"))
        return
    bands: dict[int, list[PoolNode]] = defaultdict(list)
    for node in nodes:
        bands[_band(node)].append(node)
    for band, members in bands.items():
        for node, cost in _costs(draft, band, members):
            _write(draft, node, cost)
    _report(draft, nodes)


def _band(node: PoolNode) -> int:
    used = ceil(sum(pod.gpus for pod in node.pods))
    pinned = any(not _ranked(pod) or pod.do_not_disrupt for pod in node.pods)
    pinned |= node.cpu_pod is not None
    reserved = node.capacity_type is CapacityType.RESERVED
    return used * _BAND + pinned * _PINNED + reserved * _RESERVED


def _ranked(pod: NodePod) -> bool:
    return pod.covered and pod.workload is not None and pod.workload.kind in _BY_REPLICA_SET


def _costs(
    draft: PoolDraft, band: int, nodes: Iterable[PoolNode]
) -> Iterator[tuple[PoolNode, int]]:
    """A cost for each node of a band, its present one where it has one of its own."""
    taken: set[int] = set()
    new = []
    for node in sorted(nodes, key=lambda one: (-(draft.usd_per_hour(one) or 0.0), one.name)):
        present = Counter(_present(node, pod) for pod in node.pods if _ranked(pod))
        cost = present.most_common(1)[0][0] if present else None
        if cost is not None and band <= cost < band + _BAND and cost not in taken:
            taken.add(cost)
            yield node, cost
        else:
            new.append(node)
    free = (cost for cost in range(band, band + _BAND) if cost not in taken)
    for node in new:
        yield node, next(free, band + _BAND - 1)


def _present(node: PoolNode, pod: NodePod) -> int | None:
    return pod.deletion_cost if node.pods_moved else pod.disruption_cost


def _write(draft: PoolDraft, node: PoolNode, cost: int) -> None:
    costs = draft.deletion_costs if node.pods_moved else draft.disruption_costs
    for pod in node.pods:
        if _ranked(pod) and _present(node, pod) != cost:
            costs[pod.uid] = cost


def _report(draft: PoolDraft, nodes: Iterable[PoolNode]) -> None:
    kinds = Counter(
        pod.workload.kind if pod.workload is not None else "no owner"
        for node in nodes
        for pod in node.pods
        if not _ranked(pod)
    )
    for kind, pods in sorted(kinds.items()):
        text = f"{pods} pods of {kind} keep their own order"
        draft.say(Step(rule=_RULE, text=text))
    ranked = sum(not node.pods_moved for node in nodes)
    if ranked:
        text = (
            f"another controller ranks the pods of {ranked} nodes: they get "
            "karpenter.sh/disruption-cost instead"
        )
        draft.say(Step(rule=_RULE, text=text))
