"""The planning side put together, the same for `serve`, the demo, replay, tests and benchmarks."""

from prometheus_client import CollectorRegistry

from scaler.capacity import ReplicaCapacity, Speeds, work_of
from scaler.clock import Clock
from scaler.forecast.announced import Calendar
from scaler.forecast.forecaster import Forecaster
from scaler.horizons import horizons_seconds
from scaler.loop import Connect, KeepSources, Publish, ScalerLoop
from scaler.loop_settings import LoopSettings
from scaler.metadata import TriggerMetadata
from scaler.metrics import LoopMetrics
from scaler.serving.state_book import NoStates, StateBook
from scaler.sources.catalogue import Preset
from scaler.track import Series, Track


def planning(  # noqa: PLR0913 - the cycle's edges
    connect: Connect,
    settings: LoopSettings,
    *,
    publish: Publish,
    wall: Clock,
    steady: Clock,
    registry: CollectorRegistry,
    states: StateBook | None = None,
    keep_sources: KeepSources | None = None,
) -> ScalerLoop:
    """The cycle, with the shipped forecaster; nothing is read yet.

    Args:
        states: None begins anew and leaves nothing behind.
        keep_sources: hears which sources are still read when workloads were forgotten.
    """

    def make_track(wishes: TriggerMetadata) -> Track:
        return track_of(wishes, step_seconds=settings.step_seconds, beside=settings.beside)

    return ScalerLoop(
        connect,
        make_track,
        settings,
        publish=publish,
        wall=wall,
        steady=steady,
        metrics=LoopMetrics(registry),
        states=states or NoStates(),
        keep_sources=keep_sources,
    )


def track_of(
    wishes: TriggerMetadata, *, step_seconds: float, beside: tuple[Series, ...] = ()
) -> Track:
    """An empty track with the forecasters that ship."""

    def forecaster(series: Series) -> Forecaster:
        return Forecaster(
            signal=series,
            step_seconds=step_seconds,
            horizons_seconds=horizons_seconds(
                lead_seconds=wishes.lead_time, step_seconds=step_seconds
            ),
            start=0.0,
            tz=wishes.timezone,
            calendar=Calendar(wishes.events, wishes.timezone) if wishes.events else None,
        )

    return Track(forecaster, step_seconds=step_seconds, beside=beside)


def capacity_of(wishes: TriggerMetadata, preset: Preset) -> ReplicaCapacity:
    """What the trigger says a replica serves, else the preset's prior."""
    prior = preset.replica_prior
    return ReplicaCapacity(
        work=work_of(
            wishes.replica_prompt_tokens_per_second,
            wishes.replica_generated_tokens_per_second,
            prefill_share=wishes.prefill_share,
            prior=Speeds(
                prompt=prior.prompt_tokens_per_second, generated=prior.generated_tokens_per_second
            ),
        ),
        requests=wishes.replica_requests or prior.concurrent_requests,
    )
