"""Parameters and forecasters from a trigger spec, the same for serve, the demo and replay."""

from collections.abc import Callable
from dataclasses import dataclass

from scaler.decision.capacity import ReplicaCapacity, Speeds, work_of
from scaler.decision.parameters import PlanParameters, parameters_of
from scaler.decision.series import DemandSeries
from scaler.decision.tracker import DemandTracker
from scaler.forecast.announced import Calendar
from scaler.forecast.forecaster import Forecaster
from scaler.forecast.horizons import horizons_seconds
from scaler.forecast.packed import PackedForecaster, SharedForecasters
from scaler.forecast.trees import Trees
from scaler.learning.engine import EngineLearner
from scaler.sources.preset import Preset
from scaler.trigger import Phase, TriggerSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """The plan's parameters, and the forecasts behind it."""

    parameters: PlanParameters
    reach_seconds: float
    """How far the forecasts look ahead."""
    make_tracker: Callable[[], DemandTracker]
    """Makes an empty tracker with the shipped forecasters."""
    make_engine: Callable[[], EngineLearner]
    """Makes a learner that knows nothing of the engine yet."""


def assemble(  # noqa: PLR0913 - what differs between serve, demo and replay, by name
    trigger_spec: TriggerSpec,
    preset: Preset,
    *,
    step_seconds: float,
    step_offset_seconds: float = 0.0,
    beside: tuple[DemandSeries, ...] = (),
    trees: Trees | None = None,
    forecasters: SharedForecasters | None = None,
    kind: type[DemandTracker] = DemandTracker,
) -> Assembly:
    """The parameters and forecasters of a trigger spec.

    Args:
        preset: of the trigger's engine; its defaults count where the metadata gives no capacity.
        step_seconds: of the forecast's series.
        step_offset_seconds: how long after a multiple of that its steps begin.
        beside: series that are forecast only to be shown.
        trees: the forecasters' prior; None = the shipped one.
        forecasters: of a process with many workloads, which keeps them packed; None = this
            workload's own.
        kind: of the tracker; a replay may have one that leaves out a part of the forecast.
    """
    horizons = horizons_seconds(lead_seconds=trigger_spec.lead_time, step_seconds=step_seconds)

    timezone, events = trigger_spec.timezone, trigger_spec.events

    def forecaster(series: DemandSeries) -> Forecaster | PackedForecaster:
        def make() -> Forecaster:
            return Forecaster(
                signal=series,
                step_seconds=step_seconds,
                horizons_seconds=horizons,
                start=0.0,
                tz=timezone,
                calendar=Calendar(events, timezone) if events else None,
                trees=trees,
            )

        if forecasters is None:
            return make()
        return forecasters.packed((series, step_seconds, horizons, timezone, events, trees), make)

    parameters = parameters_of(trigger_spec, _capacity_of(trigger_spec, preset))
    return Assembly(
        parameters=parameters,
        reach_seconds=horizons[-1],
        make_tracker=lambda: kind(
            forecaster,
            step_seconds=step_seconds,
            step_offset_seconds=step_offset_seconds,
            beside=beside,
        ),
        make_engine=lambda: EngineLearner(
            objective=parameters.objective, given=parameters.capacity, phase=trigger_spec.phase
        ),
    )


def _capacity_of(trigger_spec: TriggerSpec, preset: Preset) -> ReplicaCapacity:
    """The capacity of a replica by the trigger's metadata, else by the preset's defaults."""
    prior, phase = preset.replica_prior, trigger_spec.phase
    assert prior is not None, f"preset {preset.engine!r} is a gateway's, and no engine"
    prompt = trigger_spec.replica_prompt_tokens_per_second
    generated = trigger_spec.replica_generated_tokens_per_second
    return ReplicaCapacity(
        work=work_of(
            # A rate that the replicas do not serve says nothing of what they do.
            None if phase is Phase.DECODE else prompt,
            None if phase is Phase.PREFILL else generated,
            prefill_share=trigger_spec.prefill_share,
            prior=Speeds(
                prompt=prior.prompt_tokens_per_second, generated=prior.generated_tokens_per_second
            ),
        ).of(phase),
        requests=trigger_spec.replica_requests or prior.concurrent_requests,
    )
