"""`foresail demo`: a day of LLM traffic through the real scaler, without cluster, GPU or service.

The traffic, the engines, KEDA and the HPA are models from the replay room; everything between the
metrics page and the number of replicas is what ships: source reading, forecast, plan and the gRPC
server, asked over loopback by a client that calls as KEDA calls. Today's reactive rules run the
same traffic in a second process while the day passes.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import grpc
import grpc.aio
from prometheus_client import CollectorRegistry

from foresail.serve.pace import planning_settings
from foresail.settings.cycle import CycleSettings
from replay import trigger
from replay.control import Control
from replay.feed import WorldFeed
from replay.generated_day import DEFAULT, GeneratedDay, draw
from replay.hpa import SYNC_PERIOD_SECONDS
from replay.keda import Failure, ScaledObject, ScalerAnswer
from replay.keda import Value as KedaValue
from replay.policies.shipped import FORESAIL
from replay.replay_input import ReplayInput
from replay.simulate import Result, Simulation
from replay.traffic import DAY_SECONDS
from replay.world import View, World
from scaler.assembly import assemble
from scaler.decision.answers import Reference
from scaler.decision.series import DemandSeries
from scaler.evaluate import WorkloadPlan
from scaler.feed_key import FeedKey
from scaler.forecast.record import DemandForecast
from scaler.rpc import externalscaler_pb2 as pb
from scaler.rpc import externalscaler_pb2_grpc as pb_grpc
from scaler.scope import Scope
from scaler.serving.board import Board
from scaler.serving.cycle import PlanningCycle
from scaler.serving.feeds import Binding, WorkloadStatus
from scaler.serving.metrics import PlanningMetrics, ServiceMetrics
from scaler.serving.server import ScalerServer
from scaler.serving.service import METRIC_NAME, ExternalScaler
from scaler.serving.state_book import NoStates
from scaler.serving.streams import StreamLifetimes
from scaler.sources.catalogue import load
from scaler.trigger import TriggerSpec
from scaler.trigger_parsing import AllowedOptions, parse

DAY_WALL_SECONDS = 120.0
"""Wall time in which a whole day passes when `--seconds` does not say otherwise."""
SECONDS_PER_WALL_SECOND = DAY_SECONDS / DAY_WALL_SECONDS
MORNING_SECONDS = 7 * 3600
"""Where a demo too short for a day begins: before the rise, not in the night."""
EPOCH_SECONDS = 1_772_496_000.0
"""2026-03-03 00:00 UTC, a Tuesday as the generated day is."""
HISTORY_SECONDS = 3 * 86400.0
STEP_SECONDS = 60.0
BAND_LEVELS = (0.5, 0.9, 0.99)
NAMESPACE, NAME = "demo", "qwen3-32b"


@dataclass(frozen=True, slots=True, kw_only=True)
class Playback:
    """The day to play, and its pace."""

    day: GeneratedDay
    begins_at_seconds: int
    """Second of the day at which second 0 of the run lies."""
    seed: int
    wall_seconds: float

    @property
    def epoch_seconds(self) -> float:
        return EPOCH_SECONDS + self.begins_at_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One moment of the demo, for a screen or a log."""

    at_seconds: int
    """Of the run."""
    clock_seconds: float
    """Unix time in the demo's world."""
    view: View
    asked: int | None
    """Replicas that Foresail asked for; None while it had no answer."""
    why: tuple[str, ...]
    """The steps of the decision."""
    control: str
    """The last step of KEDA or the HPA."""
    band: Mapping[float, tuple[float, ...]]
    """Seconds ahead → prompt tokens per second at the band's levels."""
    status: WorkloadStatus | None
    """All that the scaler knows of the workload; None before its first look."""


def playback(*, seed: int, wall_seconds: float) -> Playback:
    """The day, or its working hours as far as the wall time allows."""
    whole = wall_seconds >= DAY_WALL_SECONDS
    begin = 0 if whole else MORNING_SECONDS
    seconds = DAY_SECONDS if whole else int(wall_seconds * SECONDS_PER_WALL_SECOND) // 60 * 60
    traffic = replace(
        DEFAULT.traffic,
        peak_hour=DEFAULT.traffic.peak_hour - begin / 3600,
        flash_crowds=tuple(
            replace(crowd, at_seconds=crowd.at_seconds - begin)
            for crowd in DEFAULT.traffic.flash_crowds
        ),
    )
    day = replace(DEFAULT, traffic=traffic, seconds=max(600, seconds))
    return Playback(day=day, begins_at_seconds=begin, seed=seed, wall_seconds=wall_seconds)


def metadata_of(replay_input: ReplayInput) -> dict[str, str]:
    """The trigger an operator would write who measured one replica the day before."""
    platform = replay_input.platform
    return trigger.metadata_of(
        platform.profile,
        replay_input.mix,
        platform.objective,
        lead_seconds=replay_input.start_up_seconds * 1.15,
        replicas=(platform.replicas_min, platform.replicas_max),
    )


