"""Requests to export metrics as the SDK's own encoder makes them, at times that a test chooses."""

import math
from collections.abc import Mapping, Sequence

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

MODEL = "llama-70b"
OLD = {"gen_ai.system": "openai"}
NEW = {"gen_ai.provider.name": "openai"}
CUMULATIVE, DELTA = AggregationTemporality.CUMULATIVE, AggregationTemporality.DELTA
TOKEN_BOUNDS = (64.0, 1024.0)
_NANO = 10**9


def tokens(
    kind: str,
    total: float,
    *,
    at: float,
    start: float = 0.0,
    generation: Mapping[str, str] = NEW,
    temporality: AggregationTemporality = CUMULATIVE,
    **more: str,
) -> Metric:
    """`gen_ai.client.token.usage`: requests of 100 tokens each."""
    count = round(total / 100) if math.isfinite(total) else 1
    point = HistogramDataPoint(
        attributes={
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": MODEL,
            "gen_ai.token.type": kind,
            **generation,
            **more,
        },
        start_time_unix_nano=round(start * _NANO),
        time_unix_nano=round(at * _NANO),
        count=count,
        sum=total,
        bucket_counts=(0, count, 0),
        explicit_bounds=TOKEN_BOUNDS,
        min=100,
        max=100,
    )
    data = Histogram(data_points=[point], aggregation_temporality=temporality)
    return Metric(name="gen_ai.client.token.usage", description="", unit="{token}", data=data)


def durations(
    count: int,
    total: float,
    *,
    at: float,
    name: str = "gen_ai.client.operation.duration",
    **attributes: str,
) -> Metric:
    point = HistogramDataPoint(
        attributes={
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": MODEL,
            **NEW,
            **attributes,
        },
        start_time_unix_nano=0,
        time_unix_nano=round(at * _NANO),
        count=count,
        sum=total,
        bucket_counts=(count, 0),
        explicit_bounds=(10.0,),
        min=0,
        max=0,
    )
    data = Histogram(data_points=[point], aggregation_temporality=CUMULATIVE)
    return Metric(name=name, description="", unit="s", data=data)


def counter(
    name: str, value: float, *, at: float, start: float = 0.0, unit: str = "1", **attributes: str
) -> Metric:
    point = NumberDataPoint(
        attributes={"gen_ai.operation.name": "chat", "gen_ai.request.model": MODEL, **attributes},
        start_time_unix_nano=round(start * _NANO),
        time_unix_nano=round(at * _NANO),
        value=value,
    )
    data = Sum(data_points=[point], aggregation_temporality=CUMULATIVE, is_monotonic=True)
    return Metric(name=name, description="", unit=unit, data=data)


def gauge_changes(name: str, value: float, *, at: float) -> Metric:
    """By how much a number that may fall has changed."""
    point = NumberDataPoint(
        attributes={}, start_time_unix_nano=0, time_unix_nano=round(at * _NANO), value=value
    )
    data = Sum(data_points=[point], aggregation_temporality=DELTA, is_monotonic=False)
    return Metric(name=name, description="", unit="1", data=data)


def request(*metrics: Metric, **resource: str) -> bytes:
    """The body of one request; without attributes, of a process that says only its service."""
    attributes = {key.replace("__", "."): value for key, value in resource.items()}
    scope: Sequence[ScopeMetrics] = [
        ScopeMetrics(scope=InstrumentationScope("test"), metrics=list(metrics), schema_url="")
    ]
    data = MetricsData(
        resource_metrics=[
            ResourceMetrics(
                resource=Resource({"service.name": "shop", **attributes}),
                scope_metrics=scope,
                schema_url="",
            )
        ]
    )
    return encode_metrics(data).SerializeToString()
