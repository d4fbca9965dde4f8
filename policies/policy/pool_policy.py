"""What a CapacityPolicy says of one pool at one moment, as the rules read it.

`resolve.pool_policy` makes it: schedules are looked up, the policy's own rules applied, and dollars
turned into GPU-minutes. Whoever tests a rule states only the fields that the test is about; the
defaults are the schema's own, which a test compares.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from policies.policy.quiet_budgets import QuietBudget

RHO_DEFAULT: Final = 10.0
"""Idle GPU-minutes that one delayed pod-minute is worth."""
TRUST_DEFAULT: Final = 1.0
HOLD_LEASE_DEFAULT_SECONDS: Final = 900.0
VETO_DEFAULT_SECONDS: Final = 1800.0


class Mode(StrEnum):
    """Whether decisions are carried out."""

    ADVISE = "advise"
    """Say what would be done, and why; change nothing."""
    ACT = "act"


class Tuning(StrEnum):
    """Whether the rules' constants follow a pool's own past."""

    NIGHTLY = "nightly"
    """They are chosen again each night."""
    NEVER = "never"
    """They are as they ship."""


class Lever(StrEnum):
    """A way to carry out a decision; the values are the policy's keys."""

    CAPACITY_BUFFER = "capacityBuffer"
    """Order nodes through a CapacityBuffer of ours."""
    PLACEHOLDER = "placeholder"
    """Order nodes through placeholder pods of low priority."""
    STATIC_POOL = "staticPool"
    """Set the size of a static NodePool through its scale subresource."""
    NODE_HOLD = "nodeHold"
    """Hold an empty node: an annotation that whatever takes nodes away obeys, with a lease."""
    NODE_RELEASE = "nodeRelease"
    """Let an empty node go: delete its NodeClaim."""
    POD_DELETION_COST = "podDeletionCost"
    """Say which replica goes first, on its pods."""
    QUIET_HOURS = "quietHours"
    """Write a disruption budget into the NodePool, which GitOps may own."""


LEVERS_DEFAULT: Final = frozenset(Lever) - {Lever.QUIET_HOURS}
"""All that touch only objects of ours, nodes, pods, and sizes of static pools."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotHedge:
    """How much of a pool does not depend on spot machines."""

    on_demand_share: float = 0.0
    """Of the nodes wanted, the share that is ordered on demand; from 0 to 1."""
    spare_nodes: int = 0
    """Nodes kept beyond what is wanted, while any node of the pool is a spot machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPolicy:
    """The policy of one pool, with everything that depends on the time looked up."""

    policy: str = ""
    """The name of the CapacityPolicy; pools of one policy share its ceilings."""
    mode: Mode = Mode.ADVISE
    rho: float = RHO_DEFAULT
    """Idle GPU-minutes that one delayed pod-minute is worth; above 0."""
    trust: float = TRUST_DEFAULT
    """In the forecast: 0 = only the present counts, 1 = the forecast as it is."""
    warm_floor_nodes: int = 0
    """Nodes that are there at this moment whatever the demand, busy ones among them."""
    warm_floor_until_seconds: float | None = None
    """When that number next ends; None = there is no floor now."""
    idle_usd_per_hour_max: float | None = None
    """For idle capacity that is held or ordered, of all pools of the policy together."""
    idle_usd_per_month_max: float | None = None
    """The same, from the first of a month to its end."""
    time_zone: str = "UTC"
    """Of the month's ends."""
    spot_hedge: SpotHedge = SpotHedge()
    levers: frozenset[Lever] = LEVERS_DEFAULT
    hold_lease_seconds: float = HOLD_LEASE_DEFAULT_SECONDS
    """After which a round takes a hold off that was not renewed."""
    veto_seconds: float | None = VETO_DEFAULT_SECONDS
    """The longest that a loading model keeps its node, from the pod's creation; None = no veto."""
    keep_new_nodes_seconds: float | None = None
    """How long a new node is kept at least, from when pods can have its GPUs; None = no least."""
    quiet_until_seconds: float | None = None
    """The end of the quiet hours that are now; None = it is not quiet."""
    quiet_budgets: tuple[QuietBudget, ...] = ()
    """The quiet hours of any day, as Karpenter's budgets."""
    tuning: Tuning = Tuning.NEVER
    """Whether the rules' constants are chosen again for this pool."""
    notes: tuple[str, ...] = ()
    """What a person should know of how these values came about."""

    @property
    def act(self) -> bool:
        return self.mode is Mode.ACT

    def may(self, lever: Lever) -> bool:
        """Whether decisions may be carried out this way."""
        return self.act and lever in self.levers
