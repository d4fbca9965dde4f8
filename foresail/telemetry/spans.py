"""Traces: one of each `GetMetrics`, in the process that answers, and one of each plan.

A plan is made before it is asked for, in another process. So the trace of an answer shows the
decision behind it, and links to the trace of the plan. KEDA's own trace context, if it sends one,
is the parent of the answer's.
"""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from typing import Any, Final, TypeAlias

import grpc
import grpc.aio
from opentelemetry.context import Context
from opentelemetry.propagate import get_global_textmap
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import (
    Link,
    Span,
    SpanKind,
    StatusCode,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from typing_extensions import override

from foresail.explain.decision_trace import DecisionTrace
from foresail.telemetry.exporters import SCOPE
from scaler.clock import Clock
from scaler.decision.answers import Reference
from scaler.rpc import externalscaler_pb2 as pb
from scaler.serving.board import NAME_CHARACTERS_MAX
from scaler.serving.server import SERVICE_NAME
from scaler.trigger import METADATA_KEYS_MAX

_METHOD: Final = f"/{SERVICE_NAME}/GetMetrics"
_TRACEPARENT: Final = "traceparent"
_W3C: Final = TraceContextTextMapPropagator()
_NANO: Final = 10**9
_FAULTS: Final = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
"""The conventions call these errors of the server; others are the caller's."""

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"
Method = Callable[[pb.GetMetricsRequest, Any], Awaitable[pb.GetMetricsResponse]]


class CallTraces(grpc.aio.ServerInterceptor):
    """Makes a span of each `GetMetrics`, with the newest decision about its object."""

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer(SCOPE)
        self._decisions: dict[Reference, DecisionTrace] = {}

    def note(self, reference: Reference, decision: DecisionTrace) -> None:
        """Remember the decision behind the next answers."""
        self._decisions[reference] = decision

    def keep(self, known: Collection[Reference]) -> None:
        """Forget the decisions about all other objects."""
        self._decisions = {key: one for key, one in self._decisions.items() if key in known}

    @override
    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        handler = await continuation(handler_call_details)
        method = None if handler is None else handler.unary_unary
        if handler is None or method is None or handler_call_details.method != _METHOD:
            return handler
        parent = _parent(handler_call_details)

        async def traced(request: pb.GetMetricsRequest, context: Any) -> pb.GetMetricsResponse:
            return await self._traced(method, parent, request, context)

        return grpc.unary_unary_rpc_method_handler(
            traced, handler.request_deserializer, handler.response_serializer
        )

    async def _traced(
        self,
        method: Method,
        parent: Context,
        request: pb.GetMetricsRequest,
        context: Any,
    ) -> pb.GetMetricsResponse:
        asked = request.scaledObjectRef
        decision = None
        if len(asked.scalerMetadata) <= METADATA_KEYS_MAX:  # more are refused before they are read
            reference = Reference.of(asked.namespace, asked.name, asked.scalerMetadata)
            decision = self._decisions.get(reference)
        with self._tracer.start_as_current_span(
            f"{SERVICE_NAME}/GetMetrics",
            parent,
            SpanKind.SERVER,
            links=_links(decision),
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            if span.is_recording():
                span.set_attributes(
                    {
                        "rpc.system": "grpc",
                        "rpc.service": SERVICE_NAME,
                        "rpc.method": "GetMetrics",
                        "k8s.namespace.name": asked.namespace[:NAME_CHARACTERS_MAX],
                        "foresail.workload": asked.name[:NAME_CHARACTERS_MAX],
                    }
                )
                _show(span, decision)
            try:
                response = await method(request, context)
            finally:
                _set_status(span, context)
            for one in response.metricValues:
                span.set_attribute("foresail.answer.replicas", one.metricValueFloat)
            return response


class PlanTraces:
    """Makes a span of each plan."""

    def __init__(self, provider: TracerProvider, wall: Clock) -> None:
        self._tracer = provider.get_tracer(SCOPE)
        self._wall = wall

    def traced(self, decision: DecisionTrace, *, age_seconds: float) -> DecisionTrace:
        """The decision with the reference to its span, which ends now.

        Args:
            age_seconds: of the look that the plan was made from.
        """
        now_ns = round(self._wall() * _NANO)
        span = self._tracer.start_span(
            "plan", Context(), start_time=now_ns - round(max(0.0, age_seconds) * _NANO)
        )
        _show(span, decision)
        span.end(now_ns)
        carrier: dict[str, str] = {}
        _W3C.inject(carrier, set_span_in_context(span, Context()))
        return replace(decision, traceparent=carrier.get(_TRACEPARENT))


def _parent(details: grpc.HandlerCallDetails) -> Context:
    """The caller's context, by the propagators of `OTEL_PROPAGATORS`; W3C's by default."""
    carrier = {
        key: value for key, value in details.invocation_metadata or () if isinstance(value, str)
    }
    return get_global_textmap().extract(carrier, Context())


def _links(decision: DecisionTrace | None) -> list[Link]:
    if decision is None or decision.traceparent is None:
        return []
    context = _W3C.extract({_TRACEPARENT: decision.traceparent}, Context())
    return [Link(get_current_span(context).get_span_context())]


def _show(span: Span, decision: DecisionTrace | None) -> None:
    if decision is None or not span.is_recording():
        return
    span.set_attributes(dict(decision.attributes))
    for name, attributes in decision.events:
        span.add_event(name, dict(attributes))


def _set_status(span: Span, context: Any) -> None:
    code: object = context.code()  # the integer 0 until a status is set
    if not isinstance(code, grpc.StatusCode):
        code = grpc.StatusCode.OK
    span.set_attribute("rpc.grpc.status_code", code.value[0])
    if code in _FAULTS:
        span.set_status(StatusCode.ERROR, context.details() or code.name)
