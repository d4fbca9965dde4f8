"""The nodes that are there whatever the demand, by the operator's schedule.

The schedule says when nodes are to be there, so they are ordered a boot (its .9 quantile) and a
pull of images ahead. An empty node that the schedule wants back before another could be ordered,
used and missed is held until then: it would be let go only to be bought again.
"""

import math
from typing import Final

from fleet.reasons import Reason
from policies.node_plan import NodeOrder, Step
from policies.rules.draft import PoolDraft, per_pool
from policies.rules.worth import late_seconds

_RULE: Final = "warm-floor"
_LOOK_SECONDS: Final = 300.0
"""Between looks at the schedule; a window that is shorter may be missed."""


@per_pool
def keep_floor(draft: PoolDraft) -> None:
    """Hold and order nodes up to the schedule's number."""
    lead = draft.pool.lead_time
    ahead = lead.boot_seconds_p90 + lead.pull_seconds
    wanted = _floor_within(draft, ahead)
    kept = _floor_within(draft, ahead + lead.boot_seconds + late_seconds(draft))
    if kept == 0:
        return
    busy = len(draft.set_aside) + len(draft.used)
    for rank, node in enumerate(draft.empty, start=busy + 1):
        if rank <= kept:
            text = f"node {rank} of the {kept} that the schedule wants"
            step = Step(rule=_RULE, text=text)
            draft.hold(node, Reason.WARM_FLOOR, draft.lease_end_seconds, step)
    for_gangs = sum(order.nodes for order in draft.orders)
    there = len(draft.set_aside) + draft.nodes_coming_or_here + for_gangs
    missing = wanted - there
    if missing > 0:
        text = f"the schedule wants {wanted} nodes in {ahead / 60:.0f} min, and {there} are there"
        step = Step(rule=_RULE, text=text)
        draft.order(NodeOrder(nodes=missing, reason=Reason.WARM_FLOOR, steps=(step,)))


def _floor_within(draft: PoolDraft, seconds: float) -> int:
    """The highest number of the schedule from now on."""
    looks = math.ceil(seconds / _LOOK_SECONDS)
    later = (draft.policy_at(draft.now_seconds + seconds * i / looks) for i in range(1, looks + 1))
    return max([draft.policy.warm_floor_nodes, *(one.warm_floor_nodes for one in later)])
