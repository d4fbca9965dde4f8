"""The planning side put together, the same for `serve`, the demo, replay, tests and benchmarks."""

from prometheus_client import CollectorRegistry

from scaler.clock import Clock
from scaler.decision.capacity import ReplicaCapacity, Speeds, work_of
from scaler.decision.tracker import DemandSeries, DemandTracker
from scaler.forecast.announced import Calendar
from scaler.forecast.forecaster import Forecaster
from scaler.forecast.horizons import horizons_seconds
from scaler.forecast.packed import PackedForecaster, SharedForecasters
from scaler.serving.cycle import Connect, KeepSources, PlanningCycle, Publish
from scaler.serving.cycle_settings import PlanningSettings
from scaler.serving.metrics import PlanningMetrics
from scaler.serving.state_book import NoStates, StateBook
from scaler.sources.catalogue import Preset
from scaler.trigger import TriggerSpec


def planning(  # noqa: PLR0913 - the cycle's edges
    connect: Connect,
    settings: PlanningSettings,
    *,
    publish: Publish,
    wall: Clock,
    steady: Clock,
    registry: CollectorRegistry,
    states: StateBook | None = None,
    keep_sources: KeepSources | None = None,
) -> PlanningCycle:
    """The cycle, with the shipped forecaster; nothing is read yet.

    Args:
        states: None starts without a past and keeps nothing.
        keep_sources: called with the sources still read, after workloads were forgotten.
    """
    forecasters = SharedForecasters()

    def make_tracker(trigger_spec: TriggerSpec) -> DemandTracker:
        return tracker_of(
            trigger_spec,
            forecasters,
            step_seconds=settings.step_seconds,
            beside=settings.beside,
        )

    return PlanningCycle(
        connect,
        make_tracker,
        settings,
        publish=publish,
        wall=wall,
        steady=steady,
        metrics=PlanningMetrics(registry),
        states=states or NoStates(),
        keep_sources=keep_sources,
    )


def tracker_of(
    trigger_spec: TriggerSpec,
    forecasters: SharedForecasters,
    *,
    step_seconds: float,
    beside: tuple[DemandSeries, ...] = (),
) -> DemandTracker:
    """An empty tracker with the shipped forecasters."""
    horizons = horizons_seconds(lead_seconds=trigger_spec.lead_time, step_seconds=step_seconds)
    timezone, events = trigger_spec.timezone, trigger_spec.events

    def forecaster(series: DemandSeries) -> PackedForecaster:
        return forecasters.packed(
            (series, step_seconds, horizons, timezone, events),
            lambda: Forecaster(
                signal=series,
                step_seconds=step_seconds,
                horizons_seconds=horizons,
                start=0.0,
                tz=timezone,
                calendar=Calendar(events, timezone) if events else None,
            ),
        )

    return DemandTracker(forecaster, step_seconds=step_seconds, beside=beside)


def capacity_of(trigger_spec: TriggerSpec, preset: Preset) -> ReplicaCapacity:
    """The capacity of a replica by the trigger's metadata, else by the preset's defaults."""
    prior = preset.replica_prior
    return ReplicaCapacity(
        work=work_of(
            trigger_spec.replica_prompt_tokens_per_second,
            trigger_spec.replica_generated_tokens_per_second,
            prefill_share=trigger_spec.prefill_share,
            prior=Speeds(
                prompt=prior.prompt_tokens_per_second, generated=prior.generated_tokens_per_second
            ),
        ),
        requests=trigger_spec.replica_requests or prior.concurrent_requests,
    )
