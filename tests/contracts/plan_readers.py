"""Plans served over a real connection, and the status of a workload that they are made from."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import grpc.aio

from scaler.decision.answers import Answer, Reference, TimedOutcome
from scaler.decision.capacity import Origin, ReplicaCapacity, Together, Work
from scaler.decision.demand import Demand
from scaler.decision.need import Step
from scaler.decision.parameters import PlanParameters
from scaler.decision.plan import ReplicaPlan
from scaler.decision.series import DemandSeries
from scaler.decision.tracker import PollResult
from scaler.evaluate import CycleState, WorkloadPlan
from scaler.forecast.record import DemandForecast, Skill
from scaler.rpc.foresail.v1 import plans_pb2 as pb
from scaler.rpc.foresail.v1 import plans_pb2_grpc as pb_grpc
from scaler.serving.feeds import WorkloadStatus
from scaler.serving.plan_book import PlanBook
from scaler.serving.plans_server import PlansServer
from scaler.serving.plans_service import Admit, PlansService, admit_everyone
from scaler.serving.server import TlsFiles
from scaler.signals import Absent, Observation, Signal, Stale, Value
from scaler.trigger import Mode
from scaler.trigger_parsing import parse
from tests.contracts.served import ALLOWED, START

NOW = 5000.0
"""On the monotonic clock, 7 s after the look of every status here."""
METADATA = {"model": "llama-70b", "mode": "act"}
PARAMETERS = PlanParameters(
    lead_seconds=300,
    hold_seconds=240,
    level=0.9,
    utilization=0.8,
    replicas_min=1,
    replicas_max=50,
    mode=Mode.ACT,
    capacity=ReplicaCapacity(
        work=Work(
            prompt=1 / 1000, generated=1 / 500, together=Together.SUM, origin=Origin.METADATA
        ),
        requests=50,
    ),
)


def named(name: str, namespace: str = "team-a") -> Reference:
    return Reference.of(namespace, name, METADATA)


def forecast(series: DemandSeries, *rows: tuple[float, ...]) -> DemandForecast:
    return DemandForecast(
        signal=series,
        made_at_seconds=START - 20,
        data_age_seconds=60.0,
        horizons_seconds=(60.0, 300.0),
        levels=(0.5, 0.9),
        quantiles=rows,
        last_value=1000.0,
        skill=(Skill(horizon_seconds=300.0, day=None, week=0.2, judged=400),),
        experts=(),
    )


def status(reference: Reference, *, replicas: int = 4) -> WorkloadStatus:
    """A workload that was looked at 7 s ago; its answer stands 293 s more."""
    spec = parse(dict(reference.metadata), ALLOWED)
    plan = ReplicaPlan(
        at_seconds=START,
        desired=replicas,
        planned=replicas,
        reactive=2,
        active=True,
        partly_measured=False,
        steps=(
            Step(rule="present", text="1,000 prompt tokens/s", replicas=1.6),
            Step(rule="queue", text="queue not measured", replicas=0.0, measured=False),
            Step(rule="lead time", text="5m: metadata", replicas=0.0, figure=True),
        ),
    )
    timed = TimedOutcome(
        outcome=Answer(replicas=replicas, active=True, made_at_seconds=START),
        read_at_seconds=NOW - 7,
        valid_until_seconds=NOW + 293,
    )
    observation = Observation(
        at_seconds=START,
        readings={
            Signal.PROMPT_TOKENS: Value(value=1000.0, at_seconds=START - 3),
            Signal.WAITING: Value(value=0.0, at_seconds=START - 3),
            Signal.RUNNING: Stale(at_seconds=START - 83),
            Signal.KV_USE: Absent(why="no series"),
        },
    )
    return WorkloadStatus(
        reference=reference,
        trigger_spec=spec,
        asked_at_seconds=NOW - 30,
        on_watch_list=False,
        cycle_state=CycleState(timed=timed, plan=plan, read_at_seconds=NOW - 7),
        plan=WorkloadPlan(
            reference=reference,
            parameters=PARAMETERS,
            given=PARAMETERS,
            poll=PollResult(at_seconds=START, observation=observation),
            looked_at_seconds=NOW - 7,
            demand=Demand(
                at_seconds=START,
                prompt_tokens=1000.0,
                generated_tokens=None,
                requests=0.0,
                in_flight=None,
            ),
            forecasts={
                DemandSeries.PROMPT_TOKENS: forecast(
                    DemandSeries.PROMPT_TOKENS, (1000.0, 2000.0), (1500.0, 4000.0)
                )
            },
            timed=timed,
            replica_plan=plan,
        ),
    )


def unread(reference: Reference) -> WorkloadStatus:
    """A workload that was not looked at yet."""
    return replace(status(reference), cycle_state=CycleState.unread(NOW), plan=None)


@dataclass
class PlansSite:
    """A served book of plans, and what the planning cycle does to it."""

    book: PlanBook = field(default_factory=lambda: PlanBook(instance="life"))
    statuses: dict[Reference, WorkloadStatus] = field(default_factory=dict)
    port: int = 0
    channel: grpc.aio.Channel | None = None
    stub: "pb_grpc.PlansAsyncStub | None" = None
    statuses_read: int = 0
    """How often a message was made."""

    def plan(self, reference: Reference, *, replicas: int = 4) -> None:
        """As the planning cycle does after a look."""
        self.statuses[reference] = status(reference, replicas=replicas)
        self.book.changed(reference)

    def forget(self, reference: Reference) -> None:
        del self.statuses[reference]
        self.book.removed(reference)

    def status(self, reference: Reference) -> WorkloadStatus | None:
        self.statuses_read += 1
        return self.statuses.get(reference)

    @asynccontextmanager
    async def served(
        self,
        *,
        admit: Admit = admit_everyone,
        tls: TlsFiles | None = None,
        serving: bool = True,
        address: str = "127.0.0.1:0",
    ) -> AsyncIterator[PlansServer]:
        service = PlansService(
            self.book,
            self.status,
            clock=lambda: NOW,
            admit=admit,
        )
        server = PlansServer(service, self.book)
        self.port = await server.start(address, tls)
        if serving:
            await server.serve()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{self.port}") as channel:
                self.channel, self.stub = channel, pb_grpc.PlansStub(channel)
                yield server
        finally:
            await server.drain()

    async def list(self, **fields: object) -> pb.ListWorkloadPlansResponse:
        assert self.stub is not None
        return await self.stub.ListWorkloadPlans(pb.ListWorkloadPlansRequest(**fields))

    def watch(self, **fields: object) -> "grpc.aio.UnaryStreamCall":
        assert self.stub is not None
        return self.stub.WatchWorkloadPlans(pb.WatchWorkloadPlansRequest(**fields))


def shown(event: pb.WatchWorkloadPlansResponse) -> str:
    """An event in a word: `all`, `since`, `synced`, `+NAME REPLICAS` or `-NAME`."""
    match event.WhichOneof("event"):
        case "begin":
            return "all" if event.begin.complete else "since"
        case "synced":
            return "synced"
        case "removed":
            return f"-{event.removed.name}"
        case _:
            return f"+{event.plan.workload.name} {event.plan.plan.planned}"
