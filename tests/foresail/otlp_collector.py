"""A collector of traces, metrics and logs over OTLP, of OpenTelemetry's own service definitions."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs_pb
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2_grpc as logs_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_pb
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as trace_grpc


@dataclass
class Collector:
    """What arrived, as (attributes of the process, record)."""

    port: int = 0
    spans: list[tuple[dict[str, Any], Any]] = field(default_factory=list)
    metrics: list[tuple[dict[str, Any], Any]] = field(default_factory=list)
    logs: list[tuple[dict[str, Any], Any]] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def named(self, name: str) -> list[Any]:
        return [span for _, span in self.spans if span.name == name]


def attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


class _Traces(trace_grpc.TraceServiceServicer):
    def __init__(self, collector: Collector) -> None:
        self._into = collector.spans

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        for group in request.resource_spans:
            process = attributes(group.resource.attributes)
            self._into += [(process, span) for scope in group.scope_spans for span in scope.spans]
        return trace_pb.ExportTraceServiceResponse()


class _Metrics(metrics_grpc.MetricsServiceServicer):
    def __init__(self, collector: Collector) -> None:
        self._into = collector.metrics

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        for group in request.resource_metrics:
            process = attributes(group.resource.attributes)
            self._into += [(process, one) for scope in group.scope_metrics for one in scope.metrics]
        return metrics_pb.ExportMetricsServiceResponse()


class _Logs(logs_grpc.LogsServiceServicer):
    def __init__(self, collector: Collector) -> None:
        self._into = collector.logs

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        for group in request.resource_logs:
            process = attributes(group.resource.attributes)
            self._into += [
                (process, one) for scope in group.scope_logs for one in scope.log_records
            ]
        return logs_pb.ExportLogsServiceResponse()


@contextmanager
def collecting(port: int = 0) -> Iterator[Collector]:
    server = grpc.server(ThreadPoolExecutor(4))
    collector = Collector(server.add_insecure_port(f"127.0.0.1:{port}"))
    trace_grpc.add_TraceServiceServicer_to_server(_Traces(collector), server)
    metrics_grpc.add_MetricsServiceServicer_to_server(_Metrics(collector), server)
    logs_grpc.add_LogsServiceServicer_to_server(_Logs(collector), server)
    server.start()
    try:
        yield collector
    finally:
        server.stop(0).wait()
