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
from functools import partial

import structlog
from prometheus_client import (
    GC_COLLECTOR,
    PLATFORM_COLLECTOR,
    PROCESS_COLLECTOR,
    CollectorRegistry,
)

from foresail import wiring
from foresail.admission import board_of
from foresail.assembly import planning
from foresail.clock import wall_clock
from foresail.exported import WorkloadCollector
from foresail.http import FrontState, Pages
from foresail.link import (
    ALIVE_SECONDS,
    Alive,
    Asked,
    Begin,
    Failed,
    Front,
    Link,
    Published,
    Started,
)
from foresail.logs import log_to_stderr
from foresail.settings import Settings
from foresail.sites import Sites
from scaler.board import Board, BoardFullError, Entry
from scaler.errors import ForesailError
from scaler.loop import ScalerLoop

log = structlog.get_logger()

_NICENESS = 19


async def plan(link: Link) -> None:
    """Plan until the answering process is gone."""
    first = await link.receive()
    assert isinstance(first, Begin)
    front = FrontState()
    try:
        async with _running(first.settings, front) as (board, loop, http_port):
            link.send(Started(http_port))
            cycle = asyncio.create_task(loop.run(), name="cycle")
            listening = asyncio.create_task(_listen(link, board, front), name="listen")
            beating = asyncio.create_task(_beat(link), name="beat")
            tasks = {cycle, listening, beating}
            try:
                # Whichever ends first ends the process: a planner without a cycle is no planner.
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                # Sources are closed after this: who still reads from one would call it a fault.
                await asyncio.gather(*tasks, return_exceptions=True)
            for task in done:
                task.result()
    except ForesailError as error:
        link.send(Failed(str(error)))
    finally:
        link.close()


@asynccontextmanager
async def _running(
    settings: Settings, front: FrontState
) -> AsyncIterator[tuple[Board, ScalerLoop, int]]:
    sources = wiring.Sources.of(settings)
    registry = CollectorRegistry()
    for collector in (PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR):
        registry.register(collector)
    # Who is admitted is decided where KEDA asks; here is room for what was forgotten there.
    board = board_of(settings, objects_max=2 * settings.limits.objects_max)
    loop = planning(
        board,
        sources.connect,
        wiring.loop_settings(settings),
        clock=wall_clock,
        registry=registry,
    )
    registry.register(WorkloadCollector(board, loop, clock=wall_clock))
    pages = Pages(board=board, loop=loop, registry=registry, clock=wall_clock, front=front)
    try:
        async with Sites() as sites:
            yield board, loop, await sites.add(pages.application(), settings.listen.http)
    finally:
        await sources.close()


async def _listen(link: Link, board: Board, front: FrontState) -> None:
    """Take what the answering process says, until it is gone."""
    while True:
        match await link.receive():
            case Asked(references=references):
                for reference in references:
                    try:
                        entry = board.ask(reference)
                    except BoardFullError as error:
                        log.warning("object_not_planned", object=str(reference), why=str(error))
                        continue
                    if not entry.listeners:
                        entry.listeners.add(partial(_tell, link, entry))
            case Front(accepting=accepting, metrics=metrics):
                front.accepting, front.metrics = accepting, metrics
            case _:
                return


async def _beat(link: Link) -> None:
    """Show that the event loop turns, also where there is nothing to publish."""
    while True:
        link.send(Alive())
        await asyncio.sleep(ALIVE_SECONDS)


def _tell(link: Link, entry: Entry) -> None:
    link.send(Published(entry.reference, entry.outcome))


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
