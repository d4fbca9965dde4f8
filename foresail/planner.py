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

from aiohttp import web
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
    Front,
    Known,
    Link,
    Published,
    Started,
)
from foresail.logs import log_to_stderr
from foresail.pace import loop_settings
from foresail.settings import Settings
from scaler.assembly import planning
from scaler.board import Posted, Reference
from scaler.errors import ForesailError
from scaler.loop import ScalerLoop
from scaler.metadata import parse

_NICENESS = 19


async def plan(link: Link) -> None:
    """Plan until the answering process is gone."""
    first = await link.receive()
    if not isinstance(first, Begin):
        link.close()
        return  # the answering process ended before it said anything
    front = FrontState()
    try:
        async with _running(first.settings, front, link) as (loop, http_port):
            link.send(Started(http_port))
            cycle = asyncio.create_task(loop.run(), name="cycle")
            listening = asyncio.create_task(_listen(link, loop, front), name="listen")
            beating = asyncio.create_task(_beat(link), name="beat")
            tasks = {cycle, listening, beating}
            try:
                # Whichever ends first ends the process: a planner without a cycle is no planner.
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                # Sources are closed after this; a look that still reads would call it a fault.
                await asyncio.gather(*tasks, return_exceptions=True)
            for task in done:
                task.result()
    except ForesailError as error:
        link.send(Failed(str(error)))
    finally:
        link.close()


@asynccontextmanager
async def _running(
    settings: Settings, front: FrontState, link: Link
) -> AsyncIterator[tuple[ScalerLoop, int]]:
    sources = wiring.Sources.of(settings)
    registry = CollectorRegistry()
    for collector in (PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR):
        registry.register(collector)

    def publish(reference: Reference, posted: Posted) -> None:
        link.send(Published(reference, posted))

    loop = planning(
        sources.connect,
        loop_settings(settings.cycle),
        publish=publish,
        wall=wall_clock,
        steady=steady_clock,
        registry=registry,
    )
    for one in settings.watch:
        reference = Reference.of(one.namespace, one.name, one.metadata)
        loop.watch(reference, parse(one.metadata, settings.offer))
    registry.register(WorkloadCollector(loop, clock=steady_clock))
    pages = Pages(loop=loop, registry=registry, clock=steady_clock, front=front)
    runner = web.AppRunner(pages.application(), access_log=None, handle_signals=False)
    await runner.setup()
    try:
        yield loop, await _bound(runner, settings.listen.http)
    finally:
        await runner.cleanup()
        await sources.close()


async def _bound(runner: web.AppRunner, address: str) -> int:
    host, _, port = address.rpartition(":")
    try:
        await web.TCPSite(runner, host.strip("[]"), int(port)).start()
    except (OSError, ValueError) as error:
        message = f"listen.http: cannot listen on {address}: {error}"
        raise ForesailError(message) from error
    return int(runner.addresses[0][1])


async def _listen(link: Link, loop: ScalerLoop, front: FrontState) -> None:
    """Take what the answering process says, until it is gone."""
    while True:
        match await link.receive():
            case Known(changes=changes):
                loop.apply(changes)
            case Asked(times=times):
                for reference, asked_at_seconds in times:
                    loop.note_asked(reference, asked_at_seconds)
            case Front(accepting=accepting, metrics=metrics):
                front.accepting, front.metrics = accepting, metrics
            case _:
                return


async def _beat(link: Link) -> None:
    """Show that the event loop turns, also where there is nothing to publish."""
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
