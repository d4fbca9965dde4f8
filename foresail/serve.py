"""`foresail serve`: the answering process, and the planning process that it keeps alive.

A planner that dies is started again and gets every known object with its current answer. An answer
stands until its age limit, even without a planner; then KEDA gets errors. An RPC never waits.
"""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from prometheus_client import CollectorRegistry, generate_latest

from foresail import api_service
from foresail.admission import board_of, tls_files
from foresail.clock import steady_clock, wall_clock
from foresail.handover import Handover
from foresail.limits_seen import LOG
from foresail.link import (
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
    Published,
    Started,
    States,
)
from foresail.loopback import is_loopback
from foresail.process import end_on_fault, raise_open_files, spare_collector, stop_signalled
from foresail.settings import Settings
from foresail.telemetry_begun import begin_telemetry
from scaler.errors import ForesailError
from scaler.limits import COUNTS
from scaler.serving.board import Changes, arrival_of
from scaler.serving.certificate_expiry import CertificateExpiry
from scaler.serving.metrics import ServiceMetrics
from scaler.serving.server import ScalerServer
from scaler.serving.service import ExternalScaler
from scaler.serving.streams import StreamLifetimes

if TYPE_CHECKING:
    from foresail.external_metrics import ExternalMetrics

log = structlog.get_logger()

_REPORT_SECONDS = 5.0
_REPORTS_A_ROLL_CALL = 6
_SLICE = 20
"""Objects in a message: the answers that come meanwhile wait for one slice at most."""
_START_SECONDS_MAX = 60.0
_END_SECONDS_MAX = 5.0
_BACKOFF_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0)
SILENT_SECONDS_MAX = 60.0
"""Twelve of its heartbeats: a planner that misses them all holds memory here and plans nothing."""
_LIVED_SECONDS = 300.0
"""A planner that lived this long starts the back-off anew."""


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
    _refuse_open_plain_text(settings)
    raise_open_files()
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
        await front.server.serving(ready=True)
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


class Answering:
    """The process that KEDA asks: a board, the server in front of it, and its planner's keeper."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        limits = settings.limits
        self.registry = CollectorRegistry()
        self.board = board_of(settings)
        self.handover = Handover(settings, self.board)
        lifetimes = StreamLifetimes(per_peer_max=limits.streams_per_connection_max)
        metrics = self._metrics = ServiceMetrics(self.registry)
        self.expiry = CertificateExpiry(_certificates(settings), metrics, wall_clock)
        service = ExternalScaler(
            self.board,
            metrics,
            lifetimes,
            replicas_max=limits.replicas_max,
            client_names=_client_names(settings),
        )
        self.telemetry = begin_telemetry(settings, "answering")
        self.server = ScalerServer(
            service,
            lifetimes,
            state=self.handover.service,
            interceptors=self.telemetry.interceptors,
        )
        self.accepting = False
        self._external_metrics: ExternalMetrics | None = None

    async def serve_external_metrics(self, stack: AsyncExitStack) -> int | None:
        """Serve the API until the stack is closed, where the settings say so; its port.

        Call it after the handover, which brings the answers of models that it makes known.

        Raises:
            ForesailError: its port is taken, or a TLS file cannot be read.
        """
        settings = self._settings.external_metrics
        if settings is None:
            return None
        # The HTTP server is 9 MiB of this process that nobody with KEDA needs.
        from foresail.external_metrics import (  # noqa: PLC0415
            ExternalMetrics,
            external_metrics_served,
        )

        self._external_metrics = service = ExternalMetrics(
            self.board,
            self._settings.watch,
            self._metrics,
            replicas_max=self._settings.limits.replicas_max,
            proxy_names=frozenset(settings.front_proxy_names),
        )
        service.keep_known()
        return await stack.enter_async_context(external_metrics_served(settings, service))

    async def keep(self, planner: "Planner", log_level: str) -> None:
        """Exchange messages with the planner; start it again whenever it ends."""
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            begun = loop.time()
            try:
                await self.exchange(planner.link)
            finally:
                await planner.end()
            failures = 1 if loop.time() - begun > _LIVED_SECONDS else failures + 1
            wait_seconds = _BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS)) - 1]
            log.error("planner_ended", status=planner.process.returncode, again_in=wait_seconds)
            while True:
                await asyncio.sleep(wait_seconds)
                try:
                    planner = await Planner.start(self._settings, log_level)
                except ForesailError as error:
                    log.error("planner_not_started", error=str(error))  # noqa: TRY400 said whole
                    wait_seconds = _BACKOFF_SECONDS[-1]
                else:
                    break

    async def exchange(self, link: Link) -> None:
        """Exchange messages until the planner ends or is silent for `SILENT_SECONDS_MAX`."""
        self.handover.attach(link)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self.handover.serve_planner(link), name="feeds-of-peers"),
                group.create_task(self.handover.follow(), name="follow-peers"),
                group.create_task(self._tell_new(link), name="tell-new"),
                group.create_task(self._report(link), name="report"),
            ]
            try:
                while await self._hear(link):
                    pass
            except TimeoutError:
                log.error("planner_stuck", silent_seconds=SILENT_SECONDS_MAX)  # noqa: TRY400 said
            for task in tasks:
                task.cancel()
        self.handover.attach(None)

    async def _hear(self, link: Link) -> bool:
        """Take one message; False when the planner is gone.

        Raises:
            TimeoutError: no message came for too long, not even a heartbeat.
        """
        async with asyncio.timeout(SILENT_SECONDS_MAX):
            message = await link.receive()
        match message:
            case Published(reference=reference, timed=timed, state=state, decision=decision):
                if self.board.known(reference) is not None:
                    self.telemetry.note(reference, decision)
                if state is not None and self.board.known(reference) is not None:
                    self.handover.held.keep(reference, state)
                self.board.publish(reference, timed)
            case FeedsWanted(keys=keys):
                self.handover.want(keys)
            case FeedFound(key=key, payload=payload):
                self.handover.found(key, payload)
            case Alive():
                pass
            case _:
                return False
        return True

    async def _tell_new(self, link: Link) -> None:
        _ = self.board.take_changes()  # they are among all
        arrivals = [arrival_of(entry) for entry in self.board]
        for start in range(0, len(arrivals), _SLICE):
            self._tell(link, Changes(arrived=tuple(arrivals[start : start + _SLICE])))
            await asyncio.sleep(0)
        link.send(AllKnown())
        while True:
            await self.board.arrived.wait()
            self._tell(link, self.board.take_changes())

    def _tell(self, link: Link, changes: Changes) -> None:
        """Name objects to the planner, with what is known of them from before."""
        held = self.handover.held
        link.send(States(held.of(arrival.reference for arrival in changes.arrived)))
        link.send(Known(changes))

    async def _report(self, link: Link) -> None:
        """Pass on this process's own series, and what was asked about, for the second port."""
        reported = 0
        since = steady_clock()
        await asyncio.to_thread(self.expiry.look)
        while True:
            limits = COUNTS.snapshot()
            link.send(Front(self.accepting, generate_latest(self.registry), limits))
            LOG.name_new()
            await asyncio.sleep(_REPORT_SECONDS)
            reported += 1
            if reported % _REPORTS_A_ROLL_CALL == 0:
                if self._external_metrics is not None:
                    self._external_metrics.keep_known()
                self.board.forget_silent()
                self.telemetry.keep({entry.reference for entry in self.board})
                self._tell(link, self.board.take_changes())
                await self.handover.forget_unknown()
                await asyncio.to_thread(self.expiry.look)
                since = await self._call_roll(link, since)

    async def _call_roll(self, link: Link, since: float) -> float:
        """Say what was asked about, and when; in slices, because questions come in between."""
        until = steady_clock()
        asked = [
            (entry.reference, entry.asked_at_seconds)
            for entry in self.board
            if entry.asked_at_seconds >= since
        ]
        for start in range(0, len(asked), _SLICE):
            link.send(Asked(tuple(asked[start : start + _SLICE])))
            await asyncio.sleep(0)
        return until


