"""The one list of reasons: each GPU of a cluster has exactly one, and so has what it costs.

`fleet.account.partition` finds the reason of each GPU; the rules for nodes in `policies` say why an
empty node is kept.
"""

from enum import StrEnum
from typing import Final


class Reason(StrEnum):
    """Why a GPU is there: it serves, it cannot, or it waits for something."""

    SERVING = "serving"
    """Of a pod that is ready."""
    IDLE = "idle"
    """Of a ready pod, and it did nothing, as measured."""
    VETO = "veto"
    """Of a pod that is not ready: it loads its model, or fails to."""
    UNINITIALIZED = "uninitialized"
    """Paid for, and pods cannot have its GPUs yet."""
    FRAGMENTATION = "fragmentation"
    """Free GPUs beside used ones."""
    FORECAST_HOLD = "forecast hold"
    """Empty, held for demand that the forecast expects."""
    PRE_WARM = "pre-warm"
    """Ordered ahead of demand, and not used yet. Or empty, and kept for spot machines that are lost
    or for the pods of a node that ends."""
    WARM_FLOOR = "warm floor"
    """Empty, held by the policy's schedule, or because the policy keeps new nodes."""
    GANG = "gang"
    """Ordered or held for a workload that needs all its nodes at once."""
    BUDGET = "budget"
    """Empty, and a ceiling allows no hold of it: it is on its way out, if its price is known."""
    RESERVED = "reserved"
    """Empty, and it costs the same without us."""
    HELD_BY_OTHERS = "held by others"
    """Empty, and an annotation that is not ours keeps it."""
    NONE = "no reason"
    """Empty, and no rule wants it: it waits for Karpenter."""
    OUT = "out of service"
    """No pod can have it: cordoned, unhealthy, tainted, on its way out, claimed by no pod, or
    beside used ones whose driver is gone."""
    UNKNOWN = "unknown"
    """It was not read."""


OF_EMPTY: Final = frozenset(
    {
        Reason.FORECAST_HOLD,
        Reason.PRE_WARM,
        Reason.WARM_FLOOR,
        Reason.GANG,
        Reason.BUDGET,
        Reason.RESERVED,
        Reason.HELD_BY_OTHERS,
        Reason.NONE,
    }
)
"""What a policy may say of a node. The others are facts of a reading, and a plan does not change
them."""
