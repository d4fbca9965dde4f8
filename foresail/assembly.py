"""The scaler's parts put together, the same for `serve`, the demo, the tests and the benchmarks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from scaler.board import Board
from scaler.clock import Clock
from scaler.forecast.forecaster import Forecaster
from scaler.loop import Connect, LoopSettings, ScalerLoop
from scaler.metadata import TriggerMetadata
from scaler.metrics import LoopMetrics, ServiceMetrics
from scaler.need import Dimension
from scaler.server import ScalerServer
from scaler.service import ExternalScaler
from scaler.streams import StreamLives

HORIZONS_SECONDS = (60.0, 180.0, 300.0, 600.0, 900.0, 1800.0)
"""From the next step to the longest lead time of a node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the operator allows."""

    objects_max: int = 5000
    replicas_max: int = 1000
    streams_per_connection_max: int = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaler:
    """A scaler ready to start: answers, the cycle behind them, and the port in front."""

    board: Board
    loop: ScalerLoop
    server: ScalerServer
    registry: CollectorRegistry


def assemble(
    *,
    admit: Callable[[Mapping[str, str]], TriggerMetadata],
    connect: Connect,
    settings: LoopSettings,
    clock: Clock,
    registry: CollectorRegistry,
    limits: Limits | None = None,
) -> Scaler:
    """Put the parts together; nothing listens or reads yet."""
    limits = limits or Limits()

    def forecaster(wishes: TriggerMetadata, dimension: Dimension) -> Forecaster:
        return Forecaster(
            signal=dimension,
            step_seconds=settings.step_seconds,
            horizons_seconds=HORIZONS_SECONDS,
            start=0.0,
            tz=wishes.timezone,
        )

    board = Board(admit, clock=clock, objects_max=limits.objects_max)
    loop = ScalerLoop(
        board, connect, forecaster, settings, clock=clock, metrics=LoopMetrics(registry)
    )
    lives = StreamLives(per_peer_max=limits.streams_per_connection_max)
    service = ExternalScaler(
        board,
        ServiceMetrics(registry),
        lives,
        clock=clock,
        replicas_max=limits.replicas_max,
    )
    return Scaler(board=board, loop=loop, server=ScalerServer(service, lives), registry=registry)
