"""Karpenter's own timing, as constants of its source (v1.14).

Its limits for launches and registrations are in `fleet.cluster.karpenter`. Left out: replacing a
node by a smaller one, and drift. A nomination of a node lasts as long as pods wait that Karpenter
counts on it for.
"""

from math import ceil

BATCH_IDLE_SECONDS = 1
"""A batch of pods is closed when none came for so long,"""
BATCH_MAX_SECONDS = 10
"""and so long after its first pod at the latest."""
LOOP_SECONDS = 10
"""From the end of a pass of the disruption loop to the next pass; after a success it follows at
once. So each validation moves all later passes."""
POD_EVENT_SECONDS = 10
"""Pods that come to a node or go within so long after one that counted are the same event, from
which `consolidateAfter` runs."""
VALIDATION_SECONDS = 15
"""The loop waits so long before it looks again whether a node is still empty."""
DRAIN_SECONDS = 5
"""The shortest drain."""
REFUSAL_SECONDS = 180
"""How long an offering is not asked for again after the cloud had none."""
BUDGET_SHARE = 0.1
"""Of a pool's nodes that may be on their way out at once: a NodePool's default budget."""


def next_pass(not_before_seconds: float, last_seconds: float) -> float:
    """The first pass of the disruption loop at or after a moment, by the end of any earlier one."""
    passes = ceil((not_before_seconds - last_seconds) / LOOP_SECONDS)
    return last_seconds + passes * float(LOOP_SECONDS)


def disruptions_allowed(nodes: int, leaving: int, budget_share: float) -> int:
    """Nodes of a pool that one pass may let go; a share is rounded up, as Karpenter does it."""
    return max(0, ceil(budget_share * nodes) - leaving)
