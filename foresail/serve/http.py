"""The second port: health for the kubelet, metrics for Prometheus, explanations for people.

Health and metrics are open. Explanations show the traffic of one tenant, so they are given on
loopback, where `kubectl port-forward` arrives, or to a client with the operator's token or with one
that the API server admits.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from foresail.clock import wall_clock
from foresail.explain import workload_text
from foresail.explain.asked_time import moment_of
from foresail.explain.decision_keeper import DecisionKeeper, DecisionsUnreadableError
from foresail.explain.decision_log import KeptOfWorkload
from foresail.explain.workload import Account, account, format_time, in_force_at
from foresail.ports.access import allowed, bearer_token
from foresail.ports.open_connections import Handler, held_back
from foresail.ports.packed_text import PackedText
from foresail.ports.request_pace import DEBT_SECONDS_MAX, RequestPace
from foresail.serve.exported import WorkloadCollector, WorkloadSnapshot
from scaler.clock import Clock
from scaler.errors import ForesailError
from scaler.limits import Limit, exceeded
from scaler.message_text import limited
from scaler.serving.cycle import PlanningCycle
from scaler.spelling import nearest

METRICS_SECONDS: Final = 5.0
"""How old a page of metrics may be at most: below every scrape interval, and a second scraper costs
no second page."""
_LOOKS: Final = 3
"""Pages of metrics between two looks: where looks are faster than usual, so are the pages."""
_SHARE_MAX: Final = 0.25
"""Of the time, that pages of metrics may be made in."""
_NAMES_COMPARED_MAX: Final = 100
_HEALTH: Final = frozenset({"/healthz", "/readyz"})
"""Paths that are answered whatever the pace: the kubelet ends a pod whose probes fail."""
_REQUEST_BYTES: Final = 2**18
"""So many bytes of an answer count as a request: they cost the loop as much."""
ReviewToken = Callable[[str, str, str | None], Awaitable[bool | None]]
"""Token, path and the client's address to whether it may read; None where that is not known."""


@dataclass(slots=True)
class FrontState:
    """The last report of the process that answers KEDA."""

    accepting: bool = False
    """Whether questions are answered: listening, and not draining."""
    metrics: bytes = b""
    """Its own series, as text."""
    limits: Mapping[Limit, int] = field(default_factory=dict)
    """How often each limit was exceeded in it."""


