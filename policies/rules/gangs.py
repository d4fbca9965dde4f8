"""A workload whose pods start together gets nodes for all of them, or none.

The nodes that are missing count as one demand: empty ones are held and the rest is ordered, unless
the pool's limit leaves some pod without a node; then nothing is. Nodes are counted whole, although
a gang of small pods may fit beside others. Karpenter buys by itself for pods that it sees, so only
what it cannot see is ordered: pods that a scheduling gate or a queue holds back. They have to
exist, unless a quota of Kueue's counts them: a tenant may state any number of pods. A gang without
a quota, or that its owner has suspended, is demand with a price, and gets no node.

A node with a gang's pods is held until the gang's expected end: moving one of its pods ends all.
An end that is past, and a start that does not come, hold nodes for a limited time; a gang that
writes checkpoints keeps its nodes until the next one, from which it can go on elsewhere.
"""

import math
from collections import Counter
from typing import Final

from fleet.reasons import Reason
from policies.node_plan import NodeOrder, Step
from policies.rules.draft import ORDER_LEVERS, PoolDraft, per_pool
from policies.situation import GangDemand, PoolNode

_RULE: Final = "gang"


@per_pool
def serve_gangs(draft: PoolDraft) -> None:
    """Hold and order nodes for the pool's gangs, in the order in which they are given."""
    for gang in draft.pool.gangs:
        if gang.held_back is None and not _over(draft, gang):
            _hold_running(draft, gang)
    for gang in draft.pool.gangs:
        if gang.held_back is not None:
            _price(draft, gang, gang.held_back)
        elif gang.waiting_pods > 0 and not _over(draft, gang):
            _serve(draft, gang)


def _price(draft: PoolDraft, gang: GangDemand, held_back: str) -> None:
    """Say what a gang that no node helps would cost once it runs."""
    gpus = gang.all_gpus
    usd = draft.pool.usd_per_hour
    price = "?" if usd is None else f"{usd * gpus / draft.pool.gpus_per_node:.2f}"
    _say(draft, gang, f"waits for {held_back}: {gpus:g} GPUs, ${price}/h, no node is kept for it")


def _over(draft: PoolDraft, gang: GangDemand) -> bool:
    """Whether it has overrun its expected end for too long to hold nodes for it."""
    if _end(draft, gang) > draft.now_seconds or gang.ends_at_seconds is None:
        return False
    late = draft.now_seconds - gang.ends_at_seconds
    _say(draft, gang, f"was to end {late / 60:.0f} min ago: nothing is held for it any more")
    return True


def _end(draft: PoolDraft, gang: GangDemand) -> float:
    if gang.ends_at_seconds is None:
        return math.inf
    end = gang.ends_at_seconds + draft.constants.gang_overrun_seconds
    return end if gang.checkpoints is None else gang.checkpoints.next_after(end)


def _hold_running(draft: PoolDraft, gang: GangDemand) -> None:
    until = min(draft.lease_end_seconds, _end(draft, gang))
    gangs = {one.workload for one in draft.pool.gangs}
    for node in draft.present:
        workloads = {pod.workload for pod in node.pods}
        if gang.workload in workloads:
            text = f"{name_of(gang)} runs on it, and ends as a whole{_checkpoint(draft, gang)}"
            draft.hold(node, Reason.GANG, until, Step(rule=_RULE, text=text))
            if workloads <= gangs:
                draft.set_aside.add(node.uid)


def _checkpoint(draft: PoolDraft, gang: GangDemand) -> str:
    """That its overrun is over, and only its checkpoint is waited for."""
    if gang.ends_at_seconds is None or gang.checkpoints is None:
        return ""
    if draft.now_seconds < gang.ends_at_seconds + draft.constants.gang_overrun_seconds:
        return ""
    left = (_end(draft, gang) - draft.now_seconds) / 60
    return f"; overdue, and kept for its next checkpoint in {left:.0f} min"


