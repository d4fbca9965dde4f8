"""The external metrics API of the answering process: replicas for an HPA without KEDA.

The API server authenticates and authorizes the HPA, then passes its question on with the front
proxy's certificate. Only that certificate is admitted, so whoever asks here was allowed to. Every
answer comes from the board, as KEDA's do. Without an answer the HPA gets an error and changes
nothing; it never gets a 0 that was not planned.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Final

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from foresail.ports.sites import Sites, certificates
from foresail.serve import external_metrics_objects as objects
from foresail.settings.external_metrics import ExternalMetricsSettings
from foresail.settings.watch import WatchSettings
from scaler.decision.answers import Answer, Reference, Refusal
from scaler.errors import ForesailError
from scaler.limits import Limit, exceeded
from scaler.message_text import is_cut, limited
from scaler.serving.board import Board, BoardFullError
from scaler.serving.metrics import ServiceMetrics
from scaler.serving.service import METRIC_NAME
from scaler.spelling import nearest

log = structlog.get_logger()

_METHOD: Final = "ExternalMetrics"
_CODES: Final = {
    200: "OK",
    400: "INVALID_ARGUMENT",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    503: "UNAVAILABLE",
}
"""The gRPC status that KEDA would get, so that one series counts both."""
_VERSION_PATH: Final = f"/apis/{objects.GROUP}/{objects.VERSION}"

Names = Callable[[web.Request], frozenset[str]]
"""The common names in a caller's verified certificate."""


def common_names(request: web.Request) -> frozenset[str]:
    """Names of the subject alone: the API server too goes by no other for a front proxy."""
    certificate = request.get_extra_info("peercert") or {}
    subject = [pair for group in certificate.get("subject", ()) for pair in group]
    return frozenset(name for key, name in subject if key == "commonName")


class _FaultError(Exception):
    """A question without an answer."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class ExternalMetrics:
    """Answers the aggregator about the models of the watch list."""

    def __init__(
        self,
        board: Board,
        watched: Iterable[WatchSettings],
        metrics: ServiceMetrics,
        *,
        replicas_max: int,
        proxy_names: frozenset[str],
        names_of: Names = common_names,
    ) -> None:
        """Answer from this board.

        Args:
            watched: the watch list; those in mode advise get no answer.
            proxy_names: of which the caller's certificate must carry one.
        """
        self._board = board
        self._metrics = metrics
        self._replicas_max = replicas_max
        self._proxy_names = proxy_names
        self._names_of = names_of
        self._answered: dict[str, dict[str, Reference]] = {}
        self._advised: set[tuple[str, str]] = set()
        for one in watched:
            if one.is_answered:
                self._answered.setdefault(one.namespace, {})[one.name] = one.reference
            else:
                self._advised.add((one.namespace, one.name))

    def keep_known(self) -> None:
        """Ask the board about every model, which is planned for whether or not an HPA asks."""
        for references in self._answered.values():
            for reference in references.values():
                try:
                    self._board.ask(reference)
                except BoardFullError as error:
                    log.warning("watched_model_not_known", model=str(reference), why=str(error))

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self._guarded])
        app.add_routes(
            [
                web.get("/apis", self._groups),
                web.get(f"/apis/{objects.GROUP}", self._group),
                web.get(_VERSION_PATH, self._resources),
                web.get(_VERSION_PATH + "/namespaces/{namespace}/{metric}", self._values),
            ]
        )
        return app

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse all but the front proxy, and say every fault as a Status."""
        try:
            self._check_proxy(request)
            return await handler(request)
        except _FaultError as error:
            return _fault(error.code, str(error))
        except (web.HTTPNotFound, web.HTTPMethodNotAllowed) as error:
            return _fault(
                error.status, f"{request.method} {request.path}: {objects.GROUP} has nothing here"
            )

    def _check_proxy(self, request: web.Request) -> None:
        names = self._names_of(request)
        if self._proxy_names.isdisjoint(names):
            shown = ", ".join(sorted(names)) or "none"
            raise _FaultError(
                403,
                "externalMetrics.frontProxyNames lists none of the names in your certificate: "
                + shown,
            )

    async def _groups(self, _: web.Request) -> web.Response:
        return web.json_response(objects.groups())

    async def _group(self, _: web.Request) -> web.Response:
        return web.json_response(objects.group())

    async def _resources(self, _: web.Request) -> web.Response:
        return web.json_response(objects.resources(METRIC_NAME))

    async def _values(self, request: web.Request) -> web.Response:
        started, code = perf_counter(), 200
        try:
            return web.json_response(self._answer(request))
        except _FaultError as error:
            code = error.code
            raise
        finally:
            seconds = perf_counter() - started
            self._metrics.rpc_seconds.labels(_METHOD, _CODES[code]).observe(seconds)

    def _answer(self, request: web.Request) -> objects.Json:
        metric = request.match_info["metric"]
        if metric != METRIC_NAME:
            raise _FaultError(404, f"no metric {metric[:120]!r}; the only one is {METRIC_NAME!r}")
        try:
            name = objects.workload_of(request.query.get("labelSelector", ""))
        except objects.SelectorError as error:
            raise _FaultError(400, str(error)) from error
        reference = self._reference(request.match_info["namespace"], name)
        try:
            reply = self._board.ask(reference).current()
        except BoardFullError as error:
            raise _FaultError(503, str(error)) from error
        match reply:
            case Answer():
                made_at, replicas = reply.made_at_seconds, self._replicas(reply)
                return objects.values(METRIC_NAME, name, replicas, made_at_seconds=made_at)
            case Refusal(code=code, message=message):
                self._metrics.refusals.labels(code).inc()
                raise _FaultError(503, f"{reference}: {message}; the HPA changes no replica")
            case _:
                raise _FaultError(503, f"{reference} is in mode advise")

    def _reference(self, namespace: str, name: str) -> Reference:
        known = self._answered.get(namespace, {})
        if name in known:
            return known[name]
        asked = f"{namespace}/{name}"[:300]
        if (namespace, name) in self._advised:
            raise _FaultError(
                503,
                f"{asked} is in mode advise, in which an HPA gets no replicas: give its entry of "
                "the watch list mode: act",
            )
        near = nearest(name, known)
        hint = (
            f"did you mean {near!r}?"
            if near
            else f"it has {len(known)} models of this namespace in mode reactive or act"
        )
        raise _FaultError(404, f"the settings' watch list has no {asked!r}; {hint}")

    def _replicas(self, answer: Answer) -> int:
        """Within the operator's limit; at least 1 while there is work, as KEDA keeps it."""
        replicas = max(answer.replicas, int(answer.active))
        if replicas > self._replicas_max:
            self._metrics.clamps.inc()
        return min(replicas, self._replicas_max)


def _fault(code: int, message: str) -> web.Response:
    text = limited(message)
    if is_cut(text, message):
        exceeded(Limit.MESSAGE)
    return web.json_response(objects.status(code, text), status=code)


@asynccontextmanager
async def external_metrics_served(
    settings: ExternalMetricsSettings, service: ExternalMetrics
) -> AsyncIterator[int]:
    """A listening server's port.

    Raises:
        ForesailError: the port is taken, or a TLS file cannot be read.
    """
    try:
        tls = await asyncio.to_thread(
            certificates, settings.certificate, settings.key, settings.front_proxy_ca
        )
        async with Sites() as sites:
            yield await sites.add(service.application(), settings.listen, tls)
    except ForesailError as error:
        raise ForesailError(f"externalMetrics: {error}") from error
