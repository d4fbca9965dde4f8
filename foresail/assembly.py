"""The planning side put together, the same for `serve`, the demo, the tests and the benchmarks."""

from prometheus_client import CollectorRegistry

from foresail.settings import CycleSettings
from scaler.board import Board
from scaler.capacity import ReplicaCapacity, Speeds, work_of
from scaler.clock import Clock
from scaler.forecast.announced import Calendar
from scaler.forecast.forecaster import Forecaster
from scaler.horizons import horizons_seconds
from scaler.loop import Connect, LoopSettings, ScalerLoop
from scaler.metadata import TriggerMetadata
from scaler.metrics import LoopMetrics
from scaler.sources.catalogue import Preset
from scaler.track import Series


def planning(
    board: Board,
    connect: Connect,
    settings: LoopSettings,
    *,
    clock: Clock,
    registry: CollectorRegistry,
) -> ScalerLoop:
    """The cycle that fills `board`, with the shipped forecaster; nothing is read yet."""

    def forecaster(wishes: TriggerMetadata, series: Series) -> Forecaster:
        return Forecaster(
            signal=series,
            step_seconds=settings.step_seconds,
            horizons_seconds=horizons_seconds(
                lead_seconds=wishes.lead_time, step_seconds=settings.step_seconds
            ),
            start=0.0,
            tz=wishes.timezone,
            calendar=Calendar(wishes.events, wishes.timezone) if wishes.events else None,
        )

    return ScalerLoop(
        board, connect, forecaster, settings, clock=clock, metrics=LoopMetrics(registry)
    )


def loop_settings(cycle: CycleSettings) -> LoopSettings:
    return LoopSettings(
        look_period_seconds=cycle.period,
        step_seconds=cycle.step,
        blind_seconds_max=cycle.blind_max,
        look_seconds_max=cycle.look_max,
        looks_at_once=cycle.looks_at_once,
        history_seconds=cycle.history,
        beside=cycle.also_forecast,
    )


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
