"""The extender's HTTP edge: kube-scheduler asks, the placement state answers.

Nothing waits, but for a claim that kube-scheduler has seen and we have not, and then a moment only.

A request that cannot be read gets an error that says why: in the answer's `Error` for filter, and
as status 400 for prioritize, whose answer has no such field. Knowing too little is no error: before
the first snapshot, and while what is known is old, every node passes, and the header
`Foresail-Reason` says why. kube-scheduler then goes by its own rules. A pod whose annotations make
no sense is kept from every node, whatever is known.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Histogram

from fleet.cluster import pods as records
from scheduler.extender_wire import (
    Arguments,
    UnreadableRequestError,
    arguments_of,
    filter_answer,
    filter_error,
    prioritise_answer,
)
from scheduler.fit import Filtered, without_sense
from scheduler.placement_state import PlacementState
from scheduler.plain_body import plain_body
from scheduler.pods import NOTHING_KNOWN, Known, Pod, UnreadablePodError, placed, read
from scheduler.score.answers import PlacementAnswer, wants_event

BODY_BYTES_MAX: Final = 256 * 2**20
"""5,000 whole nodes are 90 MB; their names alone are less than one."""
REASON: Final = "Foresail-Reason"
NO_SNAPSHOT: Final = "no snapshot of the cluster yet"
CLAIM_TRIES: Final = 20
CLAIM_PAUSE_SECONDS: Final = 0.005
"""A tenth of a second in all, and of the `httpTimeout`; longer, and the pod is placed unordered."""
_BUCKETS: Final = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0)

Clock = Callable[[], float]


class ExtenderMetrics:
    """Series of what was asked and answered."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.seconds = Histogram(
            "foresail_extender_request_duration_seconds",
            "Time to answer kube-scheduler once its request is read, by verb.",
            ["verb"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self.refused_requests = Counter(
            "foresail_extender_refused_requests",
            "Requests that could not be read, by verb.",
            ["verb"],
            registry=registry,
        )
        self.refused_nodes = Counter(
            "foresail_extender_refused_nodes",
            "Nodes that the filter refused, by kind: full for now, or never able to take the pod.",
            ["kind"],
            registry=registry,
        )
        self.blind = Counter(
            "foresail_extender_blind_answers",
            "Answers that let every node pass because too little was known.",
            registry=registry,
        )


@dataclass(slots=True, kw_only=True)
class Extender:
    """The two verbs over the placement state."""

    placement: PlacementState | None
    """None until the first snapshot is read."""
    clock: Clock
    """Any clock that never goes back, in seconds."""
    known: Known = NOTHING_KNOWN
    stale: str | None = None
    """Why what is known is old; None = it is not."""
    metrics: ExtenderMetrics | None = None
    answered_at: float = 0.0
    """By the clock."""
    tell: Callable[[PlacementAnswer], None] | None = None
    """Takes the answers to pods that ask for an Event; returns at once."""

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
        body = await self._body(request, "filter")
        begun = self.clock()
        try:
            asked = arguments_of(body)
            record = read(asked.pod)
            pod = await self._known_pod(record)
        except (UnreadableRequestError, UnreadablePodError) as error:
            self._refused("filter")
            return _json(filter_error(f"foresail: {error}"), None)
        result, reason = self._filtered(asked, pod)
        if len(result.passed) < 2:  # noqa: PLR2004 else kube-scheduler asks which is best
            self._tell(record)
        answer = _json(filter_answer(asked, result), reason)
        self._answered("filter", begun)
        return answer

    async def prioritize(self, request: web.Request) -> web.Response:
        body = await self._body(request, "prioritize")
        begun = self.clock()
        try:
            asked = arguments_of(body)
            record = read(asked.pod)
            pod = placed(record, self.known)
        except (UnreadableRequestError, UnreadablePodError) as error:
            self._refused("prioritize")
            return web.Response(status=400, text=f"foresail: {error}\n")
        reason: str | None = NO_SNAPSHOT
        scores = [0] * len(asked.names)
        if self.placement is not None:
            scores = self.placement.prioritise(pod, asked.names, now_seconds=self.clock())
            reason = pod.fault or pod.unknown or self.stale
            self._tell(record)
        answer = _json(prioritise_answer(asked.names, scores), reason)
        self._answered("prioritize", begun)
        return answer

    async def healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(self, _: web.Request) -> web.Response:
        why = NO_SNAPSHOT if self.placement is None else self.stale
        if why is not None:
            return web.Response(status=503, text=f"{why}\n")
        return web.Response(text="ok\n")

    async def _known_pod(self, record: records.Pod) -> Pod:
        """The pod with its claims: kube-scheduler may see a new one a moment before our watch."""
        pod = placed(record, self.known)
        for _ in range(CLAIM_TRIES):
            if self.placement is None or set(pod.claim_names) <= self.known.claims.keys():
                break
            await asyncio.sleep(CLAIM_PAUSE_SECONDS)
            pod = placed(record, self.known)
        return pod

    def _filtered(self, asked: Arguments, pod: Pod) -> tuple[Filtered, str | None]:
        """What passes, and why all does where too little is known."""
        now_seconds = self.clock()
        reason = None
        if pod.fault is None:
            reason = NO_SNAPSHOT if self.placement is None else self.stale or pod.unknown
        if self.placement is not None and (self.stale is None or pod.fault is not None):
            result = self.placement.filter(pod, asked.names, now_seconds=now_seconds)
        elif pod.fault is not None:
            result = without_sense(asked.names, pod.fault)
        else:
            result = Filtered(list(asked.names))
        if self.placement is not None:
            note = reason or result.assumed
            self.placement.answers.filtered(
                pod, len(asked.names), result, note=note, now_seconds=now_seconds
            )
        if self.metrics is not None:
            self.metrics.refused_nodes.labels("full").inc(len(result.failed))
            self.metrics.refused_nodes.labels("unable").inc(len(result.unresolvable))
            self.metrics.blind.inc(reason is not None)
        return result, reason or result.assumed

    def _tell(self, record: records.Pod) -> None:
        if self.tell is None or self.placement is None or not wants_event(record):
            return
        answer = self.placement.answers.of(record.name)
        if answer is not None:
            self.tell(answer)

    def _answered(self, verb: str, begun: float) -> None:
        self.answered_at = self.clock()
        if self.metrics is not None:
            self.metrics.seconds.labels(verb).observe(self.answered_at - begun)

    async def _body(self, request: web.Request, verb: str) -> bytes:
        try:
            return await plain_body(request)
        except web.HTTPUnsupportedMediaType:
            self._refused(verb)
            raise

    def _refused(self, verb: str) -> None:
        if self.metrics is not None:
            self.metrics.refused_requests.labels(verb).inc()


def _json(body: bytes, reason: str | None) -> web.Response:
    headers = {} if reason is None else {REASON: _one_line(reason)}
    return web.Response(body=body, content_type="application/json", headers=headers)


def _one_line(text: str) -> str:
    """What a tenant may have written, fit for a header."""
    return "".join(one if one.isascii() and one.isprintable() else "?" for one in text)[:256]
