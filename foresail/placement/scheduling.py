"""`foresail scheduler`: the extender over loopback, fed by the API server, with health and metrics.

Two addresses: kube-scheduler asks over plain loopback, the kubelet and Prometheus on a second port.
Pods that ask for it get Events; nothing else is written.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

import structlog
from aiohttp import ClientSession, web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from fleet.cluster.follow.watch import Changed, Event, Gone, Listed, Unavailable, watched
from fleet.cluster.kinds import SOURCES, Kind, Record, record_of
from foresail.api.client import client_of
from foresail.clock import steady_clock, wall_clock
from foresail.explain.pod import explained
from foresail.placement.event_queue import Post, post_to
from foresail.placement.placement_events import PlacementEvents
from foresail.placement.scheduling_metrics import PlacementCollector
from foresail.ports.access import on_this_machine
from foresail.ports.limits_seen import LimitCollector
from foresail.ports.process import collect_seldom, end_on_fault, spare_collector, stop_signalled
from foresail.ports.sites import Sites
from foresail.prices import price_list
from scaler.errors import ForesailError
from scheduler.extender import Extender, ExtenderMetrics
from scheduler.gains import ROWS_IN_A_HURRY
from scheduler.history import History
from scheduler.intake import KINDS, Intake
from scheduler.launcher_client import PORT as LAUNCHER_PORT
from scheduler.launcher_client import LauncherClient
from scheduler.machines import Facts
from scheduler.mix import Mix
from scheduler.mix_file import MixFileError, mix_of
from scheduler.placement_state import PlacementState
from scheduler.view import views_of

log = structlog.get_logger()

OPTIONAL: Final = frozenset({Kind.POD_GROUP, Kind.POD_GROUP_PLUGIN, Kind.TAINT_RULE})
"""Kinds whose refusal makes no veto wrong: kube-scheduler knows groups itself, and no claim is
predicted while there may be taint rules that are not known."""
_SLICE: Final = 32
"""Objects of a list taken before an answer may come in between."""
_WARM_NODES: Final = 64
_WARM_PAUSE_SECONDS: Final = 0.02
_LULL_SECONDS: Final = 0.01
_LULL_WAIT_SECONDS: Final = 0.5
_EXPECT_SECONDS: Final = 600.0

Watch: TypeAlias = Callable[[Kind], AsyncGenerator[Event, None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerOptions:
    """As the command line has them."""

    listen: str = "127.0.0.1:8888"
    """Where kube-scheduler asks."""
    http: str = "0.0.0.0:8080"
    """Health and metrics."""
    kubeconfig: Path | None = None
    """None = the pod's own service account."""
    context: str | None = None
    mix: Path | None = None
    """None = the pods that came are what is expected."""
    prices: Path | None = None
    """The operator's price list; None = clouds' lists alone."""


async def schedule(options: SchedulerOptions) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        ForesailError: a port is taken, or a file cannot be used.
    """
    stop = stop_signalled()
    async with client_of(options.context, options.kubeconfig) as client:

        def follow(kind: Kind) -> AsyncGenerator[Event, None]:
            return watched(client, SOURCES[kind].paths, partial(record_of, kind))

        async with running(options, follow, post_to(client)) as ports:
            log.info("serving", extender=ports.extender, http=ports.http)
            await stop.wait()
            log.info("stopping")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where a running extender listens."""

    extender: int
    http: int


@asynccontextmanager
async def running(
    options: SchedulerOptions,
    follow: Watch,
    post_event: Post | None = None,
    launcher_port: int = LAUNCHER_PORT,
) -> AsyncIterator[Ports]:
    """An extender that answers and is fed; stopped at the end.

    Args:
        options: where to listen.
        follow: the cluster's objects.
        post_event: for pods that ask for an Event; None = none is posted.
        launcher_port: of the launchers of Fast Model Actuation.
    """
    facts = Facts(prices=price_list(options.prices))
    feed = Feed(follow, mix_from(options.mix), facts, post_event)
    feed.launcher_port = launcher_port
    async with Sites() as sites:
        ports = Ports(
            extender=await sites.add(
                feed.extender.application(), options.listen, takes_bodies=True
            ),
            http=await sites.add(feed.pages(), options.http),
        )
        tasks = [asyncio.create_task(one, name=name) for name, one in feed.tasks()]
        for task in tasks:
            task.add_done_callback(end_on_fault)
        try:
            yield ports
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


