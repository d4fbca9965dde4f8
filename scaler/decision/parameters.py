"""The parameters of a plan, from the trigger spec and the capacity of a replica."""

from dataclasses import dataclass, field
from typing import Final

from scaler.decision.capacity import ReplicaCapacity
from scaler.decision.objective import Objective
from scaler.trigger import REPLICAS_MAX, Capacity, LeadTimeUse, Mode, Phase, TriggerSpec, TuningBy


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """What may choose the plan's setting."""

    corrects: bool = False
    """Whether late requests make the setting more careful within the day."""
    chooses: bool = False
    """Whether a setting that shadows chose is put in force."""
    pinned: frozenset[str] = frozenset()
    """Those of `late_minute_cost`, `level`, `utilization` and `hold_seconds` that the trigger
    gives."""
    late_minute_cost_max: float | None = None
    """What a late minute may cost at most, however many requests are late; None = no limit of the
    operator's."""
    timezone: str = "UTC"
    """Of the hours at which a choice is made."""


AS_GIVEN: Final = Tuning()
"""Nothing chooses."""

PART_OF_MODEL: Final = "its part of the model"
"""The name of both bounds where a model's plan sets the replicas of its variants."""

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
    objective: Objective = field(default_factory=Objective)
    phase: Phase = Phase.BOTH
    """Of its replicas."""
    learns_capacity: bool = True
    """Whether the engine's own metrics may correct `capacity`."""
    lead_fixed: bool = False
    """Whether `lead_seconds` stays as the operator gave it, whatever orders show."""
    hold_follows_lead: bool = False
    """Whether the hold is one lead time, also where that is learned."""
    replicas_min_name: str = "minReplicas"
    """What sets `replicas_min`, for explanations."""
    replicas_max_name: str = "maxReplicas"
    """What sets `replicas_max`, for explanations."""
    late_minute_cost: float | None = None
    """GPU-minutes that a minute of one replica's requests is worth if they come late; None plans
    for the quantile `level` instead."""
    hold_given: bool = True
    """Whether `hold_seconds` counts beside a forecast that is trusted in full. If not, the forecast
    alone says what is kept."""
    forecasts: bool = True
    """False: the present with head-room alone."""
    floor: bool = True
    """False: the forecast alone, even below what the present needs. No trigger says so; replays
    show with it what the floor is worth."""
    tuning: Tuning = AS_GIVEN


_PINNED_BY = {
    "late_minute_cost": "late_minute_cost",
    "quantile": "level",
    "utilization": "utilization",
    "hold": "hold_seconds",
}


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
        objective=Objective(
            ttft_seconds=trigger_spec.ttft,
            itl_seconds=trigger_spec.itl,
            attainment=trigger_spec.attainment,
        ),
        phase=trigger_spec.phase,
        learns_capacity=trigger_spec.capacity is Capacity.LEARNED,
        lead_fixed=trigger_spec.lead is LeadTimeUse.FIXED,
        hold_follows_lead=trigger_spec.hold is None,
        late_minute_cost=None if trigger_spec.quantile else _late_minute_cost(trigger_spec),
        hold_given=trigger_spec.hold is not None or trigger_spec.quantile is not None,
        tuning=Tuning(
            # Of an advised plan nothing runs, so nothing is late because of it.
            corrects=trigger_spec.tuning is not TuningBy.FIXED and trigger_spec.mode is Mode.ACT,
            chooses=trigger_spec.tuning is TuningBy.SHADOWS
            and trigger_spec.mode is not Mode.REACTIVE,
            pinned=frozenset(
                figure
                for name, figure in _PINNED_BY.items()
                if name in trigger_spec.model_fields_set
            ),
            late_minute_cost_max=trigger_spec.late_minute_cost_max,
            timezone=trigger_spec.timezone,
        ),
    )


def _late_minute_cost(trigger_spec: TriggerSpec) -> float:
    most = trigger_spec.late_minute_cost_max
    cost = trigger_spec.late_minute_cost
    return cost if most is None else min(cost, most)
