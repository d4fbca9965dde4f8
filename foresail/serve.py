"""`foresail serve`: the answering process, and the planning process that it keeps alive.

A planner that dies is started again and told every known object. Until it has planned anew, its
last answers stand as long as a blind source's would, and then KEDA gets errors; at no time does an
answer wait.
"""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import structlog
from prometheus_client import CollectorRegistry, generate_latest

from foresail.admission import board_of, tls_files
from foresail.clock import wall_clock
from foresail.link import Alive, Asked, Begin, Failed, Front, Link, Published, Started
from foresail.process import end_on_fault, spare_collector, stop_signalled
from foresail.settings import Settings
from scaler.errors import ForesailError
from scaler.metrics import ServiceMetrics
from scaler.server import ScalerServer
from scaler.service import ExternalScaler
from scaler.streams import StreamLives

log = structlog.get_logger()

_REPORT_SECONDS = 5.0
_REPORTS_A_ROLL_CALL = 6
_ROLL_SLICE = 20
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


async def serve(settings: Settings, *, log_level: str) -> None:
    """Serve until SIGTERM or SIGINT, then drain.

    Raises:
        ForesailError: a port is taken, or a file or source cannot be used.
    """
    stop = stop_signalled()
    async with running(settings, log_level=log_level) as ports:
        log.info("serving", grpc_port=ports.grpc, http_port=ports.http)
        if settings.tls is None:
            log.warning("plain_text", why="no tls in the settings: anyone on the network may ask")
        await stop.wait()
        log.info("draining")


@asynccontextmanager
async def running(settings: Settings, *, log_level: str = "warning") -> AsyncIterator[Ports]:
    """A scaler that answers and plans; drained at the end."""
    front = Answering(settings)
    planner = await Planner.start(settings, log_level)
    keeper = None
    try:
        port = await front.server.start(settings.listen.grpc, tls_files(settings))
        keeper = asyncio.create_task(front.keep(planner, log_level), name="planner")
        keeper.add_done_callback(end_on_fault)
        spare_collector()
        await front.server.serving(ready=True)
        front.accepting = True
        yield Ports(grpc=port, http=planner.http_port)
    finally:
        front.accepting = False
        await front.server.drain()
        if keeper is None:
            await planner.end()
        else:
            keeper.cancel()
            with suppress(asyncio.CancelledError):
                await keeper


class Answering:
    """The process that KEDA asks: a board, the server in front of it, and its planner's keeper."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        limits = settings.limits
        self.registry = CollectorRegistry()
        self.board = board_of(settings, objects_max=limits.objects_max)
        lives = StreamLives(per_peer_max=limits.streams_per_connection_max)
        service = ExternalScaler(
            self.board,
            ServiceMetrics(self.registry),
            lives,
            replicas_max=limits.replicas_max,
        )
        self.server = ScalerServer(service, lives)
        self.accepting = False

    async def keep(self, planner: "Planner", log_level: str) -> None:
        """Exchange messages with the planner; start it again whenever it ends."""
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            begun = loop.time()
            try:
                await self._exchange(planner.link)
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

    async def _exchange(self, link: Link) -> None:
        """Until the planner is gone, or so silent that it must be stuck."""
        async with asyncio.TaskGroup() as group:
            tasks = [
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

    async def _hear(self, link: Link) -> bool:
        """Take one message; False when the planner is gone.

        Raises:
            TimeoutError: it said nothing for too long, not even that it is alive.
        """
        async with asyncio.timeout(SILENT_SECONDS_MAX):
            message = await link.receive()
        if isinstance(message, Published):
            entry = self.board.known(message.reference)
            if entry is not None:
                entry.publish(message.outcome)
        return isinstance(message, Published | Alive)

    async def _tell_new(self, link: Link) -> None:
        link.send(Asked(tuple(entry.reference for entry in self.board)))
        while True:
            await self.board.arrived.wait()
            link.send(Asked(tuple(entry.reference for entry in self.board.take_arrivals())))

    async def _report(self, link: Link) -> None:
        """Pass on this process's own series, and who was asked about, for the second port."""
        reported = 0
        since = wall_clock()
        while True:
            link.send(Front(self.accepting, generate_latest(self.registry)))
            await asyncio.sleep(_REPORT_SECONDS)
            reported += 1
            if reported % _REPORTS_A_ROLL_CALL == 0:
                self.board.forget_superseded()
                since = await self._call_roll(link, since)

    async def _call_roll(self, link: Link, since: float) -> float:
        """Say who was asked about; in slices, because questions come in between."""
        until = wall_clock()
        entries = [entry for entry in self.board if entry.asked_at_seconds >= since]
        # In the order of the questions: of an edited object's triggers the last asked about is the
        # one that stands, over there too.
        entries.sort(key=lambda entry: entry.asked_at_seconds)
        asked = [entry.reference for entry in entries]
        for start in range(0, len(asked), _ROLL_SLICE):
            link.send(Asked(tuple(asked[start : start + _ROLL_SLICE])))
            await asyncio.sleep(0)
        return until


class Planner:
    """A planning process and the link to it."""

    def __init__(self, process: asyncio.subprocess.Process, link: Link, http_port: int) -> None:
        self.process = process
        self.link = link
        self.http_port = http_port

    @classmethod
    async def start(cls, settings: Settings, log_level: str) -> "Planner":
        """Start a planner and wait until it plans.

        Raises:
            ForesailError: it cannot run, with its own reason.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "foresail.planner", log_level, stdin=theirs.fileno()
            )
        link = await Link.over(ours)
        link.send(Begin(settings))
        try:
            async with asyncio.timeout(_START_SECONDS_MAX):
                answer = await link.receive()
        except TimeoutError:
            answer = Failed(f"it did not start within {_START_SECONDS_MAX:g} s")
        if isinstance(answer, Started):
            return cls(process, link, answer.http_port)
        await _ended(process, link)
        why = answer.message if isinstance(answer, Failed) else f"status {process.returncode}"
        message = f"the planning process cannot run: {why}"
        raise ForesailError(message)

    async def end(self) -> None:
        await _ended(self.process, self.link)


async def _ended(process: asyncio.subprocess.Process, link: Link) -> None:
    """Close the link, which is the planner's word to end; kill one that does not listen."""
    link.close()
    try:
        async with asyncio.timeout(_END_SECONDS_MAX):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
