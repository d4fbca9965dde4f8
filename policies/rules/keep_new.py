"""A new node is kept for some time, empty or not, where the operator asks for it.

It is worth it where a machine is paid for a least time, or its start costs more than the lead time
shows, such as a model that is copied to its disks. It is off by default: in replays of day-long
traces a least hold of 5 to 15 minutes under the other rules cost more than it saved.
"""

from typing import Final

from fleet.reasons import Reason
from policies.node_plan import Step
from policies.rules.draft import PoolDraft, per_pool

_RULE: Final = "keep-new"


@per_pool
def keep_new_nodes(draft: PoolDraft) -> None:
    """Hold empty nodes that have not been there for long."""
    longest = draft.policy.keep_new_nodes_seconds
    if longest is None:
        return
    for node in draft.empty:
        begin = draft.since(f"keep-new/{node.uid}", node.stage_since_seconds)
        left = begin + longest - draft.now_seconds
        if left > 0:
            text = f"new nodes are kept for {longest / 60:g} min: {left / 60:.0f} min more"
            until = min(draft.lease_end_seconds, draft.now_seconds + left)
            draft.hold(node, Reason.WARM_FLOOR, until, Step(rule=_RULE, text=text))
