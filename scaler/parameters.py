"""What a trigger asks for, in the plan's terms."""

from dataclasses import dataclass

from scaler.capacity import ReplicaCapacity
from scaler.metadata import Mode, TriggerMetadata


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanParameters:
    """What the trigger asks for, in the plan's terms."""

    lead_seconds: float
    hold_seconds: float
    level: float
    """Quantile of demand that is planned for."""
    utilization: float
    replicas_min: int
    replicas_max: int
    mode: Mode
    capacity: ReplicaCapacity


def parameters_of(wishes: TriggerMetadata, capacity: ReplicaCapacity) -> PlanParameters:
    """The plan's parameters from a trigger's metadata."""
    assert wishes.max_replicas is not None  # parsing fills it in
    return PlanParameters(
        lead_seconds=wishes.lead_time,
        hold_seconds=wishes.hold_seconds,
        level=wishes.quantile,
        utilization=wishes.utilization,
        replicas_min=wishes.min_replicas,
        replicas_max=wishes.max_replicas,
        mode=wishes.mode,
        capacity=capacity,
    )
