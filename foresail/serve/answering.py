"""The answering process: what KEDA asks, and the exchange with the planner that it keeps alive.

A planner that dies is started again and gets every known object with its current answer. An answer
stands until its age limit, even without a planner; then KEDA gets errors. An RPC never waits.
"""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from prometheus_client import CollectorRegistry, generate_latest

from foresail.clock import steady_clock, wall_clock
from foresail.ports.limits_seen import LOG
from foresail.serve.admission import board_of
from foresail.serve.handover import Handover
from foresail.serve.link import (
    Alive,
    AllKnown,
    Asked,
    FeedFound,
    FeedsWanted,
    Front,
    Known,
    Link,
    Published,
    States,
)
from foresail.serve.planner_process import Planner
from foresail.settings.file import Settings
from foresail.telemetry.begun import begin_telemetry
from scaler.errors import ForesailError
from scaler.limits import COUNTS
from scaler.serving.certificate_expiry import CertificateExpiry
from scaler.serving.changes import Changes, arrival_of
from scaler.serving.metrics import ServiceMetrics
from scaler.serving.server import ScalerServer
from scaler.serving.service import ExternalScaler
from scaler.serving.streams import StreamLifetimes

if TYPE_CHECKING:
    from foresail.serve.external_metrics import ExternalMetrics

log = structlog.get_logger()

_REPORT_SECONDS = 5.0
_REPORTS_A_ROLL_CALL = 6
_SLICE = 20
"""Objects in a message: the answers that come meanwhile wait for one slice at most."""
_BACKOFF_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0)
SILENT_SECONDS_MAX = 60.0
"""Twelve of its heartbeats: a planner that misses them all holds memory here and plans nothing."""
_LIVED_SECONDS = 300.0
"""A planner that lived this long starts the back-off anew."""


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
        self.expiry = CertificateExpiry(certificate_files(settings), metrics, wall_clock)
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
        from foresail.serve.external_metrics import (  # noqa: PLC0415
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

    async def keep(self, planner: Planner, log_level: str) -> None:
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


def certificate_files(settings: Settings) -> dict[str, Path]:
    """The certificates whose end is told, by the setting that names each.

    The CAs of sources are not among them: a system's file holds authorities that ended long ago.
    """
    tls, metrics, plans = settings.tls, settings.external_metrics, settings.plans
    files: dict[str, Path | None] = {}
    if tls is not None:
        files |= {"tls.certificate": tls.certificate, "tls.clientCa": tls.client_ca}
    if metrics is not None:
        files["externalMetrics.certificate"] = metrics.certificate
        files["externalMetrics.frontProxyCa"] = metrics.front_proxy_ca
    if plans is not None:
        files["plans.clientCa"] = plans.client_ca
    for source in settings.sources:
        if source.prometheus is not None:
            setting = f"sources[{source.name}].prometheus.tls.certificate"
            files[setting] = source.prometheus.tls.certificate
        if source.scrape is not None and source.scrape.tls is not None:
            setting = f"sources[{source.name}].scrape.tls.certificate"
            files[setting] = source.scrape.tls.certificate
        if source.otlp is not None and source.otlp.tls is not None:
            group = f"sources[{source.name}].otlp.tls"
            files[f"{group}.certificate"] = source.otlp.tls.certificate
            files[f"{group}.clientCa"] = source.otlp.tls.client_ca
    return {setting: file for setting, file in files.items() if file is not None}
