"""KEDA's external-scaler contract; every answer comes from the board.

The metric's name and its target of 1 never change: KEDA passes a target to the HPA only when the
ScaledObject is reconciled, and a failing `GetMetricSpec` disables fallback and every other trigger
of the object. So that call never fails, whatever KEDA sends; `GetMetrics` reports faults.
The value is the number of replicas wanted, which with target 1 and AverageValue is what the HPA
sets. It travels in the float field and, rounded up, in the integer one for KEDA before 2.17.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from time import perf_counter
from typing import Final, Never, assert_never

import grpc
import grpc.aio
from typing_extensions import override

from scaler.decision.abstention import Abstention
from scaler.decision.answers import Answer, Reference, Refusal, RefusalCode, Reply
from scaler.limits import Limit, exceeded
from scaler.message_text import is_cut, limited
from scaler.rpc import externalscaler_pb2 as pb
from scaler.rpc import externalscaler_pb2_grpc as pb_grpc
from scaler.serving.board import NAME_CHARACTERS_MAX, Board, BoardFullError
from scaler.serving.entry import Entry
from scaler.serving.metrics import ServiceMetrics
from scaler.serving.streams import StreamLifetime, StreamLifetimes, TooManyStreamsError
from scaler.trigger import METADATA_CHARACTERS_MAX, METADATA_KEYS_MAX

METRIC_NAME: Final = "foresail-replicas"
TARGET: Final = 1
QUIET_SECONDS: Final = 0.25
"""Without a new call, before a server that drains is stopped: longer than a call is on its way to
a machine with far more to do than it can."""
SHORT_QUIET_SECONDS: Final = 0.008
"""The same where there was no call for a second, or where calls come without end: a gap that KEDA
leaves several times a second even with thousands of objects."""
_TURN_SECONDS: Final = 0.002
_SHARE_OF_LONG: Final = 2 / 3
"""Of the time for a moment without calls, that a long one is waited for."""
HEARTBEAT_SECONDS: Final = 20.0
"""How often an open stream repeats that a workload is active; each costs KEDA an API read."""

HPA_SECONDS_MIN: Final = 35.0
"""A call with so much time left comes from the HPA: the API server gives its requests 60 s, and the
deadline travels on. KEDA's own polls have none; KEDA's other time limits are shorter."""
RUNNING_SECONDS: Final = 1.0
"""So long after the HPA's call its workload still counts as running: until an open stream has been
woken, and not until somebody could have stopped the workload."""

_STATUS: Final = {
    RefusalCode.INVALID: grpc.StatusCode.INVALID_ARGUMENT,
    RefusalCode.UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    RefusalCode.MISCONFIGURED: grpc.StatusCode.FAILED_PRECONDITION,
}

Context = grpc.aio.ServicerContext[object, object]


class ExternalScaler(pb_grpc.ExternalScalerServicer):
    """The five RPCs. Only the streams wait, for the next change."""

    def __init__(
        self,
        board: Board,
        metrics: ServiceMetrics,
        lifetimes: StreamLifetimes,
        *,
        replicas_max: int,
        client_names: frozenset[str] | None = None,
    ) -> None:
        """Answer from this board.

        Args:
            client_names: names of which a caller's certificate must carry one; None = any client
                that the server's TLS admits.
        """
        self._board = board
        self._metrics = metrics
        self._lifetimes = lifetimes
        self._client_names = client_names
        self._begun = 0
        self._begun_at_seconds = -math.inf
        """When the last call came, by the loop's clock."""
        self._released = asyncio.Event()
        """Set unless answers are held."""
        self._released.set()
        self._replicas_max = replicas_max
        self._spec = pb.GetMetricSpecResponse(
            metricSpecs=[
                pb.MetricSpec(metricName=METRIC_NAME, targetSize=TARGET, targetSizeFloat=TARGET)
            ]
        )

    @override
    async def GetMetricSpec(
        self, request: pb.ScaledObjectRef, context: Context
    ) -> pb.GetMetricSpecResponse:
        """Answer for every object, and make a new one known so that its looks begin."""
        with self._timed("GetMetricSpec", context):
            await self._released.wait()
            await self._check_client(context)
            _ = self._known(request)
            return self._spec

    @override
    async def GetMetrics(
        self, request: pb.GetMetricsRequest, context: Context
    ) -> pb.GetMetricsResponse:
        with self._timed("GetMetrics", context):
            await self._released.wait()
            await self._check_client(context)
            if request.metricName.lower() != METRIC_NAME:
                message = f"no metric {request.metricName[:120]!r}; the only one is {METRIC_NAME!r}"
                await self._refuse(context, grpc.StatusCode.NOT_FOUND, message)
            entry = await self._entry(request.scaledObjectRef, context)
            if _is_of_hpa(context):
                entry.note_hpa()
            reply = await self._reply(entry, entry.polled(), context)
            if isinstance(reply, Answer):
                replicas = self._clamped(reply.replicas)
            elif reply.beside_others:
                replicas = 0.0
            else:
                return pb.GetMetricsResponse()
        return pb.GetMetricsResponse(
            metricValues=[
                pb.MetricValue(
                    metricName=METRIC_NAME,
                    metricValue=math.ceil(replicas),
                    metricValueFloat=replicas,
                )
            ]
        )

    @override
    async def IsActive(self, request: pb.ScaledObjectRef, context: Context) -> pb.IsActiveResponse:
        with self._timed("IsActive", context):
            await self._released.wait()
            await self._check_client(context)
            entry = await self._entry(request, context)
            reply = await self._reply(entry, entry.in_same_poll(), context)
            active = reply.active if isinstance(reply, Answer) else not reply.beside_others
            return pb.IsActiveResponse(result=active)

    @override
    async def StreamIsActive(
        self, request: pb.ScaledObjectRef, context: Context
    ) -> AsyncIterator[pb.IsActiveResponse]:
        """Send the activity at once, then each change, and `true` again as a heartbeat.

        Without an answer there is no error, which would put KEDA into its back-off. With zero
        allowed, then and in advise mode `true` is sent while the workload runs, as its HPA's calls
        show: it moves nothing and begins KEDA's cooldown anew (scaler/decision/abstention.py says
        why). To a workload at zero nothing is sent, because `true` would wake it.
        """
        await self._check_client(context)
        entry = await self._entry(request, context)
        loop = asyncio.get_running_loop()
        sent, sent_at = None, -math.inf
        async with self._stream("StreamIsActive", request, context) as lifetime:
            entry.listeners.add(lifetime.wake.set)
            try:
                while not lifetime.over():
                    active = _active(entry)
                    beat = active and loop.time() - sent_at >= HEARTBEAT_SECONDS
                    if active is not None and (active != sent or beat):
                        yield pb.IsActiveResponse(result=active)
                        sent, sent_at = active, loop.time()
                    await lifetime.wait(at_most_seconds=HEARTBEAT_SECONDS)
            finally:
                entry.listeners.discard(lifetime.wake.set)

    @override
    async def StreamMetricSpec(
        self, request: pb.ScaledObjectRef, context: Context
    ) -> AsyncIterator[pb.GetMetricSpecResponse]:
        """Send the spec, which never changes, and stay open. Makes a new object known, too.

        KEDA prefers the streamed spec to a call of `GetMetricSpec`, so an HPA keeps its metric
        while Foresail restarts.
        """
        await self._check_client(context)
        async with self._stream("StreamMetricSpec", request, context) as lifetime:
            yield self._spec
            while not lifetime.over():
                await lifetime.wait(at_most_seconds=math.inf)

    def hold(self) -> None:
        """Answer no call until `release`, so that its caller does not send the next one."""
        self._released.clear()

    def release(self) -> None:
        """Answer all calls that are held."""
        self._released.set()

    async def quiet(self, *, seconds_max: float) -> None:
        """Wait for a moment in which no call comes, or for so long.

        gRPC cancels calls that arrive after its server was stopped, before their caller has heard
        of it: a moment on an idle machine, and many calls on a busy one.
        """
        loop = asyncio.get_running_loop()
        started = now = silent_since = loop.time()
        is_idle = now - self._begun_at_seconds > 1.0
        while now < started + seconds_max:
            is_long = not is_idle and now < started + _SHARE_OF_LONG * seconds_max
            if now - silent_since >= (QUIET_SECONDS if is_long else SHORT_QUIET_SECONDS):
                return
            begun = self._begun
            # Turns of the loop, not only time: in a loop that was busy nothing could come.
            await asyncio.sleep(_TURN_SECONDS)
            now = loop.time()
            if begun != self._begun:
                silent_since = now

    @contextmanager
    def _timed(self, method: str, context: Context) -> Iterator[None]:
        started = perf_counter()
        self._begun += 1
        self._begun_at_seconds = asyncio.get_running_loop().time()
        try:
            yield
        finally:
            code: object = context.code()  # the integer 0 until a status is set
            name = code.name if isinstance(code, grpc.StatusCode) else "OK"
            self._metrics.rpc_seconds.labels(method, name).observe(perf_counter() - started)

    @asynccontextmanager
    async def _stream(
        self, method: str, request: pb.ScaledObjectRef, context: Context
    ) -> AsyncIterator[StreamLifetime]:
        about = self._known(request) or request.namespace[:NAME_CHARACTERS_MAX]
        peer, subject = context.peer(), (method, about)
        try:
            lifetime = self._lifetimes.begin(peer, subject)
        except TooManyStreamsError as error:
            exceeded(error.limit)
            await self._refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))
        self._metrics.streams.labels(method).inc()
        try:
            yield lifetime
        finally:
            self._lifetimes.end(peer, subject, lifetime)
            self._metrics.streams.labels(method).dec()

    async def _check_client(self, context: Context) -> None:
        """Refuse a caller whose certificate carries none of the allowed names."""
        if self._client_names is None:
            return
        given = context.auth_context().get("x509_subject_alternative_name", ())
        names = [one.decode(errors="replace") for one in given]
        if self._client_names.isdisjoint(names):
            shown = ", ".join(names) or "none"
            message = f"tls.clientNames lists none of the names in your certificate: {shown}"
            await self._refuse(context, grpc.StatusCode.PERMISSION_DENIED, message)

    async def _entry(self, reference: pb.ScaledObjectRef, context: Context) -> Entry:
        fault = _fault_of(reference)
        if fault is not None:
            await self._refuse(context, grpc.StatusCode.INVALID_ARGUMENT, fault)
        try:
            return self._board.ask(_reference(reference))
        except BoardFullError as error:
            return await self._refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))

    def _known(self, request: pb.ScaledObjectRef) -> Reference | None:
        """The object, known from now on; None = it cannot be."""
        if _fault_of(request) is None:
            with suppress(BoardFullError):
                return self._board.ask(_reference(request)).reference
        return None

    async def _reply(self, entry: Entry, reply: Reply, context: Context) -> Answer | Abstention:
        match reply:
            case Abstention(is_error=True) if _is_of_hpa(context):
                return reply
            case Abstention(is_error=True, text=text):
                message = f"{entry.reference}: mode advise: {text}"
                return await self._refuse(context, grpc.StatusCode.FAILED_PRECONDITION, message)
            case Answer() | Abstention():
                return reply
            case Refusal(code=code, message=message):
                self._metrics.refusals.labels(code).inc()
                text = f"{entry.reference}: {message}"
                return await self._refuse(context, _STATUS[code], text)
            case _:
                assert_never(reply)

    def _clamped(self, replicas: float) -> float:
        """Finite, not negative, within the operator's limit: KEDA reads anything else as 0."""
        if math.isfinite(replicas) and 0 <= replicas <= self._replicas_max:
            return float(replicas)
        self._metrics.clamps.inc()
        return float(self._replicas_max) if replicas > 0 else 0.0

    async def _refuse(self, context: Context, code: grpc.StatusCode, message: str) -> Never:
        text = limited(message)
        if is_cut(text, message):
            exceeded(Limit.MESSAGE)
        await context.abort(code, text)
        raise AssertionError  # abort raises; its type stub does not declare that


