"""OpenTelemetry's providers and exporters, as the standard environment variables set them up.

Every exporter has a bounded queue (`OTEL_BSP_*`, `OTEL_BLRP_*`) and a thread that sends it, so that
making a span or a line never waits. What does not fit is dropped.
"""

import logging
import os
import threading
from collections.abc import Callable
from importlib import import_module, metadata
from typing import Any, Final

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter
from opentelemetry.sdk.metrics.export import MetricExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from typing_extensions import override

from scaler.errors import ForesailError

SCOPE: Final = "foresail"
_HEADERS_LOG: Final = logging.getLogger("opentelemetry.util.re")
_END_SECONDS_MAX: Final = 2.0
"""How long the end of the process waits for what is not sent yet."""
_MODULES: Final = {
    "grpc": "opentelemetry.exporter.otlp.proto.grpc",
    "http/protobuf": "opentelemetry.exporter.otlp.proto.http",
}
_EXPORTERS: Final = {
    "TRACES": ("trace_exporter", "OTLPSpanExporter"),
    "METRICS": ("metric_exporter", "OTLPMetricExporter"),
    "LOGS": ("_log_exporter", "OTLPLogExporter"),
}


def resource(process: str) -> Resource:
    """This process, as the backend shows it.

    Args:
        process: the part that it has in `foresail serve`.
    """
    given = Resource.create()
    ours = {"foresail.process": process, "service.version": metadata.version("foresail")}
    if str(given.attributes.get("service.name", "")).startswith("unknown_service"):
        ours["service.name"] = "foresail"
    return given.merge(Resource(ours)).merge(_instance())


def _instance() -> Resource:
    """The pod's name, where the environment names no instance."""
    has_one = "service.instance.id" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    pod = os.environ.get("HOSTNAME", "")
    return Resource({} if has_one or not pod else {"service.instance.id": pod})


def is_wanted(signal: str) -> bool:
    """Whether the environment leaves a signal on.

    Raises:
        ForesailError: it names an exporter that Foresail has not.
    """
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    variable = f"OTEL_{signal}_EXPORTER"
    exporter = os.environ.get(variable, "otlp").strip()
    if exporter not in {"otlp", "none", ""}:
        raise ForesailError(f"{variable}={exporter!r}: Foresail sends otlp, or none")
    return exporter != "none"


def tracer_provider(process: str) -> TracerProvider:
    """Raises ForesailError as `exporter_of` does."""
    exporter: SpanExporter = exporter_of("TRACES")
    provider = TracerProvider(resource=resource(process), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


def logger_provider(process: str) -> LoggerProvider:
    """Raises ForesailError as `exporter_of` does."""
    exporter: LogRecordExporter = exporter_of("LOGS")
    provider = LoggerProvider(resource=resource(process), shutdown_on_exit=False)
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    return provider


def metric_exporter() -> MetricExporter:
    """Raises ForesailError as `exporter_of` does."""
    exporter: MetricExporter = exporter_of("METRICS")
    return exporter


def exporter_of(signal: str) -> Any:
    """The exporter of the protocol that the environment names, gRPC by default.

    Raises:
        ForesailError: there is no such protocol, or a setting of the environment cannot be used.
    """
    variable = f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL"
    if not os.environ.get(variable, "").strip():  # an empty one is as good as none
        variable = "OTEL_EXPORTER_OTLP_PROTOCOL"
    protocol = os.environ.get(variable, "").strip() or "grpc"
    if protocol not in _MODULES:
        raise ForesailError(f"{variable}={protocol!r}: it takes one of {', '.join(_MODULES)}")
    module, name = _EXPORTERS[signal]
    headers = _HeaderFaults()
    _HEADERS_LOG.addFilter(headers)
    try:
        exporter = getattr(import_module(f"{_MODULES[protocol]}.{module}"), name)()
    except (OSError, ValueError) as error:  # a certificate that is not there, a time-out of "x"
        raise ForesailError(f"OTEL_EXPORTER_OTLP_*: {error}") from error
    finally:
        _HEADERS_LOG.removeFilter(headers)
    if headers.found:
        exporter.shutdown()
        raise ForesailError(
            "OTEL_EXPORTER_OTLP_HEADERS: not of the form NAME=VALUE,NAME=VALUE, with values URL "
            "encoded; they are not shown here, because they may be secrets"
        )
    return exporter


class _HeaderFaults(logging.Filter):
    """Notes that the library found a fault in headers, and drops its line, which quotes them."""

    found = False

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        self.found = True
        return False


def end(*shutdowns: Callable[[], object]) -> None:
    """Send what is left, for `_END_SECONDS_MAX` in all: a receiver that hangs delays no end."""

    def run() -> None:
        for shutdown in shutdowns:
            shutdown()

    # A daemon, because the process must not wait for it either.
    ending = threading.Thread(target=run, name="telemetry-end", daemon=True)
    ending.start()
    ending.join(_END_SECONDS_MAX)
