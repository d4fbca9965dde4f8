"""Foresail's own traces, metrics and logs, as a collector gets them over OTLP."""

import asyncio
import logging
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import grpc.aio
import pytest
import structlog
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from foresail.clock import wall_clock
from foresail.settings.file import Settings
from foresail.settings.telemetry import TelemetrySettings
from foresail.telemetry import exporters
from foresail.telemetry import installed as opentelemetry_installed
from foresail.telemetry.begun import begin_telemetry
from foresail.telemetry.decisions import decision_trace
from foresail.telemetry.process import TelemetryOverOtlp
from foresail.telemetry.series import metrics_data
from foresail.telemetry.spans import CallTraces, PlanTraces
from scaler.decision.answers import Reference, Refusal, RefusalCode, TimedOutcome
from scaler.decision.tracker import DemandTracker, PollResult
from scaler.errors import ForesailError
from scaler.evaluate import CycleState, WorkloadPlan, evaluate
from scaler.rpc import externalscaler_pb2 as pb
from scaler.rpc import externalscaler_pb2_grpc as pb_grpc
from scaler.serving.board import Board
from scaler.serving.metrics import ServiceMetrics
from scaler.serving.server import ScalerServer
from scaler.serving.service import ExternalScaler
from scaler.serving.streams import StreamLifetimes
from scaler.signals import Observation, Signal, Stale, Value
from scaler.trigger_parsing import parse
from tests.contracts.served import ALLOWED, answer
from tests.foresail.otlp_collector import Collector, attributes, collecting
from tests.scaler.fakes import PARAMETERS, NoForecast

# Exporters live in real time.
pytestmark = pytest.mark.looptime(False)

GET_METRICS = "externalscaler.ExternalScaler/GetMetrics"
METADATA = {"scalerAddress": "foresail:6500", "model": "llama-70b", "mode": "act"}
REFERENCE = Reference.of("team-a", "llama", METADATA)
QUESTION = pb.GetMetricsRequest(
    scaledObjectRef=pb.ScaledObjectRef(name="llama", namespace="team-a", scalerMetadata=METADATA),
    metricName="foresail-replicas",
)
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        yield collector


@pytest.fixture(autouse=True)
def _patient_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A collector on a busy core is late; one test is of a shorter time."""
    monkeypatch.setattr(exporters, "_END_SECONDS_MAX", 60.0)


@contextmanager
def provided() -> Iterator[TracerProvider]:
    provider = exporters.tracer_provider("answering")
    try:
        yield provider
    finally:
        exporters.end(provider.shutdown)


@asynccontextmanager
async def answering(traces: CallTraces) -> AsyncIterator[tuple[Board, pb_grpc.ExternalScalerStub]]:
    board = Board(lambda _, m: parse(m, ALLOWED), clock=lambda: 0.0, objects_max=3)
    lifetimes = StreamLifetimes(per_peer_max=4)
    metrics = ServiceMetrics(CollectorRegistry())
    service = ExternalScaler(board, metrics, lifetimes, replicas_max=1000)
    server = ScalerServer(service, lifetimes, interceptors=[traces])
    port = await server.start("127.0.0.1:0", None)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield board, pb_grpc.ExternalScalerStub(channel)
    await server.drain()


def plan() -> WorkloadPlan:
    """1200 of 1000 prompt tokens/s that a replica takes; the queue's series has stopped."""
    readings = {
        Signal.RUNNING: Value(value=1.0, at_seconds=60),
        Signal.WAITING: Stale(at_seconds=0.0),
        Signal.PROMPT_TOKENS: Value(value=1200.0, at_seconds=60),
        Signal.GENERATED_TOKENS: Value(value=0.0, at_seconds=60),
        Signal.REPLICAS: Value(value=1.0, at_seconds=60),
    }
    poll = PollResult(at_seconds=60, observation=Observation(at_seconds=60, readings=readings))
    tracker = DemandTracker(NoForecast, step_seconds=60)
    tracker.take(poll)
    result, _ = evaluate(
        REFERENCE,
        poll,
        tracker,
        PARAMETERS,
        CycleState.unread(0.0),
        now_seconds=60,
        answer_seconds_max=300,
    )
    return result


