"""Decodes requests to export metrics over OTLP to points, named as Prometheus names them."""

import math
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
)

from scaler.sources.otlp_labels import (
    TEXT_CHARACTERS_MAX,
    TOO_MANY,
    Process,
    genai_labels,
    identity_of,
    label_name,
    process_of,
    prometheus_names,
)
from scaler.sources.otlp_point import Decoded, Identity, Point, PointKind, UndecodableError

GROUPS_MAX: Final = 10_000
"""Resources, scopes and metrics of one request."""
POINTS_MAX: Final = 20_000
"""Of one request."""
BUCKETS_MAX: Final = 200
"""The conventions have 14."""
_DELTA: Final = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
_NO_VALUE: Final = 1
"""The flag of a point that says only that its series has ended."""

_DataPoint = NumberDataPoint | HistogramDataPoint | ExponentialHistogramDataPoint


def accepted(rejected: Counter[str]) -> bytes:
    """The answer to a request: all were taken, or how many were not and why."""
    answer = ExportMetricsServiceResponse()
    if rejected:
        reasons = "; ".join(f"{why}: {count}" for why, count in sorted(rejected.items()))
        answer.partial_success.CopyFrom(
            ExportMetricsPartialSuccess(
                rejected_data_points=rejected.total(), error_message=f"not taken: {reasons}"
            )
        )
    return answer.SerializeToString()


class Decoder:
    """Decodes the series that some preset reads."""

    def __init__(self, names: Collection[str], *, points_max: int = POINTS_MAX) -> None:
        """Take the names of series, each in every spelling."""
        self._names = frozenset(names)
        self._points_max = points_max

    def decode(self, body: bytes) -> Decoded:
        """The points of a request.

        Raises:
            UndecodableError: the body is none, or has too many parts.
        """
        try:
            request = ExportMetricsServiceRequest.FromString(body)
        except DecodeError as error:
            message = "the body is no ExportMetricsServiceRequest in protobuf"
            raise UndecodableError(message) from error
        _check_size(request, self._points_max)
        points: list[Point] = []
        reported: dict[Identity, int] = {}
        rejected: Counter[str] = Counter()
        for group in request.resource_metrics:
            process = process_of(group.resource)
            if process is None:
                rejected[f"a resource with {TOO_MANY}"] += 1
                continue
            for scope in group.scope_metrics:
                for metric in scope.metrics:
                    at_ns = max((one.time_unix_nano for one in _points_of(metric)[-1:]), default=0)
                    reported[process.resource] = max(at_ns, reported.get(process.resource, 0))
                    for taken in self._taken(metric, process, scope.scope.name):
                        if isinstance(taken, Point):
                            points.append(taken)
                        else:
                            rejected[taken] += 1
        return Decoded(points=tuple(points), reported_ns=reported, rejected=rejected)

    def _taken(self, metric: Metric, process: Process, scope: str) -> Iterator[Point | str]:
        """The points of a metric, or for each why it cannot be taken."""
        name = self._name(metric)
        if name is None:
            return
        kind, temporality = _kind_of(metric)
        for one in _points_of(metric):
            if one.flags & _NO_VALUE:
                continue
            own, (values, bounds) = identity_of(one.attributes), _numbers(one)
            fault = _temporality_fault(kind, temporality) or _fault(one, kind, values, bounds)
            if own is None or fault:
                yield fault or TOO_MANY
                continue
            labels = genai_labels({label_name(key): value for key, value in own})
            yield Point(
                name=name,
                kind=kind,
                resource=process.resource,
                labels={**process.labels, **labels},
                identity=(*own, ("", scope[:TEXT_CHARACTERS_MAX])),
                is_delta=temporality == _DELTA,
                start_ns=one.start_time_unix_nano,
                at_ns=one.time_unix_nano,
                values=values,
                bounds=bounds,
            )

    def _name(self, metric: Metric) -> str | None:
        """The name by which some preset reads the metric; None = nobody does."""
        # Cut before they are remembered: a name may have as many bytes as a request.
        cut = slice(TEXT_CHARACTERS_MAX)
        for name in prometheus_names(metric.name[cut], metric.unit[cut]):
            match metric.WhichOneof("data"):
                case "histogram" | "exponential_histogram":
                    if any(name + part in self._names for part in ("_bucket", "_sum", "_count")):
                        return name
                case "sum" if metric.sum.is_monotonic:
                    for candidate in (name, f"{name}_total"):
                        if candidate in self._names:
                            return candidate
                case _:
                    if name in self._names:
                        return name
        return None


