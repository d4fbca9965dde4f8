"""Decodes requests to export metrics over OTLP to points, named as Prometheus names them.

Presets have Prometheus' names, so that one preset reads a scrape, a Prometheus and OTLP. GenAI
attributes of the conventions up to 1.36 get their present names here.
"""

import math
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from scaler.sources.otlp_point import Decoded, Identity, Point, PointKind, UndecodableError

GROUPS_MAX: Final = 10_000
"""Resources, scopes and metrics of one request."""
POINTS_MAX: Final = 20_000
"""Of one request."""
ATTRIBUTES_MAX: Final = 128
"""Of a resource or of a point."""
ATTRIBUTES_CHARACTERS_MAX: Final = 2**13
"""Of all names and values of a resource or of a point: each of 20,000 series keeps both."""
TEXT_CHARACTERS_MAX: Final = 256
"""Of a name or value, which is cut there: a process reports its whole command line."""
BUCKETS_MAX: Final = 200
"""The conventions have 14."""
_DELTA: Final = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
_NO_VALUE: Final = 1
"""The flag of a point that says only that its series has ended."""
_UNITS: Final = {"s": "_seconds", "ms": "_milliseconds", "By": "_bytes"}
_RENAMED: Final = {"gen_ai_system": "gen_ai_provider_name"}
_TOO_MANY: Final = (
    f"over {ATTRIBUTES_MAX} attributes, or over {ATTRIBUTES_CHARACTERS_MAX} characters of them"
)
_OF_PROCESS: Final = {
    "k8s.cluster.name": "cluster",
    "k8s.namespace.name": "namespace",
    "k8s.pod.name": "pod",
    "service.name": "service_name",
    "service.namespace": "service_namespace",
    "service.version": "service_version",
    "deployment.environment.name": "deployment_environment_name",
}
"""Attribute of a process → the label that a scrape of it would have."""

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
            process = _process_of(group.resource)
            if process is None:
                rejected[f"a resource with {_TOO_MANY}"] += 1
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

    def _taken(self, metric: Metric, process: "_Process", scope: str) -> Iterator[Point | str]:
        """The points of a metric, or for each why it cannot be taken."""
        name = self._name(metric)
        if name is None:
            return
        kind, temporality = _kind_of(metric)
        for one in _points_of(metric):
            if one.flags & _NO_VALUE:
                continue
            own, (values, bounds) = _identity(one.attributes), _numbers(one)
            fault = _temporality_fault(kind, temporality) or _fault(one, kind, values, bounds)
            if own is None or fault:
                yield fault or _TOO_MANY
                continue
            labels = _genai({_label(key): value for key, value in own})
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
        for name in _prometheus_names(metric.name[cut], metric.unit[cut]):
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


@lru_cache(maxsize=1024)
def _prometheus_names(name: str, unit: str) -> tuple[str, ...]:
    """The names that Prometheus may give a metric, with its unit first."""
    plain = _label(name)
    suffix = _UNITS.get(unit, "")
    return (plain + suffix, plain) if suffix and not plain.endswith(suffix) else (plain,)


@lru_cache(maxsize=1024)
def _label(name: str) -> str:
    plain = re.sub(r"[^a-zA-Z0-9_:]", "_", name)
    return _RENAMED.get(plain, plain)


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


def _genai(labels: dict[str, str]) -> dict[str, str]:
    """The labels with the requested model, which some instrumentations leave out."""
    answered = labels.get("gen_ai_response_model")
    if answered and not labels.get("gen_ai_request_model"):
        return {**labels, "gen_ai_request_model": answered}
    return labels


@dataclass(frozen=True, slots=True)
class _Process:
    """The process that reports."""

    resource: Identity
    labels: Mapping[str, str]
    """Those that a scrape of it would have."""


def _process_of(resource: Resource) -> _Process | None:
    """None with too many attributes."""
    identity = _identity(resource.attributes)
    if identity is None:
        return None
    given = dict(identity)
    labels = {label: given[key] for key, label in _OF_PROCESS.items() if given.get(key)}
    names = [given.get("service.namespace"), given.get("service.name")]
    labels["job"] = "/".join(filter(None, names)) or "unnamed"
    instance = given.get("service.instance.id") or _machine(given)
    return _Process(identity, {**labels, "instance": instance} if instance else labels)


def _machine(given: dict[str, str]) -> str:
    names = [given.get("host.name"), given.get("process.pid")]
    return ":".join(filter(None, names))


def _identity(attributes: Sequence[KeyValue]) -> Identity | None:
    """All attributes in order; None with too many, or too long ones."""
    if len(attributes) > ATTRIBUTES_MAX:
        return None
    cut = slice(TEXT_CHARACTERS_MAX)
    found = sorted((one.key[cut], _text(one.value)[cut]) for one in attributes)
    characters = sum(len(name) + len(value) for name, value in found)
    return None if characters > ATTRIBUTES_CHARACTERS_MAX else tuple(found)


def _text(value: AnyValue) -> str:
    match value.WhichOneof("value"):
        case "string_value":
            return value.string_value
        case "int_value":
            return str(value.int_value)
        case "double_value":
            return str(value.double_value)
        case "bool_value":
            return str(value.bool_value).lower()
        case "array_value":
            return ",".join(_elements(value))
        case _:
            return ""


def _elements(value: AnyValue) -> Iterator[str]:
    for one in value.array_value.values[:ATTRIBUTES_MAX]:
        # One level: a sender may nest lists without end.
        yield "" if one.WhichOneof("value") == "array_value" else _text(one)