def _client_names(settings: Settings) -> frozenset[str] | None:
    names = () if settings.tls is None else settings.tls.client_names
    return frozenset(names) or None


def _refuse_open_plain_text(settings: Settings) -> None:
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


def _certificates(settings: Settings) -> dict[str, Path]:
    tls, metrics = settings.tls, settings.external_metrics
    files: dict[str, Path | None] = {}
    if tls is not None:
        files |= {"tls.certificate": tls.certificate, "tls.clientCa": tls.client_ca}
    if metrics is not None:
        files["externalMetrics.certificate"] = metrics.certificate
        files["externalMetrics.frontProxyCa"] = metrics.front_proxy_ca
    for source in settings.sources:
        if source.otlp is not None and source.otlp.tls is not None:
            group = f"sources[{source.name}].otlp.tls"
            files[f"{group}.certificate"] = source.otlp.tls.certificate
            files[f"{group}.clientCa"] = source.otlp.tls.client_ca
    return {setting: file for setting, file in files.items() if file is not None}


class Planner:
    """A planning process and the link to it."""

    def __init__(self, process: asyncio.subprocess.Process, link: Link, ports: Started) -> None:
        self.process = process
        self.link = link
        self.ports = ports

    @classmethod
    async def start(cls, settings: Settings, log_level: str) -> "Planner":
        """Start a planner and wait until it plans.

        Raises:
            ForesailError: it cannot run, with its own reason.
        """
        try:
            process, link = await cls._begun(log_level)
        except OSError as error:  # no memory, no process or no file left on this node
            message = f"the planning process cannot be started: {error}"
            raise ForesailError(message) from error
        link.send(Begin(settings))
        try:
            async with asyncio.timeout(_START_SECONDS_MAX):
                answer = await link.receive()
        except TimeoutError:
            answer = Failed(f"it did not start within {_START_SECONDS_MAX:g} s")
        if isinstance(answer, Started):
            return cls(process, link, answer)
        await _ended(process, link)
        why = answer.message if isinstance(answer, Failed) else f"status {process.returncode}"
        message = f"the planning process cannot run: {why}"
        raise ForesailError(message)

    async def end(self) -> None:
        await _ended(self.process, self.link)

    @staticmethod
    async def _begun(log_level: str) -> tuple[asyncio.subprocess.Process, Link]:
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "foresail.planner", log_level, stdin=theirs.fileno()
                )
        except OSError:
            ours.close()
            raise
        return process, await Link.over(ours)


async def _ended(process: asyncio.subprocess.Process, link: Link) -> None:
    """Close the link, which ends the planner; kill one that does not end."""
    link.close()
    try:
        async with asyncio.timeout(_END_SECONDS_MAX):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