def _check_size(request: ExportMetricsServiceRequest, points_max: int) -> None:
    # Lengths alone at first: each element that is looked at becomes an object of Python, and a
    # request of 4 MiB may have two million.
    groups = len(request.resource_metrics)
    for count_of in (_scopes_in, _metrics_in):
        if groups <= GROUPS_MAX:
            groups += sum(map(count_of, request.resource_metrics))
    if groups > GROUPS_MAX:
        message = f"over {GROUPS_MAX} resources, scopes and metrics in one request"
        raise UndecodableError(message)
    count = sum(
        len(_points_of(metric))
        for one in request.resource_metrics
        for scope in one.scope_metrics
        for metric in scope.metrics
    )
    if count > points_max:
        message = f"{count} points in one request, over {points_max}: send smaller batches"
        raise UndecodableError(message)


def _scopes_in(group: ResourceMetrics) -> int:
    return len(group.scope_metrics)


def _metrics_in(group: ResourceMetrics) -> int:
    return sum(len(scope.metrics) for scope in group.scope_metrics)


def _points_of(metric: Metric) -> Sequence[_DataPoint]:
    match metric.WhichOneof("data"):
        case "gauge":
            return metric.gauge.data_points
        case "sum":
            return metric.sum.data_points
        case "histogram":
            return metric.histogram.data_points
        case "exponential_histogram":
            return metric.exponential_histogram.data_points
        case _:  # a summary's quantiles cannot be added up
            return ()


def _kind_of(metric: Metric) -> tuple[PointKind, int]:
    match metric.WhichOneof("data"):
        case "histogram":
            return PointKind.HISTOGRAM, metric.histogram.aggregation_temporality
        case "exponential_histogram":
            return PointKind.HISTOGRAM, metric.exponential_histogram.aggregation_temporality
        case "sum":
            kind = PointKind.COUNTER if metric.sum.is_monotonic else PointKind.GAUGE
            return kind, metric.sum.aggregation_temporality
        case _:
            return PointKind.GAUGE, 0


def _numbers(one: _DataPoint) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The values of a point, and the bounds of its buckets."""
    match one:
        case HistogramDataPoint():
            counts = tuple(float(count) for count in one.bucket_counts) or (float(one.count),)
            bounds = tuple(one.explicit_bounds) if one.bucket_counts else ()
            return (_sum_of(one), float(one.count), *counts), bounds
        case ExponentialHistogramDataPoint():
            # Its bounds change with its scale, so that counts of two exports cannot be subtracted.
            return (_sum_of(one), float(one.count), float(one.count)), ()
        case _:
            is_whole = one.WhichOneof("value") == "as_int"
            return (float(one.as_int) if is_whole else one.as_double,), ()


def _sum_of(one: HistogramDataPoint | ExponentialHistogramDataPoint) -> float:
    """NaN where the sender gives none: it is not zero."""
    return one.sum if one.HasField("sum") else math.nan


def _temporality_fault(kind: PointKind, temporality: int) -> str:
    if kind is PointKind.GAUGE:
        return "changes of a sum that may fall" if temporality == _DELTA else ""
    return "" if temporality else "neither delta nor cumulative"


def _fault(
    one: _DataPoint, kind: PointKind, values: tuple[float, ...], bounds: tuple[float, ...]
) -> str:
    """Why a point cannot be taken; empty where it can."""
    if not one.time_unix_nano:
        return "no time"
    # Of a histogram the sum may be missing.
    least = -math.inf if kind is PointKind.GAUGE else 0.0
    if not all(least <= value < math.inf or math.isnan(value) for value in values[:1]):
        return "infinite, or a count below zero"
    if kind is not PointKind.HISTOGRAM and math.isnan(values[0]):
        return "not a number"
    rise = list(bounds) == sorted({*bounds}) and len(bounds) <= BUCKETS_MAX
    if isinstance(one, HistogramDataPoint) and not (rise and len(values) == len(bounds) + 3):
        return "buckets that do not fit their bounds, or too many"
    return ""
