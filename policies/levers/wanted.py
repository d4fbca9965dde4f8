"""Nodes to keep room for, as a lever has to ask: with those that are there already.

A plan orders nodes *beyond* those that are there or on their way. A buffer or a placeholder says
how much room there must be in all, and its pods take the empty nodes first; so those are counted
in. Room that the present demand will take is not: Karpenter buys it for the pods themselves, and
what is asked for falls in the round in which replicas are asked for.

Once all has come, holds keep the nodes, and nothing is asked for any more: a buffer that stood
would be filled again as soon as pods take its room.
"""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from fleet.annotations import RELEASE_TAINT
from fleet.cluster.cpu_pods import cpu_pod_of
from fleet.cluster.fields import tolerations
from fleet.cluster.gpu_resources import counts_gpus
from fleet.cluster.nodes import CapacityType
from fleet.cluster.pods import Pod
from policies.levers.objects import MadeObject
from policies.levers.round import PoolRound
from policies.node_plan import NodeOrder, Verdict
from policies.rules.draft import is_empty
from policies.situation import NodeStage, PoolNode

_NOISE = 1e-9
"""Of sums of GPU counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodesToAsk:
    """Whole nodes to ask for, of a capacity type."""

    capacity_type: CapacityType | None
    """None = as the pool has it."""
    nodes: int
    ordered: int = 0
    """Of them, new ones."""
    because: str
    """The reason of most of them."""

    @property
    def text(self) -> str:
        there = self.nodes - self.ordered
        return f"{self.ordered} new nodes and {there} that are there or on their way"


def nodes_to_ask(
    round_: PoolRound, made: Iterable[MadeObject], *, unfinished: bool = False
) -> tuple[NodesToAsk, ...]:
    """An entry a capacity type; what was asked for one with 0 nodes is to be given up.

    Args:
        round_: of the pool.
        made: the objects with which we ask already.
        unfinished: what came is not ready yet for what it is for.
    """
    made = list(made)
    reasons = {one.capacity_type: one.because or "" for one in made if one.replicas}
    asked = Counter[CapacityType | None]()
    for one in made:
        asked[one.capacity_type] += one.replicas or 0
    orders = round_.plan.orders
    kinds = dict.fromkeys([*reasons, *(order.capacity_type for order in orders)])
    there = _there(round_, asked=bool(reasons), unfinished=unfinished)
    found = []
    for kind in sorted(kinds, key=lambda one: (one is None, str(one))):
        ours = [order for order in orders if order.capacity_type is kind]
        taken = [node for node in there if kind is None or node.capacity_type is kind]
        there = [node for node in there if node not in taken]
        ordered = sum(order.nodes for order in ours)
        # Without an order no more is asked for: a node that takes no pod would be bought again in
        # each round, and those on their way counted in the next.
        nodes = ordered + len(taken) if ordered else min(len(taken), asked[kind])
        found.append(
            NodesToAsk(
                capacity_type=kind,
                nodes=nodes,
                ordered=ordered,
                because=_because(ours) or reasons.get(kind) or "",
            )
        )
    return tuple(found)


def _there(round_: PoolRound, *, asked: bool, unfinished: bool) -> list[PoolNode]:
    """Nodes that are there or coming, and that what is asked for has to cover."""
    present = [node for node in round_.pool.nodes if node.lasts]
    # Pods may be on a node before its NodeClaim says that it is initialized: it is no room.
    coming = [
        node
        for node in present
        if node.stage is not NodeStage.INITIALIZED
        and not node.pods
        and round_.verdict(node) is not Verdict.RELEASE
    ]
    empty = [node for node in present if is_empty(node) and _takes_pods(round_, node)]
    # Room that the present demand is about to take, of empty nodes first.
    waiting = _waiting_nodes(round_, present)
    free, on_the_way = empty[waiting:], coming[max(0, waiting - len(empty)) :]
    if round_.plan.orders:
        return [*free, *on_the_way]
    if not asked or not (on_the_way or unfinished):
        return []
    return [*(node for node in free if _stays(round_, node)), *on_the_way]


def _takes_pods(round_: PoolRound, node: PoolNode) -> bool:
    """Whether no taint keeps the pool's pods off, as that of a node that is not ready does.

    A node whose NodeClaim was deleted meanwhile is found no more, and takes none.
    """
    found = round_.objects.node_named(node.name)
    if found is None:
        return False
    own = {taint.key for taint in round_.record.taints} if round_.record is not None else set()
    tolerated = tolerations(round_.pod_spec or {})
    return all(
        not taint.repels
        or taint.key in {*own, RELEASE_TAINT}
        or any(one.covers(taint) for one in tolerated)
        for taint in found.taints
    )


def _stays(round_: PoolRound, node: PoolNode) -> bool:
    """Whether an empty node is kept by somebody; one that nobody keeps may go."""
    reserved = node.capacity_type is CapacityType.RESERVED
    return round_.verdict(node) is Verdict.HOLD or node.held_by_others or reserved


def _waiting_nodes(round_: PoolRound, present: list[PoolNode]) -> int:
    """Nodes that pods wait for which Karpenter sees."""
    pool = round_.pool
    gangs = {gang.workload for gang in pool.gangs}
    used = sum(any(pod.workload not in gangs for pod in node.pods) for node in present)
    wanted = math.ceil(pool.demand_gpus / pool.gpus_per_node - _NOISE)
    seen = 0
    for gang in pool.gangs:
        fitting = int(pool.gpus_per_node // gang.gpus_per_pod) if gang.gpus_per_pod else 0
        seen += math.ceil(gang.seen_pods / fitting) if fitting else 0
    return max(0, wanted - used) + seen


def _because(orders: list[NodeOrder]) -> str | None:
    largest = max(orders, key=lambda order: order.nodes, default=None)
    return largest.reason.value if largest is not None else None


def takes_gpus(pod: Pod) -> bool:
    """Whether a pod runs that takes what a node of GPUs is there for.

    A pod of a DaemonSet that asks for GPUs serves; with other devices it is a part of the node.
    """
    if not pod.may_take_gpus or pod.placeholder or pod.ended:
        return False
    return not pod.of_daemon_set or any(map(counts_gpus, pod.requests))


def uses_node(pod: Pod) -> bool:
    """Whether a pod runs that would be lost with its node, with GPUs or without."""
    return takes_gpus(pod) or cpu_pod_of(pod) is not None
