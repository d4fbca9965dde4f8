"""The extender's HTTP edge: kube-scheduler asks, the desk answers, nothing waits.

A request that cannot be read gets an error that says why: in the answer's `Error` for filter, and
as status 400 for prioritize, whose answer has no such field. Both leave the cluster as it would be
without us when the extender is `ignorable`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from scheduler.desk import Desk
from scheduler.extender_wire import (
    Arguments,
    UnreadableRequestError,
    arguments_of,
    filter_answer,
    filter_error,
    prioritise_answer,
)
from scheduler.pods import Claims, Pod, UnreadablePodError, pod_of

BODY_BYTES_MAX = 256 * 2**20
"""5,000 whole nodes are 90 MB; who sends names stays under one."""

Clock = Callable[[], float]


@dataclass(slots=True, kw_only=True)
class Extender:
    """The two verbs over the desk of the day."""

    desk: Desk | None
    """None until the first snapshot is read."""
    clock: Clock
    """Any clock that never goes back, in seconds."""
    claims: Claims

    def application(self) -> web.Application:
        app = web.Application(client_max_size=BODY_BYTES_MAX)
        app.add_routes(
            [
                web.post("/filter", self.filter),
                web.post("/prioritize", self.prioritize),
                web.get("/healthz", self.healthz),
                web.get("/readyz", self.readyz),
            ]
        )
        return app

    async def filter(self, request: web.Request) -> web.Response:
        try:
            desk, asked, pod = await self._read(request)
        except (UnreadableRequestError, UnreadablePodError) as error:
            return _json(filter_error(f"foresail: {error}"))
        result = desk.filter(pod, asked.names, now_seconds=self.clock())
        return _json(filter_answer(asked, result))

    async def prioritize(self, request: web.Request) -> web.Response:
        try:
            desk, asked, pod = await self._read(request)
        except (UnreadableRequestError, UnreadablePodError) as error:
            return web.Response(status=400, text=f"foresail: {error}\n")
        scores = desk.prioritise(pod, asked.names, now_seconds=self.clock())
        return _json(prioritise_answer(asked.names, scores))

    async def healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(self, _: web.Request) -> web.Response:
        if self.desk is None:
            return web.Response(status=503, text="no snapshot of the cluster yet\n")
        return web.Response(text="ok\n")

    async def _read(self, request: web.Request) -> tuple[Desk, Arguments, Pod]:
        asked = arguments_of(await request.read())
        if self.desk is None:
            raise UnreadableRequestError("no snapshot of the cluster yet")
        return self.desk, asked, pod_of(asked.pod, self.claims)


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")