def _reference(request: pb.ScaledObjectRef) -> Reference:
    return Reference.of(request.namespace, request.name, request.scalerMetadata)


def _fault_of(request: pb.ScaledObjectRef) -> str | None:
    """The fault of the reference, or None; a limit that it exceeds is counted."""
    if not request.name or not request.namespace:
        return "the reference names no object: name and namespace must both be set"
    if max(len(request.name), len(request.namespace)) > NAME_CHARACTERS_MAX:
        exceeded(Limit.NAME)
        return f"the name or the namespace has over {NAME_CHARACTERS_MAX} characters"
    if len(request.scalerMetadata) > METADATA_KEYS_MAX:
        exceeded(Limit.METADATA)
        return (
            f"the trigger's metadata has {len(request.scalerMetadata)} keys, over "
            f"{METADATA_KEYS_MAX}"
        )
    size = sum(len(key) + len(value) for key, value in request.scalerMetadata.items())
    if size > METADATA_CHARACTERS_MAX:
        exceeded(Limit.METADATA)
        return f"the trigger's metadata has {size} characters, over {METADATA_CHARACTERS_MAX}"
    return None


def _active(entry: Entry) -> bool | None:
    """What to send on a stream now; None = nothing."""
    match entry.current():
        case Answer(active=active):
            return active
        case Abstention(is_error=True) | Refusal() if _may_be_stopped(entry):
            return entry.ran_within(RUNNING_SECONDS) or None
        case _:
            return None


def _may_be_stopped(entry: Entry) -> bool:
    """Whether KEDA may go to zero, as far as the metadata says."""
    return entry.trigger_spec is None or entry.trigger_spec.min_replicas == 0


def _is_of_hpa(context: Context) -> bool:
    left_seconds = context.time_remaining() or 0.0  # None, whatever its type says: no deadline
    return left_seconds > HPA_SECONDS_MIN