async def test_a_get_metrics_is_one_trace_with_the_decision_behind_it(
    collector: Collector,
) -> None:
    made = plan()
    with provided() as provider:
        traces = CallTraces(provider)
        decision = PlanTraces(provider, wall_clock).traced(decision_trace(made), age_seconds=2)
        async with answering(traces) as (board, stub):
            entry = board.ask(REFERENCE)
            entry.publish(TimedOutcome(outcome=answer(7), read_at_seconds=0))
            traces.note(REFERENCE, decision)
            caller = (("traceparent", f"00-{TRACE}-{PARENT}-01"),)
            await stub.GetMetrics(QUESTION, metadata=caller)

    (call,), (planned,) = collector.named(GET_METRICS), collector.named("plan")
    assert (call.trace_id.hex(), call.parent_span_id.hex()) == (TRACE, PARENT)
    shown = attributes(call.attributes)
    assert shown["foresail.answer.replicas"] == 7
    assert shown["gen_ai.request.model"] == "llama-70b"
    assert (shown["k8s.namespace.name"], shown["foresail.workload"]) == ("team-a", "llama")
    assert shown["rpc.grpc.status_code"] == 0
    assert (call.links[0].trace_id, call.links[0].span_id) == (planned.trace_id, planned.span_id)
    assert planned.trace_id.hex() != TRACE
    assert planned.end_time_unix_nano - planned.start_time_unix_nano == 2 * 10**9

    events = [(event.name, attributes(event.attributes)) for event in call.events]
    assert events == [(event.name, attributes(event.attributes)) for event in planned.events]
    name, signals = events[0]
    assert name == "signals read"
    assert signals["foresail.signal.prompt_tokens"] == 1200
    assert signals["foresail.signal.waiting"].startswith("? stale, newest sample 1m")
    assert [name for name, _ in events[1:4]] == ["rule present", "rule queue", "rule forecast"]
    assert events[-1][0] == "answer"
    assert made.replica_plan is not None
    assert len(events) == 2 + len(made.replica_plan.steps)
    process = collector.spans[0][0]
    assert (process["service.name"], process["foresail.process"]) == ("foresail", "answering")


async def test_a_refusal_is_an_error_with_its_reason_and_a_trace_of_its_own(
    collector: Collector,
) -> None:
    with provided() as provider:
        async with answering(CallTraces(provider)) as (board, stub):
            refusal = Refusal(code=RefusalCode.UNAVAILABLE, message="prometheus does not answer")
            board.ask(REFERENCE).publish(TimedOutcome(outcome=refusal, read_at_seconds=0))
            with pytest.raises(grpc.aio.AioRpcError):
                await stub.GetMetrics(QUESTION, metadata=(("traceparent", "garbage"),))

    (call,) = collector.named(GET_METRICS)
    assert call.parent_span_id == b""
    assert attributes(call.attributes)["rpc.grpc.status_code"] == 14
    assert call.status.message == "team-a/llama: prometheus does not answer"


async def test_a_receiver_that_never_answers_delays_no_answer_and_no_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It takes connections and says nothing. The queue holds 64 spans; 400 answers come."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv(
            "OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}"
        )
        for variable, value in (
            ("OTEL_BSP_MAX_QUEUE_SIZE", "64"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "16"),
            ("OTEL_BSP_SCHEDULE_DELAY", "20"),
            # An answer that waited for one export would not come within the test.
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "600"),
        ):
            monkeypatch.setenv(variable, value)
        monkeypatch.setattr(exporters, "_END_SECONDS_MAX", 0.3)
        provider = exporters.tracer_provider("answering")
        async with answering(CallTraces(provider)) as (board, stub), asyncio.timeout(60):
            board.ask(REFERENCE).publish(TimedOutcome(outcome=answer(7), read_at_seconds=0))
            for _ in range(400):
                given = await stub.GetMetrics(QUESTION)
                assert given.metricValues[0].metricValueFloat == 7
        exporters.end(provider.shutdown)
        # It was not waited for: the shutdown itself gives up after half a minute.
        assert "telemetry-end" in {one.name for one in threading.enumerate()}


