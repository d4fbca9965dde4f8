"""The parameters of a plan, from the trigger spec and the capacity of a replica."""

from dataclasses import dataclass

from scaler.decision.capacity import ReplicaCapacity
from scaler.trigger import REPLICAS_MAX, Mode, TriggerSpec

DEFAULT_LEVEL = 0.95
"""Quantile that is shown beside a plan which weighs costs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanParameters:
    """The parameters that a workload is planned with."""

    lead_seconds: float
    hold_seconds: float
    level: float
    """Quantile of demand that is planned for where `late_minute_cost` is None; shown elsewhere."""
    utilization: float
    """Share of a replica that the present may use where the forecast does not give head-room."""
    replicas_min: int
    replicas_max: int
    mode: Mode
    capacity: ReplicaCapacity
    late_minute_cost: float | None = None
    """GPU-minutes that a minute of one replica's requests is worth if they come late; None plans
    for the quantile `level` instead."""
    hold_given: bool = True
    """Whether `hold_seconds` counts beside a forecast that is trusted in full. If not, the forecast
    alone says what is kept."""


def parameters_of(trigger_spec: TriggerSpec, capacity: ReplicaCapacity) -> PlanParameters:
    """The plan's parameters from a trigger's metadata."""
    return PlanParameters(
        lead_seconds=trigger_spec.lead_time,
        hold_seconds=trigger_spec.hold_seconds,
        level=DEFAULT_LEVEL if trigger_spec.quantile is None else trigger_spec.quantile,
        utilization=trigger_spec.utilization,
        replicas_min=trigger_spec.min_replicas,
        replicas_max=trigger_spec.max_replicas or REPLICAS_MAX,
        mode=trigger_spec.mode,
        capacity=capacity,
        late_minute_cost=None if trigger_spec.quantile else trigger_spec.late_minute_cost,
        hold_given=trigger_spec.hold is not None or trigger_spec.quantile is not None,
    )
