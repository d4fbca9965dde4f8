"""The planning side put together, the same for `serve`, the demo, the tests and the benchmarks."""

from prometheus_client import CollectorRegistry

from scaler.board import Board
from scaler.clock import Clock
from scaler.forecast.forecaster import Forecaster
from scaler.loop import Connect, LoopSettings, ScalerLoop
from scaler.metadata import TriggerMetadata
from scaler.metrics import LoopMetrics
from scaler.need import Dimension

HORIZONS_SECONDS = (60.0, 180.0, 300.0, 600.0, 900.0, 1800.0)
"""From the next step to the longest lead time of a node."""


def planning(
    board: Board,
    connect: Connect,
    settings: LoopSettings,
    *,
    clock: Clock,
    registry: CollectorRegistry,
) -> ScalerLoop:
    """The cycle that fills `board`, with the shipped forecaster; nothing is read yet."""

    def forecaster(wishes: TriggerMetadata, dimension: Dimension) -> Forecaster:
        return Forecaster(
            signal=dimension,
            step_seconds=settings.step_seconds,
            horizons_seconds=HORIZONS_SECONDS,
            start=0.0,
            tz=wishes.timezone,
        )

    return ScalerLoop(
        board, connect, forecaster, settings, clock=clock, metrics=LoopMetrics(registry)
    )