def _serve(draft: PoolDraft, gang: GangDemand) -> None:
    fitting = int(draft.pool.gpus_per_node // gang.gpus_per_pod)
    if fitting == 0:
        text = f"asks {gang.gpus_per_pod:g} GPUs a pod, and a node has {draft.pool.gpus_per_node}"
        _say(draft, gang, text)
        return
    if gang.started_in_part:
        placed = gang.pods - gang.waiting_pods
        _say(draft, gang, f"is started in part: {placed} of {gang.pods} pods have a node")
    if gang.missing_pods and not gang.admitted:
        text = f"lacks {gang.missing_pods} of {gang.pods} pods: nodes are kept when all exist"
        _say(draft, gang, text)
        return
    waits = draft.now_seconds - draft.since(f"gang/{name_of(gang)}")
    if waits > draft.constants.gang_wait_seconds_max:
        _say(draft, gang, f"did not start in {waits / 60:.0f} min: nothing is held for it any more")
        return
    refused = draft.refused_gangs.get(name_of(gang))
    nodes = math.ceil(gang.waiting_pods / fitting)
    if refused is not None:
        draft.say(refused)
        draft.wanted_by_gangs |= {node.uid for node in _beyond_demand(draft)[:nodes]}
        return
    taken = _free(draft)[:nodes]
    missing = nodes - len(taken)
    unseen = max(0, missing - math.ceil(gang.seen_pods / fitting))
    if (draft.room is not None and missing > draft.room) or (unseen and not _may_order(draft)):
        text = f"needs {nodes} nodes, {len(taken)} are free and no more can be had: none is kept"
        _say(draft, gang, text)
        return
    _take(draft, gang, taken, f"one of {nodes} nodes for {gang.waiting_pods} pods that wait")
    if unseen:
        text = f"{name_of(gang)} needs {nodes} nodes at once, and {len(taken)} are free"
        step = Step(rule=_RULE, text=text)
        order = NodeOrder(nodes=unseen, reason=Reason.GANG, workload=name_of(gang), steps=(step,))
        draft.order(order)


def _may_order(draft: PoolDraft) -> bool:
    return bool(ORDER_LEVERS & draft.policy.levers)


def _free(draft: PoolDraft) -> list[PoolNode]:
    """Nodes that no pod has and present demand does not want, ready ones first.

    Among them those of the NVLink domain with most: a gang runs best within one.
    """
    free = [*_by_domain(draft, draft.empty), *draft.coming]
    return free[: max(0, len(free) - draft.demand_nodes_unused)]


def _beyond_demand(draft: PoolDraft) -> list[PoolNode]:
    """The same for a gang whose nodes are not set aside: other rules count demand from the first.

    Those that demand wants are so the first ones, also where they are of the largest domain.
    """
    wanted = draft.demand_nodes_unused
    coming = draft.coming[max(0, wanted - len(draft.empty)) :]
    return [*_by_domain(draft, draft.empty[wanted:]), *coming]


def _by_domain(draft: PoolDraft, nodes: list[PoolNode]) -> list[PoolNode]:
    domains = Counter(node.clique for node in draft.empty if node.clique is not None)
    return sorted(nodes, key=lambda node: -domains.get(node.clique or "", 0))


def _take(draft: PoolDraft, gang: GangDemand, nodes: list[PoolNode], text: str) -> None:
    until = min(draft.lease_end_seconds, _end(draft, gang))
    step = Step(rule=_RULE, text=f"{name_of(gang)}: {text}")
    empty = {node.uid for node in draft.empty}
    for node in nodes:
        if node.uid in empty:
            draft.hold(node, Reason.GANG, until, step, name_of(gang))
        draft.set_aside.add(node.uid)


def _say(draft: PoolDraft, gang: GangDemand, text: str) -> None:
    draft.say(Step(rule=_RULE, text=f"{name_of(gang)} {text}"))


def name_of(gang: GangDemand) -> str:
    """Kind, namespace and name of its workload."""
    return f"{gang.workload.kind} {gang.workload.namespace}/{gang.workload.name}"
