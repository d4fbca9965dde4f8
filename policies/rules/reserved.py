"""Reserved capacity is never saved.

A reservation costs the same whether its node runs or not, so an empty one is held, for nothing
under the policy's ceilings, and is the first that later rules count on.
"""

from typing import Final

from fleet.cluster.nodes import CapacityType
from fleet.reasons import Reason
from policies.node_plan import Step
from policies.rules.draft import PoolDraft, per_pool

_STEP: Final = Step(rule="reserved", text="its reservation costs the same without it")


@per_pool
def hold_reserved(draft: PoolDraft) -> None:
    """Hold empty reserved nodes."""
    for node in draft.empty:
        if node.capacity_type is CapacityType.RESERVED:
            draft.hold(node, Reason.RESERVED, draft.lease_end_seconds, _STEP)
