"""The second port: health for the kubelet, metrics for Prometheus, explanations for people."""

from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from foresail import explain
from scaler.board import Board
from scaler.clock import Clock
from scaler.loop import ScalerLoop
from scaler.spelling import nearest


@dataclass(slots=True)
class FrontState:
    """What the process that answers KEDA last said of itself."""

    accepting: bool = False
    """Whether questions are answered: listening, and not draining."""
    metrics: bytes = b""
    """Its own series, as text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """The routes of the second port, over the running parts."""

    board: Board
    loop: ScalerLoop
    registry: CollectorRegistry
    clock: Clock
    front: FrontState

    def application(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [
                web.get("/healthz", self.healthz),
                web.get("/readyz", self.readyz),
                web.get("/metrics", self.metrics),
                web.get("/explain/{namespace}/{name}", self.explain),
            ]
        )
        return app

    async def healthz(self, _: web.Request) -> web.Response:
        late_seconds = self.loop.overdue_seconds()
        if late_seconds > 0:
            return web.Response(status=500, text=f"no cycle ended for {late_seconds:.0f} s\n")
        return web.Response(text="ok\n")

    async def readyz(self, _: web.Request) -> web.Response:
        # Readiness must not wait for a reading: KEDA asks only ready pods, and only its first
        # question says what to read.
        if self.front.accepting:
            return web.Response(text="ok\n")
        return web.Response(status=503, text="not answering KEDA: starting or draining\n")

    async def metrics(self, _: web.Request) -> web.Response:
        page = self.front.metrics + generate_latest(self.registry)
        return web.Response(body=page, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def explain(self, request: web.Request) -> web.Response:
        namespace, name = request.match_info["namespace"], request.match_info["name"]
        entries = self.board.find(namespace, name)
        if not entries:
            return self._never_asked(f"{namespace}/{name}")
        now = self.clock()
        told = [
            explain.account(entry, self.loop.watched.get(entry.reference), now_seconds=now)
            for entry in entries
        ]
        if "json" in request.headers.get("Accept", "") or request.query.get("format") == "json":
            return web.json_response(told)
        return web.Response(text="\n".join(explain.text(one) for one in told))

    def _never_asked(self, name: str) -> web.Response:
        known = [str(entry.reference) for entry in self.board]
        near = nearest(name, known)
        if near:
            hint = f"did you mean {near}?"
        elif known:
            hint = f"it asked about {len(known)} others; does yours have this server's address?"
        else:
            hint = "it asked about nothing yet; do your ScaledObjects have this server's address?"
        text = f"KEDA never asked about {name} since this server began; {hint}\n"
        return web.Response(status=404, text=text)