class Demo:
    """One playback, step by step."""

    def __init__(self, playback_: Playback) -> None:
        self.playback = playback_
        replay_input = draw(playback_.day, seed=playback_.seed)
        self.world = World(replay_input, seed=playback_.seed)
        self._run = Simulation(replay_input, self.world)
        self._metadata = metadata_of(replay_input)
        self._preset = load("vllm")
        self._feed = WorldFeed(self.world, epoch_seconds=playback_.epoch_seconds)
        self._control = Control(
            ScaledObject(
                polling_interval_seconds=15,
                replicas_min=replay_input.platform.replicas_min,
                replicas_max=replay_input.platform.replicas_max,
            ),
            trigger.BEHAVIOR,
            replicas_at_start=self.world.fleet.wanted,
        )

    def _clock(self) -> float:
        return self.playback.epoch_seconds + self.world.now_seconds

    def _connect(self, reference: Reference, trigger_spec: TriggerSpec) -> Binding:
        assembly = assemble(trigger_spec, self._preset, step_seconds=STEP_SECONDS)
        key = FeedKey(
            source="demo",
            engine=trigger_spec.engine,
            scope=Scope(namespace=reference.namespace, model=trigger_spec.model),
            reach_seconds=assembly.reach_seconds,
        )
        return Binding(key=key, source="demo", feed=self._feed, assembly=assembly)

    async def frames(self) -> AsyncGenerator[Frame, None]:
        """Play it; the pace is the caller's."""
        async with self._scaler() as (loop, keda):
            for now in range(0, self.playback.day.seconds, SYNC_PERIOD_SECONDS):
                self._serve_until(now)
                (plan,) = await loop.cycle(at_seconds=self._clock())
                asked = None
                for due in self._control.due(now, replicas=self.world.fleet.wanted):
                    answer = await self._ask(keda)
                    asked = int(answer.total) if isinstance(answer, KedaValue) else None
                    replicas = self._control.apply(
                        due, answer, replicas=self.world.fleet.wanted, now_seconds=now
                    )
                    self._run.scale_to(replicas)
                yield self._frame(plan, now, asked, loop.status(plan.reference))
            self._serve_until(self.playback.day.seconds)

    @property
    def played_seconds(self) -> int:
        """Of the day, so far."""
        return self._run.now

    def result(self) -> Result:
        return self._run.result(name=FORESAIL.name, knob=FORESAIL.usual)

    def _serve_until(self, seconds: int) -> None:
        while self._run.now < seconds:
            self._run.step()

    @asynccontextmanager
    async def _scaler(
        self,
    ) -> AsyncIterator[tuple[PlanningCycle, "pb_grpc.ExternalScalerAsyncStub"]]:
        """The shipped scaler on a free port of loopback, and a client that dials as KEDA does."""
        allowed = AllowedOptions(
            engines={"vllm": False}, sources=frozenset({"demo"}), default_source="demo"
        )
        board = Board(
            lambda _, metadata: parse(metadata, allowed),
            clock=self._clock,
            objects_max=1,
        )
        settings = planning_settings(CycleSettings(history=HISTORY_SECONDS, step=STEP_SECONDS))
        loop = PlanningCycle(
            self._connect,
            settings,
            publish=board.publish,
            wall=self._clock,
            steady=self._clock,
            metrics=PlanningMetrics(CollectorRegistry()),
            states=NoStates(),
        )
        lifetimes = StreamLifetimes(per_peer_max=1)
        metrics = ServiceMetrics(CollectorRegistry())
        service = ExternalScaler(board, metrics, lifetimes, replicas_max=1000)
        server = ScalerServer(service, lifetimes)
        starting = asyncio.create_task(server.start("127.0.0.1:0", None), name="start")
        try:
            port = await asyncio.shield(starting)
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                stub = pb_grpc.ExternalScalerStub(channel)
                # KEDA's first call when a ScaledObject is made; it makes the workload known.
                await stub.GetMetricSpec(self._reference())
                loop.apply(board.take_changes())
                await loop.begin()
                yield loop, stub
        finally:
            await starting  # gRPC cannot stop a server that it is still starting
            await server.drain()

    def _reference(self) -> pb.ScaledObjectRef:
        return pb.ScaledObjectRef(name=NAME, namespace=NAMESPACE, scalerMetadata=self._metadata)

    async def _ask(self, keda: "pb_grpc.ExternalScalerAsyncStub") -> ScalerAnswer:
        """A poll as KEDA makes it: spec, metrics, activity; any error fails the whole of it."""
        try:
            spec = (await keda.GetMetricSpec(self._reference())).metricSpecs[0]
            request = pb.GetMetricsRequest(
                scaledObjectRef=self._reference(), metricName=METRIC_NAME
            )
            value = (await keda.GetMetrics(request)).metricValues[0]
            active = await keda.IsActive(self._reference())
        except grpc.aio.AioRpcError as error:
            return Failure(why=error.details() or error.code().name)
        return KedaValue(
            total=value.metricValueFloat, target=spec.targetSizeFloat, is_active=active.result
        )

    def _frame(
        self, plan: WorkloadPlan, now: int, asked: int | None, status: WorkloadStatus | None
    ) -> Frame:
        steps = plan.replica_plan.steps if plan.replica_plan else ()
        forecast = plan.forecasts.get(DemandSeries.PROMPT_TOKENS)
        return Frame(
            at_seconds=now,
            clock_seconds=self._clock(),
            view=self.world.view(),
            asked=asked,
            why=tuple(f"{step.rule}: {step.text}" for step in steps),
            control=self._control.why,
            band=_band(forecast) if forecast else {},
            status=status,
        )


def _band(forecast: DemandForecast) -> dict[float, tuple[float, ...]]:
    return {
        horizon: tuple(forecast.at(horizon_seconds=horizon, level=level) for level in BAND_LEVELS)
        for horizon in forecast.horizons_seconds
    }
