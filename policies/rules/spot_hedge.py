"""Some capacity that does not go when spot machines are reclaimed.

Two numbers of the operator's, after SkyServe's SpotHedge: a share of the wanted nodes is ordered on
demand, and some nodes are kept beyond what is wanted while any node of the pool is a spot machine.
"""

import math
from dataclasses import replace
from typing import Final

from fleet.cluster.nodes import CapacityType
from fleet.reasons import Reason
from policies.node_plan import NodeOrder, Step
from policies.rules.draft import PoolDraft, per_pool

_RULE: Final = "spot-hedge"
_NOISE: Final = 1e-9


@per_pool
def hedge(draft: PoolDraft) -> None:
    """Keep the spare nodes, then say which orders are on demand."""
    if any(node.capacity_type is CapacityType.SPOT for node in draft.present):
        _spare(draft)
    if draft.policy.spot_hedge.on_demand_share > 0:
        _on_demand(draft)


def _spare(draft: PoolDraft) -> None:
    spare = draft.policy.spot_hedge.spare_nodes
    wanted = max(draft.nodes_wanted or 0, draft.demand_nodes, len(draft.used))
    draft.keep_at_least(wanted + spare)
    for rank, node in enumerate(draft.empty, start=len(draft.used) + 1):
        if wanted < rank <= wanted + spare:
            step = Step(rule=_RULE, text=f"spare {rank - wanted} of {spare} for lost spot machines")
            draft.hold(node, Reason.PRE_WARM, draft.lease_end_seconds, step)
    missing = max(draft.demand_nodes, len(draft.used)) + spare - draft.nodes_to_be
    if spare > 0 and missing > 0:
        text = f"{missing} of {spare} spare nodes for lost spot machines are not there"
        step = Step(rule=_RULE, text=text)
        draft.order(NodeOrder(nodes=missing, reason=Reason.PRE_WARM, steps=(step,)))


def _on_demand(draft: PoolDraft) -> None:
    if draft.pool.capacity_type is not None:
        if draft.pool.capacity_type is CapacityType.SPOT:
            draft.say(Step(rule=_RULE, text="the pool has spot machines only, none on demand"))
        return
    share = draft.policy.spot_hedge.on_demand_share
    ordered = sum(order.nodes for order in draft.orders)
    wanted = max(draft.nodes_wanted or 0, draft.demand_nodes, len(draft.present) + ordered)
    lasting = sum(
        node.capacity_type in (CapacityType.ON_DEMAND, CapacityType.RESERVED)
        for node in draft.present
    )
    missing = math.ceil(share * wanted - _NOISE) - lasting
    split: list[NodeOrder] = []
    for order in draft.orders:
        fixed = min(order.nodes, max(0, missing)) if order.capacity_type is None else 0
        missing -= fixed
        text = f"{share:.0%} of {wanted} nodes are to be on demand, and {lasting} are"
        steps = (*order.steps, Step(rule=_RULE, text=text))
        if fixed:
            on_demand = CapacityType.ON_DEMAND
            split.append(replace(order, nodes=fixed, capacity_type=on_demand, steps=steps))
        if order.nodes > fixed:
            split.append(replace(order, nodes=order.nodes - fixed))
    draft.orders = split
