"""The planning process: reads sources, forecasts, plans, and serves the second port.

Started by `foresail serve` with one end of a socket pair as its standard input. It ends when the
other end closes, so it never outlives the process that answers KEDA.
"""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog
from prometheus_client import (
    GC_COLLECTOR,
    PLATFORM_COLLECTOR,
    PROCESS_COLLECTOR,
    CollectorRegistry,
)

from foresail import wiring
from foresail.clock import steady_clock, wall_clock
from foresail.exported import WorkloadCollector
from foresail.http import FrontState, Pages
from foresail.link import (
    ALIVE_SECONDS,
    Alive,
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
from foresail.logs import log_to_stderr
from foresail.pace import planning_settings
from foresail.settings import Settings
from foresail.sites import Sites
from foresail.states import PlannerStates
from scaler.decision.answers import Reference, TimedOutcome
from scaler.errors import ForesailError
from scaler.serving.cycle import PlanningCycle
from scaler.serving.metrics import PlanningMetrics
from scaler.trigger import parse

log = structlog.get_logger()

_NICENESS = 19


async def plan(link: Link) -> None:
    """Plan until the answering process is gone."""
    first = await link.receive()
    if not isinstance(first, Begin):
        link.close()
        return  # the answering process ended before its first message
    front = FrontState()
    states = PlannerStates(first.settings.state, link)
    try:
        async with _running(first.settings, front, link, states) as (loop, http_port):
            link.send(Started(http_port))
            listener = _Listener(link, loop, front, states)
            cycle = asyncio.create_task(loop.run(), name="cycle")
            listening = asyncio.create_task(listener.run(), name="listen")
            beating = asyncio.create_task(_beat(link), name="beat")
            keeping = asyncio.create_task(states.run(loop.feed_states), name="keep-states")
            tasks = {cycle, listening, beating, keeping}
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
) -> AsyncIterator[tuple[PlanningCycle, int]]:
    sources = wiring.Sources.of(settings)
    registry = CollectorRegistry()
    for collector in (PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR):
        registry.register(collector)

    def publish(reference: Reference, timed: TimedOutcome) -> None:
        link.send(Published(reference, timed, states.payload(reference)))

    loop = PlanningCycle(
        sources.connect,
        planning_settings(settings.cycle),
        publish=publish,
        wall=wall_clock,
        steady=steady_clock,
        metrics=PlanningMetrics(registry),
        states=states,
        keep_sources=sources.keep,
    )
    for one in settings.watch:
        reference = Reference.of(one.namespace, one.name, one.metadata)
        loop.watch(reference, parse(one.metadata, settings.allowed))
    registry.register(WorkloadCollector(loop, clock=steady_clock))
    pages = Pages(loop=loop, registry=registry, clock=steady_clock, front=front)
    try:
        async with Sites() as sites:
            try:
                port = await sites.add(pages.application(), settings.listen.http)
            except ForesailError as error:
                raise ForesailError(f"listen.http: {error}") from error
            yield loop, port
    finally:
        await sources.close()


class _Listener:
    """Takes the messages of the answering process."""

    def __init__(
        self, link: Link, loop: PlanningCycle, front: FrontState, states: PlannerStates
    ) -> None:
        self._link = link
        self._loop = loop
        self._front = front
        self._states = states

    async def run(self) -> None:
        """Listen until that process is gone."""
        async with asyncio.TaskGroup() as group:
            while (message := await self._link.receive()) is not None:
                if isinstance(message, FeedsWanted):
                    handing = self._states.hand_over(message.keys, self._loop.feed_states)
                    _ = group.create_task(handing, name="hand-over")
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
            case Front(accepting=accepting, metrics=metrics):
                self._front.accepting, self._front.metrics = accepting, metrics
            case _:
                log.error("message_not_for_a_planner", kind=type(message).__name__)


async def _beat(link: Link) -> None:
    """Report that the event loop runs, even if there is nothing to publish."""
    while True:
        link.send(Alive())
        await asyncio.sleep(ALIVE_SECONDS)


def main() -> None:
    log_to_stderr(sys.argv[1])
    # On a busy node KEDA's answers come first; a plan may be late, a look has its own time limit.
    os.nice(_NICENESS)
    end = socket.socket(fileno=sys.stdin.fileno())

    async def run() -> None:
        await plan(await Link.over(end))

    with suppress(KeyboardInterrupt):  # a Ctrl-C reaches both; the other process drains
        asyncio.run(run())


if __name__ == "__main__":
    main()