def test_the_page_of_metrics_is_sent_as_it_is() -> None:
    registry = CollectorRegistry()
    Counter("foresail_refusals", "Refused.", ["reason"], registry=registry).labels("x").inc(3)
    Gauge("foresail_replicas", "Wanted.", registry=registry).set(7)
    seconds = Histogram("foresail_rpc_seconds", "Took.", buckets=(0.1, 1.0), registry=registry)
    for took in (0.05, 0.5, 0.5, 3.0):
        seconds.observe(took)
    data = metrics_data(registry.collect(), Resource({}), started_ns=5, now_ns=10**19)
    metrics = {one.name: one.data for one in data.resource_metrics[0].scope_metrics[0].metrics}

    (refusals,) = metrics["foresail_refusals"].data_points
    assert (refusals.value, refusals.attributes) == (3, {"reason": "x"})
    assert metrics["foresail_refusals"].is_monotonic  # type: ignore[union-attr]
    assert refusals.start_time_unix_nano > 10**18  # when it was made, not when Foresail began
    assert metrics["foresail_replicas"].data_points[0].value == 7  # type: ignore[union-attr]
    (rpc,) = metrics["foresail_rpc_seconds"].data_points
    assert (rpc.bucket_counts, rpc.explicit_bounds) == ([1, 2, 1], [0.1, 1.0])  # type: ignore[union-attr]
    assert (rpc.count, rpc.sum) == (4, 4.05)  # type: ignore[union-attr]
    assert set(metrics) == {"foresail_refusals", "foresail_replicas", "foresail_rpc_seconds"}


async def test_metrics_and_logs_reach_a_collector_and_exporters_own_lines_do_not(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "10")
    before, handlers = structlog.get_config(), [*logging.getLogger().handlers]
    registry = CollectorRegistry()
    Gauge("foresail_replicas", "Wanted.", registry=registry).set(7)
    try:
        telemetry = TelemetryOverOtlp(TelemetrySettings(traces=False), "planning")
        push = telemetry.series(lambda: registry.collect)
        assert push is not None
        sending = asyncio.create_task(push.run())
        structlog.get_logger().warning("no_answer", workload="team-a/llama", why=["a", "b"])
        logging.getLogger("asyncio").error("task failed")
        logging.getLogger("opentelemetry.exporter").error("not exported")
        while not collector.metrics:
            await asyncio.sleep(0.01)
        sending.cancel()
        await asyncio.to_thread(telemetry.end)
    finally:
        structlog.configure(**before)
        logging.getLogger().handlers[:] = handlers

    lines = {record.body.string_value: record for _, record in collector.logs}
    # A library may say more, such as asyncio of a task of an earlier test.
    assert {"no_answer", "task failed"} <= set(lines)
    assert "not exported" not in lines
    assert attributes(lines["no_answer"].attributes)["workload"] == "team-a/llama"
    assert lines["no_answer"].severity_text == "WARNING"
    process, metric = collector.metrics[0]
    assert (metric.name, process["foresail.process"]) == ("foresail_replicas", "planning")


@pytest.mark.parametrize(
    ("variable", "value", "fault"),
    [
        ("OTEL_TRACES_EXPORTER", "zipkin", "'zipkin': Foresail sends otlp, or none"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "it takes one of grpc, http/protobuf"),
    ],
)
def test_an_environment_that_cannot_be_used_is_said(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, fault: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ForesailError, match=fault):
        TelemetryOverOtlp(TelemetrySettings(), "answering")


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf", ""])
def test_headers_that_cannot_be_used_are_said_without_what_they_hold(
    protocol: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "Authorization Bearer s3cret")
    with pytest.raises(ForesailError, match="OTEL_EXPORTER_OTLP_HEADERS: not of the") as refused:
        exporters.exporter_of("TRACES")
    assert "s3cret" not in caplog.text + str(refused.value)


def test_the_standard_environment_turns_it_off_and_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "capacity")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=prod")
    named = exporters.resource("answering").attributes
    assert (named["service.name"], named["deployment.environment.name"]) == ("capacity", "prod")
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    telemetry = TelemetryOverOtlp(TelemetrySettings(), "planning")
    assert telemetry.interceptors == ()
    assert telemetry.series(lambda: list) is None


def test_without_the_setting_nothing_is_sent_and_without_the_extra_it_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = {"sources": [{"name": "main", "prometheus": {"url": "http://server:9090"}}]}
    assert begin_telemetry(Settings.model_validate(settings), "answering").interceptors == ()
    monkeypatch.setattr(opentelemetry_installed, "find_spec", lambda _: None)
    wanted = Settings.model_validate({**settings, "telemetry": {}})
    with pytest.raises(ForesailError, match=r"telemetry needs .*'foresail\[opentelemetry\]'"):
        begin_telemetry(wanted, "answering")
