"""What the attacker sends to a receiver of OTLP: made-up series, bombs, and what is no request."""

import gzip
import os
import time
from functools import cache
from typing import Final

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality

_POINTS: Final = 500
_UNPACKED_BYTES: Final = 2**28
_NOISE_BYTES: Final = 2**22 - 2**10
_ABSURD: Final = (1e308, float("nan"), -7.0, 1.0)


def export_request(number: int) -> tuple[bytes, str]:
    """The body of the request with this number, and its encoding."""
    match number % 3:
        case 0:
            return _made_up(number), "identity"
        case 1:
            return _bomb(), "gzip"
        case _:
            return _noise(), "identity"


def _made_up(number: int) -> bytes:
    """Points of series that no request before had."""
    request = ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    metric = resource.scope_metrics.add().metrics.add()
    metric.name = "gen_ai.client.operation.duration"
    metric.unit = "s"
    metric.histogram.aggregation_temporality = (
        AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
    )
    for index in range(_POINTS):
        point = metric.histogram.data_points.add()
        point.time_unix_nano = time.time_ns()
        point.count = index
        point.sum = _ABSURD[index % len(_ABSURD)]
        attributes = {
            "gen_ai.request.model": f"m-{index % 20}",
            "gen_ai.operation.name": "chat",
            "server.address": f"{number}-{index}",
        }
        point.attributes.extend(
            KeyValue(key=key, value=AnyValue(string_value=text)) for key, text in attributes.items()
        )
    return request.SerializeToString()


@cache
def _bomb() -> bytes:
    return gzip.compress(bytes(_UNPACKED_BYTES), 1)


@cache
def _noise() -> bytes:
    return os.urandom(_NOISE_BYTES)
