"""The second port: health for the kubelet, metrics for Prometheus, explanations for people."""

from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from foresail import explain
from scaler.clock import Clock
from scaler.serving.cycle import PlanningCycle
from scaler.serving.feeds import WorkloadStatus
from scaler.spelling import nearest


@dataclass(slots=True)
class FrontState:
    """The last report of the process that answers KEDA."""

    accepting: bool = False
    """Whether questions are answered: listening, and not draining."""
    metrics: bytes = b""
    """Its own series, as text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """The routes of the second port, over the running parts."""

    loop: PlanningCycle
    registry: CollectorRegistry
    clock: Clock
    """The monotonic one."""
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
        now = self.clock()
        known = self.loop.statuses()
        old = [status for status in known if now > status.cycle_state.timed.valid_until_seconds]
        if known and len(old) == len(known):
            text = f"nothing newer than its age limit for any of {len(known)} objects\n"
            return web.Response(status=503, text=text)
        return web.Response(text="ok\n")

    async def metrics(self, _: web.Request) -> web.Response:
        page = self.front.metrics + generate_latest(self.registry)
        return web.Response(body=page, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def explain(self, request: web.Request) -> web.Response:
        namespace, name = request.match_info["namespace"], request.match_info["name"]
        known = self.loop.statuses()
        found = [s for s in known if (s.reference.namespace, s.reference.name) == (namespace, name)]
        if not found:
            return _never_asked(f"{namespace}/{name}", known)
        accounts = [explain.account(status, now_seconds=self.clock()) for status in found]
        if "json" in request.headers.get("Accept", "") or request.query.get("format") == "json":
            return web.json_response(accounts)
        return web.Response(text="\n".join(explain.text(one) for one in accounts))


def _never_asked(name: str, known: Sequence[WorkloadStatus]) -> web.Response:
    near = nearest(name, [str(status.reference) for status in known])
    asked_about = sum(not status.on_watch_list for status in known)
    if near:
        hint = f"did you mean {near}?"
    elif asked_about:
        hint = f"it asked about {asked_about} others; does yours have this server's address?"
    else:
        hint = "it asked about nothing yet; do your ScaledObjects have this server's address?"
    text = f"KEDA never asked about {name} since this server began; {hint}\n"
    return web.Response(status=404, text=text)
