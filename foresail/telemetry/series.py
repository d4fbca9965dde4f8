"""The series of the page `/metrics` as OTLP metrics, sent once a minute.

They are made from the same families as the page, so that both say the same. A thread of its own
sends them; while it waits for the receiver, later ones are left out.
"""

import asyncio
import math
import os
import queue
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Final

import structlog
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExporter,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.samples import Sample

from foresail.telemetry.begun import Families
from foresail.telemetry.exporters import SCOPE
from scaler.clock import Clock

log = structlog.get_logger()

INTERVAL_VARIABLE: Final = "OTEL_METRIC_EXPORT_INTERVAL"
_INTERVAL_MILLISECONDS: Final = 60_000.0
_CUMULATIVE: Final = AggregationTemporality.CUMULATIVE
_NANO: Final = 10**9
_CREATED: Final = "_created"

_Labels = tuple[tuple[str, str], ...]


class SeriesPush:
    """Sends what `begin` finds, in an interval."""

    def __init__(
        self,
        exporter: MetricExporter,
        resource: Resource,
        begin: Callable[[], Callable[[], Families]],
        wall: Clock,
    ) -> None:
        """Send nothing yet.

        Args:
            begin: called in the event loop; what it returns makes the families, in a thread.
        """
        self._exporter = exporter
        self._resource = resource
        self._begin = begin
        self._wall = wall
        self._started_ns = round(wall() * _NANO)
        self._waiting: queue.Queue[Callable[[], Families]] = queue.Queue(1)
        threading.Thread(target=self._send, name="telemetry-metrics", daemon=True).start()

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await asyncio.sleep(interval_seconds())
            try:
                self._waiting.put_nowait(self._begin())
            except queue.Full:
                log.debug("metrics_not_sent", why="the last ones are still under way")

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def _send(self) -> None:
        while True:
            make = self._waiting.get()
            try:
                data = metrics_data(
                    make(),
                    self._resource,
                    started_ns=self._started_ns,
                    now_ns=round(self._wall() * _NANO),
                )
                self._exporter.export(data)
            except Exception:  # a fault here must not end what the page does without
                log.exception("metrics_not_sent")


def interval_seconds() -> float:
    """The interval of the environment; a faulty one is the default, as in the SDK."""
    try:
        given = float(os.environ.get(INTERVAL_VARIABLE, _INTERVAL_MILLISECONDS))
    except ValueError:
        given = _INTERVAL_MILLISECONDS
    return (given if 0 < given < math.inf else _INTERVAL_MILLISECONDS) / 1000


def metrics_data(
    families: Families, resource: Resource, *, started_ns: int, now_ns: int
) -> MetricsData:
    """The families as one export.

    Args:
        started_ns: when counts without a time of their own began.
    """
    every = list(families)
    created = {
        (sample.name.removesuffix(_CREATED), _labels(sample)): round(sample.value * _NANO)
        for family in every
        for sample in family.samples
        if sample.name.endswith(_CREATED)
    }

    def start_ns(name: str, labels: _Labels) -> int:
        return created.get((name, labels), started_ns)

    metrics = [
        metric
        for family in every
        if not family.name.endswith(_CREATED)
        for metric in _metrics(family, start_ns, now_ns)
    ]
    scope = ScopeMetrics(scope=InstrumentationScope(SCOPE), metrics=metrics, schema_url="")
    return MetricsData(
        resource_metrics=[ResourceMetrics(resource=resource, scope_metrics=[scope], schema_url="")]
    )


def _metrics(
    family: Family, start_ns: Callable[[str, _Labels], int], now_ns: int
) -> Iterator[Metric]:
    match family.type:
        case "counter":
            points = [
                _point(one, start_ns(family.name, _labels(one)), now_ns)
                for one in family.samples
                if one.name.endswith("_total")
            ]
            if points:
                yield _metric(family, Sum(points, _CUMULATIVE, is_monotonic=True))
        case "histogram":
            histograms = [
                _histogram(dict(labels), samples, start_ns(family.name, labels), now_ns)
                for labels, samples in _by_labels(family.samples).items()
            ]
            if histograms:
                yield _metric(family, Histogram(histograms, _CUMULATIVE))
        case "gauge" | "unknown" | "info":
            gauges = [_point(one, 0, now_ns) for one in family.samples]
            if gauges:
                yield _metric(family, Gauge(gauges))
        case _:  # a summary's quantiles; Foresail has none
            return


def _metric(family: Family, data: Sum | Gauge | Histogram) -> Metric:
    return Metric(name=family.name, description=family.documentation, unit="", data=data)


def _point(sample: Sample, start_ns: int, now_ns: int) -> NumberDataPoint:
    return NumberDataPoint(
        attributes=dict(sample.labels),
        start_time_unix_nano=start_ns,
        time_unix_nano=now_ns,
        value=sample.value,
    )


def _histogram(
    labels: Mapping[str, str], samples: Iterable[Sample], start_ns: int, now_ns: int
) -> HistogramDataPoint:
    below: dict[float, float] = {}
    total = 0.0
    for sample in samples:
        if sample.name.endswith("_bucket"):
            below[float(sample.labels["le"])] = sample.value
        elif sample.name.endswith("_sum"):
            total = sample.value
    bounds = sorted(below)
    up_to = [0.0, *(below[bound] for bound in bounds)]
    counts = [round(after - before) for before, after in pairwise(up_to)]
    return HistogramDataPoint(
        attributes=labels,
        start_time_unix_nano=start_ns,
        time_unix_nano=now_ns,
        count=sum(counts),
        sum=total,
        bucket_counts=counts,
        explicit_bounds=bounds[:-1],
        min=None,  # type: ignore[arg-type]  # unknown, and left out of what is sent
        max=None,  # type: ignore[arg-type]
    )


def _by_labels(samples: Iterable[Sample]) -> dict[_Labels, list[Sample]]:
    found: defaultdict[_Labels, list[Sample]] = defaultdict(list)
    for sample in samples:
        if not sample.name.endswith(_CREATED):
            found[_labels(sample)].append(sample)
    return dict(found)


def _labels(sample: Sample) -> _Labels:
    return tuple(sorted(pair for pair in sample.labels.items() if pair[0] != "le"))
