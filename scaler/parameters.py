"""What a trigger asks for, in the plan's terms."""

from dataclasses import dataclass

from scaler.capacity import ReplicaCapacity
from scaler.metadata import Mode


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
