"""`foresail serve`: the scaler as a process, from start to a drained end."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import structlog
from aiohttp import web
from prometheus_client import GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR, CollectorRegistry

from foresail import wiring
from foresail.assembly import Scaler, assemble
from foresail.exported import WorkloadCollector
from foresail.http import Pages
from foresail.settings import Settings
from scaler.errors import ForesailError
from scaler.metadata import parse

log = structlog.get_logger()


def wall_clock() -> float:
    """Unix time. The one place that reads it."""
    return time.time()  # noqa: TID251 this is the Clock that the others take


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then drain.

    Raises:
        ForesailError: a port is taken, or a file or source cannot be used.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running(settings, on_failure=stop.set) as (_, grpc_port, http_port):
        log.info("serving", grpc_port=grpc_port, http_port=http_port, tls=settings.tls is not None)
        if settings.tls is None:
            log.warning("plain_text", why="no tls in the settings: anyone on the network may ask")
        await stop.wait()
        log.info("draining")


@asynccontextmanager
async def running(
    settings: Settings, *, on_failure: Callable[[], None] = lambda: None
) -> AsyncIterator[tuple[Scaler, int, int]]:
    """A serving scaler with its gRPC and HTTP ports; drained at the end.

    Args:
        on_failure: called when the cycle ended by itself, which is a fault: answers would age
            until each is an error, and a process that is started anew reads its past again.

    Raises:
        Exception: at the end, what the cycle failed with.
    """
    sources = wiring.Sources.of(settings)
    offer = wiring.offer_of(settings, sources)
    registry = CollectorRegistry()
    for collector in (PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR):
        registry.register(collector)
    scaler = assemble(
        admit=lambda metadata: parse(metadata, offer),
        connect=sources.connect,
        settings=wiring.loop_settings(settings),
        clock=wall_clock,
        registry=registry,
        limits=wiring.limits_of(settings),
    )
    registry.register(WorkloadCollector(scaler.board, scaler.loop, clock=wall_clock))
    accepting = False
    pages = Pages(
        board=scaler.board,
        loop=scaler.loop,
        registry=registry,
        clock=wall_clock,
        accepting=lambda: accepting,
    )
    runner = web.AppRunner(pages.application(), access_log=None, handle_signals=False)
    await runner.setup()
    cycle = None
    try:
        http_port = await _listen(runner, settings.listen.http)
        grpc_port = await scaler.server.start(settings.listen.grpc, wiring.tls_files(settings))
        cycle = asyncio.create_task(scaler.loop.run(), name="cycle")
        cycle.add_done_callback(lambda _: on_failure())
        await scaler.server.serving(ready=True)
        accepting = True
        yield scaler, grpc_port, http_port
    finally:
        accepting = False
        await scaler.server.drain()
        await runner.cleanup()
        await sources.close()
        if cycle is not None:
            cycle.cancel()
            with suppress(asyncio.CancelledError):
                await cycle


async def _listen(runner: web.AppRunner, address: str) -> int:
    host, _, port = address.rpartition(":")
    try:
        site = web.TCPSite(runner, host.strip("[]"), int(port))
        await site.start()
    except (OSError, ValueError) as error:
        message = f"listen.http: cannot listen on {address}: {error}"
        raise ForesailError(message) from error
    return int(runner.addresses[0][1])
