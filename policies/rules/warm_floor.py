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
    floors = _floors(draft, ahead, ahead + lead.boot_seconds + late_seconds(draft))
    wanted = max(nodes for seconds, nodes in floors.items() if seconds <= ahead)
    kept = max(floors.values())
    if kept == 0:
        return
    draft.keep_at_least(kept - len(draft.set_aside))
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
        begin = min(seconds for seconds, nodes in floors.items() if nodes == wanted)
        moment = f"in {begin / 60:.0f} min" if begin > 0 else "now"
        text = f"nodes that the schedule wants {moment}: {wanted}; there or coming: {there}"
        step = Step(rule=_RULE, text=text)
        draft.order(NodeOrder(nodes=missing, reason=Reason.WARM_FLOOR, steps=(step,)))


def _floors(draft: PoolDraft, ahead: float, horizon: float) -> dict[float, int]:
    """The schedule's numbers from now to the horizon, by seconds from now."""
    between = (_LOOK_SECONDS * look for look in range(1, math.ceil(horizon / _LOOK_SECONDS)))
    later = {
        seconds: draft.policy_at(draft.now_seconds + seconds).warm_floor_nodes
        for seconds in {*between, ahead, horizon}
    }
    return {0.0: draft.policy.warm_floor_nodes, **later}
