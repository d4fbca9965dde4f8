"""The controller's port: health for the kubelet, metrics for Prometheus, the plan as JSON."""

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from foresail.controller.rounds import ClusterRound
from foresail.policy.advice import Advice
from foresail.policy.advice_table import cluster_payload
from foresail.ports.access import on_this_machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """The routes, over the running parts."""

    registry: CollectorRegistry
    last: Callable[[], ClusterRound | None]
    leading: Callable[[], bool]
    stuck: Callable[[], str | None]
    """Why rounds do not go on."""
    trouble: Callable[[], str | None]
    """Why there is nothing to decide on now."""

    def application(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [
                web.get("/healthz", self.healthz),
                web.get("/readyz", self.readyz),
                web.get("/metrics", self.metrics),
                web.get("/plan", on_this_machine(self.plan)),
            ]
        )
        return app

    async def healthz(self, _: web.Request) -> web.Response:
        """Whether rounds are tried, whatever they find."""
        why = self.stuck()
        return web.Response(text="ok\n") if why is None else web.Response(status=500, text=why)

    async def readyz(self, _: web.Request) -> web.Response:
        """Whether the cluster is read and policies are known; a replica that waits is ready."""
        why = self.trouble()
        if why is None and self.last() is None:
            why = "no round was made yet"
        return web.Response(text="ok\n") if why is None else web.Response(status=503, text=why)

    async def metrics(self, _: web.Request) -> web.Response:
        page = generate_latest(self.registry)
        return web.Response(body=page, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def plan(self, _: web.Request) -> web.Response:
        """The last round: each node with verdict, reason and steps."""
        last = self.last()
        if last is None:
            return web.json_response({"error": "no round was made yet"}, status=503)
        return web.json_response({"leading": self.leading(), **cluster_payload(shown(last))})


def shown(made: ClusterRound) -> Advice:
    """A round, as it is shown."""
    return Advice(
        cluster=made.cluster.name,
        at_seconds=made.at_seconds,
        recorded=False,
        round=made.decided,
        snapshot=made.snapshot,
        remarks=made.cluster.remarks,
    )
