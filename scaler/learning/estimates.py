"""What was learned, as records that change the parameters of the next plan, and say how surely."""

from dataclasses import dataclass

from scaler.decision.capacity import ReplicaCapacity


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityEstimate:
    """What one replica serves within the workload's objective, as far as it is known."""

    capacity: ReplicaCapacity
    """At the cautious end of what is believed."""
    confidence: float
    """0 (the prior alone) to 1 (the workload's own metrics alone)."""
    evidence: str
    """For people: what it rests on, and what it would take to know more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadEstimate:
    """How long it takes from an order to a replica that serves, as far as it is known."""

    seconds: float
    """A high quantile: the horizon of the plan."""
    evidence: str
    """For people: what it rests on."""


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
