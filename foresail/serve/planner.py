"""The planning process: reads sources, forecasts, plans, and serves the second port and plans.

Started by `foresail serve` with one end of a socket pair as its standard input. It ends when the
other end closes, so it never outlives the process that answers KEDA.
"""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from uuid import uuid4

import structlog
from prometheus_client import (
    GC_COLLECTOR,
    PLATFORM_COLLECTOR,
    PROCESS_COLLECTOR,
    CollectorRegistry,
)
from prometheus_client.parser import text_string_to_metric_families

from foresail.clock import steady_clock, wall_clock
from foresail.explain.decision_keeper import DecisionKeeper
from foresail.explain.decision_log import Bounds, DecisionLog
from foresail.logs import log_to_stderr
from foresail.ports.limits_seen import LOG, LimitCollector
from foresail.ports.process import collect_seldom
from foresail.ports.sites import Sites
from foresail.serve import wiring
from foresail.serve.exported import WorkloadCollector
from foresail.serve.http import FrontState, Pages, ReviewToken
from foresail.serve.link import (
    ALIVE_SECONDS,
    Alive,
    AllKnown,
    Asked,
    Begin,
    Failed,
    FeedFound,
    FeedsWanted,
    Front,
    Known,
    Link,
    Message,
    Published,
    Started,
    States,
)
from foresail.serve.pace import planning_settings
from foresail.serve.states import PlannerStates
from foresail.settings.file import Settings
from foresail.settings.serving import StateSettings
from foresail.telemetry.begun import Families, Sending, begin_telemetry
from scaler.decision.answers import Reference, TimedOutcome
from scaler.errors import ForesailError
from scaler.serving.cycle import PlanningCycle
from scaler.serving.metrics import PlanningMetrics
from scaler.serving.plan_book import PlanBook
from scaler.sources.otlp import OtlpSource

log = structlog.get_logger()