class Feed:
    """Follows the API server and keeps a placement state in step with it."""

    def __init__(
        self, follow: Watch, mix: Mix | None, facts: Facts, post_event: Post | None = None
    ) -> None:
        self.history = History()
        self._given = mix
        first = mix or self.history.mix(wall_clock())
        placement = PlacementState((), first, rows_at_once=ROWS_IN_A_HURRY)
        self.intake = Intake(placement, self.history, facts)
        self.registry = CollectorRegistry()
        self.extender = Extender(
            placement=None,
            clock=steady_clock,
            known=self.intake.known,
            metrics=ExtenderMetrics(self.registry),
        )
        self.launcher_port = LAUNCHER_PORT
        self._events = PlacementEvents(post_event, self.registry) if post_event else None
        if self._events is not None:
            self.extender.tell = self._events.take
        self.troubles: dict[Kind, str] = {}
        """Why a kind cannot be read now."""
        self._follow = follow
        self._pending = set(KINDS)
        self._complete = asyncio.Event()
        self._changes = asyncio.Event()
        self._launched = asyncio.Event()
        """A launcher was seen."""
        self.registry.register(LimitCollector())
        self.registry.register(PlacementCollector(self.intake, self.troubles))

    def tasks(self) -> Sequence[tuple[str, Coroutine[None, None, None]]]:
        """What keeps the answers current; each runs until it is cancelled."""
        following = [(f"watch {kind}", self._watch(kind)) for kind in KINDS]
        rest = [
            ("warm", self._warm()),
            ("expect", self._expect()),
            ("launchers", self._ask_launchers()),
            ("collect-seldom", self._collect_seldom()),
        ]
        if self._events is not None:
            rest.append(("events", self._events.run()))
        return [*following, *rest]

    def pages(self) -> web.Application:
        """Health, readiness and metrics."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/healthz", self.extender.healthz),
                web.get("/readyz", self.extender.readyz),
                web.get("/metrics", self._metrics),
                web.get("/explain/pods/{namespace}/{name}", on_this_machine(self._explain)),
                web.get("/gpus", on_this_machine(self._gpus)),
            ]
        )
        return app

    async def _metrics(self, _: web.Request) -> web.Response:
        page = generate_latest(self.registry)
        return web.Response(body=page, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _explain(self, request: web.Request) -> web.Response:
        return explained(request, self.intake.placement.answers, now_seconds=steady_clock())

    async def _gpus(self, _: web.Request) -> web.Response:
        """The GPUs of every node as answers take them to be."""
        found = []
        for at, view in enumerate(views_of(self.intake)):
            found.append(asdict(view))
            if at % _SLICE == 0:
                await asyncio.sleep(0)  # an answer comes in between
        return web.json_response({"nodes": found})

    async def _watch(self, kind: Kind) -> None:
        async with aclosing(self._follow(kind)) as events:
            async for event in events:
                await self._take(kind, event)
                self._changes.set()
                if not self._launched.is_set() and self.intake.placement.launchers.nodes:
                    self._launched.set()
                while self.intake.faults:
                    log.warning("object_not_usable", why=self.intake.faults.popleft())

    async def _take(self, kind: Kind, event: Event) -> None:
        match event:
            case Listed(records):
                await self._take_list(kind, records)
                log.info("listed", kind=kind, objects=len(records))
            case Changed(record):
                self.intake.changed(kind, record, wall_clock())
                await _in_steps(self.intake.settle())
            case Gone(identity):
                self.intake.gone(kind, identity.name, identity.uid)
                await _in_steps(self.intake.settle())
            case Unavailable(_, absent=True):
                # The cluster has none: known, and nothing to wait for.
                await self._take_list(kind, ())
            case Unavailable(reason):
                log.warning("unavailable", kind=kind, why=reason)
                self.intake.unavailable(kind)
                await _in_steps(self.intake.settle())
                self._settled(kind, None if kind in OPTIONAL else reason)

    async def _take_list(self, kind: Kind, records: tuple[Record, ...]) -> None:
        await _in_steps(self.intake.listed(kind, records, wall_clock()))
        self._settled(kind, None)

    def _settled(self, kind: Kind, trouble: str | None) -> None:
        """A kind was read whole, or cannot be; with the first sight of all, answers begin."""
        if trouble is None:
            self.troubles.pop(kind, None)
            self._pending.discard(kind)
        else:
            self.troubles[kind] = trouble
        reasons = [f"what is known of {one} is old: {why}" for one, why in self.troubles.items()]
        self.extender.stale = "; ".join(reasons) or None
        if not self._pending and self.extender.placement is None:
            self.intake.read_turnover(wall_clock())
            self.extender.placement = self.intake.placement
            if self._given is None:
                self.intake.placement.expect(self.history.mix(wall_clock()))
            self._complete.set()
            log.info("ready", nodes=len(self.intake.placement.occupancy.row))

    async def _ask_launchers(self) -> None:
        """From the first launcher on, ask all of them which engines sleep in them."""
        await self._launched.wait()
        state = self.intake.placement.launchers
        async with ClientSession() as session:
            await LauncherClient(session=session, port=self.launcher_port).follow(state)

    async def _warm(self) -> None:
        """Work out ahead what will be asked for, a little at a time."""
        while True:
            await self._lull()
            if not self.intake.placement.warm(nodes_max=_WARM_NODES):
                await self._changes.wait()
                self._changes.clear()
            self.intake.placement.occupancy.expire(steady_clock())
            await asyncio.sleep(_WARM_PAUSE_SECONDS)

    async def _lull(self) -> None:
        """Until nobody has asked for a moment, or this has been put off for long enough."""
        limit = steady_clock() + _LULL_WAIT_SECONDS
        while steady_clock() < limit:
            left = self.extender.answered_at + _LULL_SECONDS - steady_clock()
            if left <= 0:
                return
            await asyncio.sleep(left)

    async def _collect_seldom(self) -> None:
        await self._complete.wait()
        spare_collector()
        await collect_seldom()

    async def _expect(self) -> None:
        """What came of late is what is expected, unless the operator said."""
        while self._given is None:
            await asyncio.sleep(_EXPECT_SECONDS)
            self.intake.placement.expect(self.history.mix(wall_clock()))
            self._changes.set()


async def _in_steps(work: Iterator[None]) -> None:
    for at, _ in enumerate(work, start=1):
        if at % _SLICE == 0:
            await asyncio.sleep(0)  # an answer comes in between


def mix_from(path: Path | None) -> Mix | None:
    """The mix of an operator's file.

    Raises:
        ForesailError: it cannot be read, or says what makes no sense.
    """
    if path is None:
        return None
    try:
        return mix_of(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ForesailError(f"{path}: {error.strerror}") from error
    except (MixFileError, UnicodeDecodeError) as error:
        faults = "\n".join(f"{path}: {line}" for line in str(error).splitlines())
        raise ForesailError(faults) from error
