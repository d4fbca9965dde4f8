"""`foresail serve`: the answering process and its planner, from their start to their drain."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

import structlog

from foresail.api import service as api_service
from foresail.ports.loopback import is_loopback
from foresail.ports.open_connections import PortLimits
from foresail.ports.process import (
    collect_seldom,
    end_on_fault,
    raise_open_files,
    spare_collector,
    stop_signalled,
)
from foresail.serve.admission import tls_files
from foresail.serve.answering import Answering
from foresail.serve.planner_process import Planner
from foresail.settings.file import Settings
from scaler.errors import ForesailError
from scaler.serving import plans_server, server

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where a running scaler listens."""

    grpc: int
    http: int
    plans: int | None
    """Of the Plans API; None where it is not served."""
    external_metrics: int | None = None
    """Of the external metrics API; None where it is not served."""


async def serve(settings: Settings, *, log_level: str) -> None:
    """Serve until SIGTERM or SIGINT, then drain.

    Raises:
        ForesailError: a port is taken, or a file or source cannot be used.
    """
    refuse_open_plain_text(settings)
    raise_open_files(connections_max(settings))
    stop = stop_signalled()
    async with running(settings, log_level=log_level) as ports:
        log.info(
            "serving",
            grpc_port=ports.grpc,
            http_port=ports.http,
            plans_port=ports.plans,
            external_metrics_port=ports.external_metrics,
        )
        if off_loopback := plain_text_off_loopback(settings):
            why = "no group tls in the settings: anyone on the network may ask"
            log.warning("plain_text", why=why, **off_loopback)
        await stop.wait()
        log.info("draining")


@asynccontextmanager
async def running(settings: Settings, *, log_level: str = "warning") -> AsyncIterator[Ports]:
    """A scaler that answers and plans; drained at the end."""
    front = Answering(settings)
    await _check_api_service(settings)
    planner, _ = await asyncio.gather(Planner.start(settings, log_level), front.handover.begin())
    keeper = None
    stack = AsyncExitStack()
    try:
        port = await front.server.start(settings.listen.grpc, tls_files(settings))
        metrics_port = await front.serve_external_metrics(stack)
        keeper = asyncio.create_task(front.keep(planner, log_level), name="planner")
        keeper.add_done_callback(end_on_fault)
        spare_collector()
        collecting = asyncio.create_task(collect_seldom(), name="collect-seldom")
        collecting.add_done_callback(end_on_fault)
        _ = stack.callback(collecting.cancel)
        front.server.serving(ready=True)
        front.accepting = True
        yield Ports(
            grpc=port,
            http=planner.ports.http_port,
            plans=planner.ports.plans_port,
            external_metrics=metrics_port,
        )
    finally:
        front.accepting = False
        await stack.aclose()
        await front.server.drain()
        if keeper is None:
            await planner.end()
        else:
            keeper.cancel()
            with suppress(asyncio.CancelledError):
                await keeper
        await asyncio.to_thread(front.telemetry.end)


def connections_max(settings: Settings) -> int:
    """Connections at once to the ports of one of the two processes, the one that has more."""
    of_http = PortLimits().connections
    answering = server.CONNECTIONS_MAX + of_http * (settings.external_metrics is not None)
    otlp = (one.otlp for one in settings.sources if one.otlp is not None)
    ports = [address for one in otlp for address in (one.grpc, one.http) if address is not None]
    of_health = 1
    planning = (of_health + len(ports)) * of_http
    if settings.plans is not None:
        planning += plans_server.CONNECTIONS_MAX
    return max(answering, planning)


def refuse_open_plain_text(settings: Settings) -> None:
    """Refuse plain text off loopback, unless the settings ask for it by name.

    Raises:
        ForesailError: anyone on the network could ask, and read the plans.
    """
    if settings.listen.plain_text:
        return
    for setting, address in plain_text_off_loopback(settings).items():
        raise ForesailError(
            f"{setting}: {address} is open to the network and there is no group tls: give tls, "
            "listen on 127.0.0.1, or say listen.plainText: true"
        )


def plain_text_off_loopback(settings: Settings) -> dict[str, str]:
    """The addresses where anyone on the network may ask, by their setting."""
    if settings.tls is not None:
        return {}
    addresses = {"listen.grpc": settings.listen.grpc}
    if settings.plans is not None:
        addresses["plans.listen"] = settings.plans.listen
    hosts = {name: one.rpartition(":")[0].strip("[]") for name, one in addresses.items()}
    return {
        name: addresses[name]
        for name, host in hosts.items()
        if not (host == "localhost" or is_loopback(host))
    }


async def _check_api_service(settings: Settings) -> None:
    """Refuse to serve the external metrics API where another program does, such as KEDA.

    Raises:
        ForesailError: HPAs would never ask here.
    """
    if settings.external_metrics is None:
        return
    name, ours = api_service.EXTERNAL_METRICS, settings.external_metrics.service
    reading = await api_service.read_owner(name)
    unknown = api_service.check_owner(reading, name=name, ours=ours)
    if unknown is not None:
        log.warning("api_service_not_read", name=name, why=unknown)