_NICENESS = 19
_SWITCH_SECONDS = 0.001
"""How long the event loop waits for a thread that computes. Python's own 5 ms are more than a plan
takes, and each turn of the loop may wait: thousands of turns in a period."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Running:
    """The parts that run, with their ports open."""

    cycle: PlanningCycle
    ports: Started
    decisions: DecisionKeeper | None
    series: Sending | None
    """What sends the page of metrics over OTLP; None = nothing does."""
    answer_readers: Callable[[], Awaitable[None]]
    """Called once all objects are known: before that, readers of plans are put off."""


async def plan(link: Link) -> None:
    """Plan until the answering process is gone."""
    first = await link.receive()
    if not isinstance(first, Begin):
        link.close()
        return  # the answering process ended before its first message
    front = FrontState()
    states = PlannerStates(first.settings.state, link)
    try:
        async with _running(first.settings, front, link, states) as running:
            link.send(running.ports)
            listener = _Listener(link, running, front, states)
            cycle = asyncio.create_task(running.cycle.run(), name="cycle")
            listening = asyncio.create_task(listener.run(), name="listen")
            beating = asyncio.create_task(_beat(link), name="beat")
            keeping = asyncio.create_task(states.run(running.cycle.feed_states), name="keep-states")
            sparing = asyncio.create_task(collect_seldom(), name="collect-seldom")
            tasks = {cycle, listening, beating, keeping, sparing}
            if running.series is not None:
                tasks.add(asyncio.create_task(running.series.run(), name="send-series"))
            if running.decisions is not None:
                noting = running.decisions.run(running.cycle.status)
                tasks.add(asyncio.create_task(noting, name="keep-decisions"))
            try:
                # The first task to end ends the process: no planner lives without its cycle.
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                # Sources are closed after this; a look that still reads would report a fault.
                await asyncio.gather(*tasks, return_exceptions=True)
            for task in done:
                task.result()
    except ForesailError as error:
        link.send(Failed(str(error)))
    finally:
        link.close()


@asynccontextmanager
async def _running(
    settings: Settings, front: FrontState, link: Link, states: PlannerStates
) -> AsyncIterator[_Running]:
    telemetry = begin_telemetry(settings, "planning")
    sources = wiring.Sources.of(settings)
    registry = CollectorRegistry()
    for collector in (PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR):
        registry.register(collector)
    registry.register(LimitCollector(lambda: front.limits))

    def publish(reference: Reference, timed: TimedOutcome) -> None:
        decision = telemetry.decided(loop.status(reference), timed)
        link.send(Published(reference, timed, states.payload(reference), decision))

    book = PlanBook(instance=uuid4().hex)
    decisions = _decision_keeper(settings.state, book)
    loop = PlanningCycle(
        sources.connect,
        planning_settings(settings.cycle, settings.pool_gpus),
        publish=publish,
        wall=wall_clock,
        steady=steady_clock,
        metrics=PlanningMetrics(registry),
        states=states,
        keep_sources=sources.keep,
        readers=book if decisions is None else decisions,
    )
    rules = settings.tenant_rules
    for one in settings.watch:
        if not one.is_answered:  # the answering process makes the others known
            loop.watch(one.reference, rules.admit(one.namespace, one.metadata))
    workloads = WorkloadCollector(loop, clock=steady_clock)

    pages = Pages(
        loop=loop,
        registry=registry,
        workloads=workloads,
        clock=steady_clock,
        front=front,
        period_seconds=settings.cycle.period,
        token_file=settings.listen.token_file,
        decisions=decisions,
    )
    try:
        async with Sites() as sites, AsyncExitStack() as stack:
            if settings.listen.token_review:
                pages = replace(pages, review=_token_review(stack))
            try:
                port = await sites.add(pages.application(), settings.listen.http)
            except ForesailError as error:
                raise ForesailError(f"listen.http: {error}") from error
            await _serve_otlp(settings, sources, stack)
            answer_readers, plans_port = await _serve_plans(settings, loop, book, stack)
            yield _Running(
                cycle=loop,
                ports=Started(port, plans_port),
                decisions=decisions,
                series=telemetry.series(partial(_begin_series, front, registry, workloads)),
                answer_readers=answer_readers,
            )
    finally:
        await sources.close()
        await asyncio.to_thread(telemetry.end)


def _begin_series(
    front: FrontState, registry: CollectorRegistry, workloads: WorkloadCollector
) -> Callable[[], Families]:
    """What makes the families of the page of metrics, in a thread."""
    snapshot, of_front = workloads.snapshot(), front.metrics.decode()
    return lambda: chain(
        text_string_to_metric_families(of_front), registry.collect(), snapshot.collect()
    )


def _decision_keeper(state: StateSettings, book: PlanBook) -> DecisionKeeper | None:
    if state.directory is None or state.decisions is None:
        return None
    bounds = Bounds(
        seconds=state.decisions.keep,
        per_workload=state.decisions.per_workload_max,
        size_bytes=state.decisions.mebibytes_max * 2**20,
    )
    return DecisionKeeper(
        DecisionLog(state.directory, bounds), book, wall=wall_clock, steady=steady_clock
    )


def _token_review(stack: AsyncExitStack) -> ReviewToken:
    """What asks the API server about tokens, until the stack is closed."""
    # The Kubernetes client is 70 MiB that only this needs.
    from fleet.cluster.follow.clients import connected_from_here  # noqa: PLC0415
    from foresail.ports.token_reviews import TokenReviews  # noqa: PLC0415

    reviews = TokenReviews(connect=connected_from_here, clock=steady_clock)
    stack.push_async_callback(reviews.close)
    return reviews.may_get


async def _serve_otlp(settings: Settings, sources: wiring.Sources, stack: AsyncExitStack) -> None:
    """Open the ports of the sources that metrics are pushed to."""
    for one in settings.sources:
        if one.otlp is not None:
            # gRPC and OpenTelemetry are libraries that only this needs.
            from foresail.serve.otlp_ports import otlp_served  # noqa: PLC0415

            source = sources.by_name[one.name]
            assert isinstance(source, OtlpSource)
            ports = await stack.enter_async_context(otlp_served(one.otlp, source))
            log.info("receiving_otlp", source=one.name, grpc_port=ports.grpc, http_port=ports.http)


async def _serve_plans(
    settings: Settings, loop: PlanningCycle, book: PlanBook, stack: AsyncExitStack
) -> tuple[Callable[[], Awaitable[None]], int | None]:
    """Open the port of the Plans API, if the settings ask for it."""
    if settings.plans is None:
        return _no_readers, None
    # gRPC is a library that only this needs.
    from foresail.serve.plans_port import plans_served  # noqa: PLC0415

    served = plans_served(settings, settings.plans, loop, book)
    server, port = await stack.enter_async_context(served)
    return server.serve, port


async def _no_readers() -> None:
    pass


class _Listener:
    """Takes the messages of the answering process."""

    def __init__(
        self, link: Link, running: _Running, front: FrontState, states: PlannerStates
    ) -> None:
        self._link = link
        self._running = running
        self._loop = running.cycle
        self._front = front
        self._states = states

    async def run(self) -> None:
        """Listen until that process is gone."""
        async with asyncio.TaskGroup() as group:
            while (message := await self._link.receive()) is not None:
                if isinstance(message, FeedsWanted):
                    handing = self._states.hand_over(message.keys, self._loop.feed_states)
                    _ = group.create_task(handing, name="hand-over")
                elif isinstance(message, AllKnown):
                    await self._running.answer_readers()
                else:
                    self._take(message)

    def _take(self, message: Message) -> None:
        match message:
            case Known(changes=changes):
                self._loop.apply(changes)
            case Asked(times=times):
                for reference, asked_at_seconds in times:
                    self._loop.note_asked(reference, asked_at_seconds)
            case States(payloads=payloads):
                self._states.inherit(payloads)
            case FeedFound(key=key, payload=payload):
                self._states.requests.found(key, payload)
            case Front(accepting=accepting, metrics=metrics, limits=limits):
                self._front.accepting, self._front.metrics = accepting, metrics
                self._front.limits = limits
            case _:
                log.error("message_not_for_a_planner", kind=type(message).__name__)


async def _beat(link: Link) -> None:
    """Report that the event loop runs, even if nothing is published, and name new limits."""
    while True:
        link.send(Alive())
        LOG.name_new()
        await asyncio.sleep(ALIVE_SECONDS)


def main() -> None:
    log_to_stderr(sys.argv[1])
    # On a busy node KEDA's answers come first; a plan may be late, a look has its own time limit.
    os.nice(_NICENESS)
    sys.setswitchinterval(_SWITCH_SECONDS)
    end = socket.socket(fileno=sys.stdin.fileno())

    async def run() -> None:
        await plan(await Link.over(end))

    with suppress(KeyboardInterrupt):  # a Ctrl-C reaches both; the other process drains
        asyncio.run(run())


if __name__ == "__main__":
    main()