@dataclass(slots=True)
class MetricsPage:
    """The page of metrics, made in a thread and kept for a while."""

    text: PackedText = field(default_factory=PackedText)
    fresh_until_seconds: float = float("-inf")
    until_seconds: float = float("-inf")
    """Later than that, where pages take more than their part of the time."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def current(
        self, begin: Callable[[], Callable[[], PackedText]], clock: Clock, kept_seconds: float
    ) -> PackedText:
        """The page; where a new one is due, `begin` returns what makes it in a thread."""
        async with self.lock:
            begun = clock()
            if begun >= self.until_seconds:
                self.text = await asyncio.to_thread(begin())
                took = clock() - begun
                self.fresh_until_seconds = begun + kept_seconds
                self.until_seconds = begun + max(kept_seconds, took / _SHARE_MAX)
            elif begun >= self.fresh_until_seconds:  # before it, a second Prometheus is usual
                exceeded(Limit.METRICS_PAGE)
            return self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """The routes of the second port, over the running parts."""

    loop: PlanningCycle
    registry: CollectorRegistry
    workloads: WorkloadCollector
    clock: Clock
    """The monotonic one."""
    front: FrontState
    period_seconds: float
    """Between two looks."""
    token_file: Path | None = None
    """Of the token for explanations; None = on loopback alone."""
    wall: Clock = wall_clock
    decisions: DecisionKeeper | None = None
    """What is kept of the past; None = nothing."""
    review: ReviewToken | None = None
    """Asks the API server about other tokens; None = they are refused."""
    pace: RequestPace = field(default_factory=RequestPace)
    """Of requests about anything but health."""
    health_pace: RequestPace = field(default_factory=RequestPace)
    _metrics_page: MetricsPage = field(default_factory=MetricsPage)

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self.paced])
        app.add_routes(
            [
                web.get("/healthz", self.healthz),
                web.get("/readyz", self.readyz),
                web.get("/metrics", self.metrics),
                web.get("/explain/{namespace}/{name}", self.explain),
            ]
        )
        return app

    @web.middleware
    async def paced(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The handler's answer, or 429 a second after a request beyond its address's pace.

        A page of metrics counts by the size of the last one when its request is let in, so that a
        hundred requests at once are not let in before the first has cost anything. Health is never
        refused: beyond its own pace it is told half a second late, so that the connections that
        the port has cannot ask as fast as the loop answers.
        """
        address = request.remote or "unknown"
        if request.path in _HEALTH:
            with held_back(request):
                await self.health_pace.slow_down(address)
            return await handler(request)
        text = self._metrics_page.text
        counted = text.bytes_for(request) if request.path == "/metrics" else 0
        with held_back(request):
            admitted = await self.pace.admit(address, 1 + counted / _REQUEST_BYTES)
        if not admitted:
            return _beyond_pace()
        response = await handler(request)
        if response.content_length is not None:
            more = max(0, response.content_length - counted)
            self.pace.charge(address, more / _REQUEST_BYTES)
        return response

    async def healthz(self, _: web.Request) -> web.Response:
        """Whether the event loop runs, independent of sources and feeds."""
        late_seconds = self.loop.overdue_seconds()
        if late_seconds > 0:
            return web.Response(status=500, text=f"no look was begun for {late_seconds:.0f} s\n")
        return web.Response(text="ok\n")

    async def readyz(self, _: web.Request) -> web.Response:
        """Whether KEDA is answered, with current outcomes.

        An error that gives the reason is current. A server without objects is ready: KEDA asks only
        ready pods, and its first call names the object to read.
        """
        if not self.front.accepting:
            return web.Response(status=503, text="not answering KEDA: starting or draining\n")
        if not self.loop.is_current(self.clock()):
            count = len(self.loop.statuses())
            text = f"nothing newer than its age limit for any of {count} objects\n"
            return web.Response(status=503, text=text)
        return web.Response(text="ok\n")

    async def metrics(self, request: web.Request) -> web.Response:
        def begin() -> Callable[[], PackedText]:
            workloads = self.workloads.snapshot()
            return lambda: self._page_of(workloads)

        kept_seconds = min(METRICS_SECONDS, self.period_seconds / _LOOKS)
        text = await self._metrics_page.current(begin, self.clock, kept_seconds)
        return text.answer(request, CONTENT_TYPE_LATEST)

    def _page_of(self, workloads: WorkloadSnapshot) -> PackedText:
        own = (self.front.metrics, generate_latest(self.registry))
        return PackedText(chain(own, workloads.text()))

    async def explain(self, request: web.Request) -> web.Response:
        namespace, name = request.match_info["namespace"], request.match_info["name"]
        authorization = request.headers.get("Authorization", "")
        host = request.headers.get("Host", "")
        if not await allowed(request.remote, host, authorization, self.token_file):
            reviewed = await self._reviewed(request, f"/explain/{namespace}/{name}")
            if reviewed is not True:
                return self._refused(is_unknown=reviewed is None)
        if "at" in request.query:
            return await self._explain_at(request, namespace, name, request.query["at"])
        found = self.loop.statuses_of(namespace, name)
        if not found:
            return _never_asked(namespace, name, self.loop.names_in(namespace))
        return _shown(request, [account(status, now_seconds=self.clock()) for status in found])

    async def _explain_at(
        self, request: web.Request, namespace: str, name: str, at: str
    ) -> web.Response:
        """The decisions in force at a moment, in the words of then."""
        if self.decisions is None:
            text = (
                "no decisions are kept: the settings have no state.directory, or decisions: null\n"
            )
            return web.Response(status=404, text=text)
        try:
            moment = moment_of(limited(at), now_seconds=self.wall())
        except ForesailError as error:
            return web.Response(status=400, text=f"{error}\n")
        try:
            found = await self.decisions.at(namespace, name, moment)
        except DecisionsUnreadableError as error:
            return web.Response(status=503, text=f"{error}\n")
        accounts = [
            in_force_at(one.account, moment, one)
            for one in found.decisions
            if one.account is not None
        ]
        if not accounts:
            return web.Response(status=404, text=_nothing_kept(namespace, name, moment, found))
        return _shown(request, accounts)

    async def _reviewed(self, request: web.Request, path: str) -> bool | None:
        """Whether the API server admits the token to this path; None while it does not say."""
        token = bearer_token(request.headers.get("Authorization", ""))
        if self.review is None or token is None:
            return False
        return await self.review(token, path, request.remote)

    def _refused(self, *, is_unknown: bool) -> web.Response:
        if is_unknown:
            text = "the API server does not say whether your token may read this; ask again later\n"
            return web.Response(status=503, text=text)
        ways = "at 127.0.0.1 or localhost through kubectl port-forward"
        if self.token_file is not None:
            ways += ", or with the token of listen.tokenFile (Authorization: Bearer)"
        if self.review is not None:
            ways += ", or with a token of the cluster whose user may get this path"
        text = f"explanations show a tenant's traffic: ask {ways}\n"
        return web.Response(status=403, text=text)


def _beyond_pace() -> web.Response:
    """Closes its connection, so that what the client sent behind its request is not answered."""
    headers = {"Retry-After": f"{DEBT_SECONDS_MAX:.0f}"}
    response = web.Response(status=429, headers=headers, text="your address asks too often\n")
    response.force_close()
    return response


def _shown(request: web.Request, accounts: list[Account]) -> web.Response:
    if "json" in request.headers.get("Accept", "") or request.query.get("format") == "json":
        return web.json_response(accounts)
    return web.Response(text="\n".join(workload_text.text(one) for one in accounts))


def _nothing_kept(namespace: str, name: str, moment: float, found: KeptOfWorkload) -> str:
    workload = f"{namespace}/{name}"
    if found.first_seconds is None:
        text = f"no decision of {workload} is kept"
    elif not found.decisions:
        text = f"no decision of {workload} is kept before {format_time(found.first_seconds)}"
    else:
        forgotten = format_time(found.decisions[0].at_seconds)
        text = f"{workload} was not known at {format_time(moment)}: it was forgotten at {forgotten}"
    return limited(text) + "\n"


def _never_asked(namespace: str, name: str, names: list[str]) -> web.Response:
    """The answer about an unknown object; it names no object of another namespace."""
    if len(names) > _NAMES_COMPARED_MAX:
        exceeded(Limit.NAMES_COMPARED)
    near = nearest(name, names[:_NAMES_COMPARED_MAX])
    if near:
        hint = f"did you mean {namespace}/{near}?"
    elif names:
        hint = (
            f"other workloads of this namespace are known ({len(names)}); does your ScaledObject "
            "have this server's address?"
        )
    else:
        hint = (
            "it asked about nothing in this namespace; do your ScaledObjects have this server's "
            "address?"
        )
    known = f"KEDA never asked about {namespace}/{name} since this server began"
    return web.Response(status=404, text=limited(f"{known}; {hint}") + "\n")
