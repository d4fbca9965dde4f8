"""A node that ends whatever anybody does is replaced before it does.

Its NodeClaim expires, or its Capacity Block ends. Karpenter starts another one only when the pods
wait, which is a whole lead time too late. What is ordered and held for them is capacity that no pod
asks for now, so the policy's ceilings limit it.
"""

from typing import Final

from fleet.reasons import Reason
from policies.node_plan import NodeOrder, Step
from policies.rules.draft import PoolDraft, is_empty, per_pool

_RULE: Final = "ending"


@per_pool
def replace_ending(draft: PoolDraft) -> None:
    """Hold empty nodes for the pods of nodes that end, and order those that are missing."""
    ending = [
        node for node in draft.pool.nodes if node.ending and not node.leaving and not is_empty(node)
    ]
    if not ending:
        return
    names = ", ".join(sorted(node.name for node in ending))
    step = Step(rule=_RULE, text=f"for the pods of {names}, before another could be there")
    for rank, node in enumerate(draft.empty, start=len(draft.used) + 1):
        if rank <= draft.demand_nodes:
            draft.hold(node, Reason.PRE_WARM, draft.lease_end_seconds, step)
    missing = draft.demand_nodes - draft.nodes_to_be
    if missing > 0:
        draft.order(NodeOrder(nodes=missing, reason=Reason.PRE_WARM, steps=(step,)))
