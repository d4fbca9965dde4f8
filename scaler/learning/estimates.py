"""What was learned, as records that change the parameters of the next plan, and say how surely."""

from dataclasses import dataclass

from scaler.decision.capacity import ReplicaCapacity
from scaler.learning.lead_tiers import Tier


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityEstimate:
    """What one replica serves within the workload's objective, as far as it is known."""

    capacity: ReplicaCapacity
    """At the cautious end of what is believed."""
    confidence: float
    """0 (the prior alone) to 1 (the workload's own metrics alone)."""
    evidence: str
    """For people: what it rests on, and what it would take to know more."""
    utilization: float = 1.0
    """`capacity` ÷ the rate at which the mean ITL reaches its limit: the engine's head-room."""
    unreachable: str | None = None
    """Why no number of replicas keeps the objective; None where some number does."""
    bound: str | None = None
    """What the operator's figures have to say against it; None where they are near it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StuckOrders:
    """Replicas that were ordered long ago and never became ready."""

    replicas: int
    seconds: float
    """Since the oldest was ordered."""
    others_came: bool
    """Whether replicas became ready since the newest was ordered: then these crash or wait, and a
    new order may serve; else nothing comes at all, and another order would not come either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadEstimate:
    """How long it takes from an order to a replica that serves, as far as it is known."""

    seconds: float
    """A high quantile: the horizon of the plan."""
    evidence: str
    """For people: what it rests on."""
    tiers: tuple[Tier, ...] = ()
    """Of the starts, the fastest first; one where they do not differ much."""
    stuck: StuckOrders | None = None
    """None where every order that is under way is young enough to come."""

    @property
    def given_up(self) -> int:
        """Stuck replicas in whose place others may be ordered."""
        return self.stuck.replicas if self.stuck is not None and self.stuck.others_came else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """The figures of a plan that shadows choose."""

    level: float
    """Quantile of demand that is planned for, 0 to 1."""
    utilization: float
    """Share of a replica's capacity that the present may use, above 0 and at most 1."""
    hold_seconds: float
    """How long a lower need must last before replicas are removed."""
    forecasts: bool = True
    """False: the present alone, with head-room; what a reactive rule does."""
    late_minute_cost: float | None = None
    """GPU-minutes of a late minute, in place of `level`; None plans for `level`."""
    evidence: str = ""
    """For people: why it is in force."""
