"""The series that senders report over OTLP, each as one count that only grows.

A scrape asks a process for all its counts. Over OTLP a process says them when it likes, as totals
or as changes since the last time. This store makes the same of both:

* Totals of another start time are another series. So a restart is no fall, and two processes that
  carry the same attributes are two series. What a restarted process counted before it was first
  heard is added, because its predecessor says that nothing of it was seen.
* Changes are added up, however many processes share their attributes. A request that was sent twice
  counts once. A process sends no change while nothing happens, so a series without a change stands
  still while anything of its process arrives. After that it is as old as the last report.
* Times are the senders', as in Prometheus. Points of the future are refused.

The store is bounded. When it is full, series that still report keep their place, and new ones wait
until others have ended.
"""

import hashlib
import math
import threading
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from scaler.limits import Limit, exceeded
from scaler.sources.otlp_point import Decoded, Identity, Point, PointKind
from scaler.sources.series import Sample

SERIES_LABEL: Final = "otel_series"
"""The label that tells series of one process apart, for presets that count it as the engine's."""
SERIES_MAX: Final = 20_000
SERIES_OF_PROCESS_MAX: Final = 2000
"""As an SDK's own limit for one metric."""
FUTURE_SECONDS: Final = 60.0
_NANO: Final = 1e-9
_SWEEP_NS: Final = 5 * 10**9
_EXACT_MAX: Final = 2.0**53
"""Of changes that are added up: to a larger number a request adds nothing, and its rate is zero."""
_NO_COUNT: Final = "changes of over 2^53, which no count of requests or tokens has"
_REMEMBERED: Final = 8
"""Reports of changes of one series: a sender that got no answer sends its last ones again."""

_Family = tuple[str, str, Identity, Identity, tuple[float, ...], bool]


@dataclass(slots=True, kw_only=True)
class _Series:
    name: str
    kind: PointKind
    labels: Mapping[str, str]
    resource: Identity
    bounds: tuple[float, ...]
    is_delta: bool
    values: tuple[float, ...]
    at_ns: int
    start_ns: int
    begun_ns: int | None
    """When it stood at zero; None = not known, because it was counting before it was heard."""
    reports: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))


class PushedSeries:
    """All series of one receiver. Safe to be used from several threads."""

    def __init__(
        self,
        model_labels: frozenset[str],
        *,
        keep_seconds: float,
        series_max: int = SERIES_MAX,
        series_of_process_max: int = SERIES_OF_PROCESS_MAX,
    ) -> None:
        """Begin without series.

        Args:
            model_labels: of all presets: the labels that may name a model.
            keep_seconds: without a report, before a series is forgotten.
        """
        self._model_labels = sorted(model_labels)
        self._keep_ns = round(keep_seconds / _NANO)
        self._series_max = series_max
        self._of_process_max = series_of_process_max
        self._lock = threading.Lock()
        self._by_models: dict[Identity, dict[_Family, dict[int, _Series]]] = {}
        """Labels that may name the model → what makes series one family → start → series."""
        self._reported_ns: dict[Identity, int] = {}
        self._of_process: Counter[Identity] = Counter()
        self._count = 0
        self._swept_ns = 0
        self.heard = 0
        """Requests that were taken."""

    def take(self, decoded: Decoded, *, now_seconds: float) -> Counter[str]:
        """Take the points; the count of those that were not, by reason."""
        now_ns = round(now_seconds / _NANO)
        latest_ns = now_ns + round(FUTURE_SECONDS / _NANO)
        rejected: Counter[str] = Counter()
        with self._lock:
            self.heard += 1
            self._sweep(now_ns)
            for point in decoded.points:
                why = self._refused(point, latest_ns) or self._take(point)
                if why:
                    rejected[why] += 1
            for resource, at_ns in decoded.reported_ns.items():
                known = self._reported_ns.get(resource)
                # Only of processes that have series, which are bounded.
                if self._of_process[resource] and at_ns <= latest_ns:
                    self._reported_ns[resource] = max(at_ns, known or 0)
        if rejected or decoded.rejected:
            exceeded(Limit.OTLP_POINTS)
        return rejected

    def samples(self, model_label: str, model: str | None) -> list[Sample]:
        """The newest sample of each series of a model, and of those that name none.

        Args:
            model_label: the label that names it; another preset has another.
            model: None = every one.
        """
        with self._lock:
            return [
                sample
                for models, families in self._by_models.items()
                if model is None or dict(models).get(model_label, "") in {model, ""}
                for by_start in families.values()
                for series in by_start.values()
                for sample in self._samples(series)
            ]

    def models(self, model_label: str) -> list[str]:
        """The models that series are reported for."""
        with self._lock:
            named = {dict(models).get(model_label, "") for models in self._by_models}
            return sorted(named - {""})

    @staticmethod
    def _refused(point: Point, latest_ns: int) -> str:
        if point.at_ns > latest_ns:
            return f"over {FUTURE_SECONDS:g} s in the future: set the sender's clock"
        return _NO_COUNT if point.is_delta and _is_no_count(point.values) else ""

    def _take(self, point: Point) -> str:
        """Take one point; else why not."""
        models = tuple(
            (label, point.labels[label]) for label in self._model_labels if label in point.labels
        )
        family: _Family = (
            point.name,
            point.kind,
            point.resource,
            point.identity,
            point.bounds,
            point.is_delta,
        )
        start_ns = 0 if point.is_delta else point.start_ns
        series = self._by_models.get(models, {}).get(family, {}).get(start_ns)
        if series is not None:
            return _advance(series, point)
        no_room = self._no_room(point.resource)
        if no_room:
            return no_room
        by_start = self._by_models.setdefault(models, {}).setdefault(family, {})
        labels = {**point.labels, SERIES_LABEL: _digest(family, start_ns)}
        by_start[start_ns] = _begun(point, labels, [*by_start.values()])
        self._of_process[point.resource] += 1
        self._count += 1
        return ""

    def _no_room(self, resource: Identity) -> str:
        """Why there is no room for another series; empty where there is."""
        if self._of_process[resource] >= self._of_process_max:
            exceeded(Limit.OTLP_SERIES)
            return f"over {self._of_process_max} series of one process"
        if self._count >= self._series_max:
            exceeded(Limit.OTLP_SERIES)
            return f"over {self._series_max} series"
        return ""

    def _sweep(self, now_ns: int) -> None:
        """Now and then, forget series whose last report is too old."""
        if abs(now_ns - self._swept_ns) < _SWEEP_NS:
            return
        self._swept_ns = now_ns
        kept: dict[Identity, dict[_Family, dict[int, _Series]]] = {}
        self._of_process.clear()
        for models, families in self._by_models.items():
            for family, by_start in families.items():
                for start_ns, series in by_start.items():
                    if self._seen_ns(series) >= now_ns - self._keep_ns:
                        kept.setdefault(models, {}).setdefault(family, {})[start_ns] = series
                        self._of_process[series.resource] += 1
        self._by_models = kept
        self._count = self._of_process.total()
        for resource in [one for one in self._reported_ns if one not in self._of_process]:
            del self._reported_ns[resource]

    def _seen_ns(self, series: _Series) -> int:
        """The newest time for which the series' value is known."""
        if not series.is_delta:
            return series.at_ns
        return max(series.at_ns, self._reported_ns.get(series.resource, 0))

    def _samples(self, series: _Series) -> Iterator[Sample]:
        if series.begun_ns is not None:
            zeros = (0.0,) * len(series.values)
            yield from _exposed(series, zeros, series.begun_ns * _NANO)
        yield from _exposed(series, series.values, self._seen_ns(series) * _NANO)


def _begun(point: Point, labels: Mapping[str, str], before: list[_Series]) -> _Series:
    begun_ns = None
    if point.kind is not PointKind.GAUGE and 0 < point.start_ns < point.at_ns:
        restarted = before and max(one.at_ns for one in before) <= point.start_ns
        begun_ns = point.start_ns if point.is_delta or restarted else None
    series = _Series(
        name=point.name,
        kind=point.kind,
        labels=labels,
        resource=point.resource,
        bounds=point.bounds,
        is_delta=point.is_delta,
        values=point.values,
        at_ns=point.at_ns,
        start_ns=0 if point.is_delta else point.start_ns,
        begun_ns=begun_ns,
    )
    series.reports.append((point.start_ns, point.at_ns))
    return series


def _advance(series: _Series, point: Point) -> str:
    """Why the point is not taken; empty where it is."""
    if not series.is_delta:
        if point.at_ns > series.at_ns:
            series.values, series.at_ns = point.values, point.at_ns
        return ""
    report = (point.start_ns, point.at_ns)
    if report in series.reports:
        return ""
    pairs = zip(series.values, point.values, strict=True)
    values = tuple(before + more for before, more in pairs)
    if _is_no_count(values):
        return _NO_COUNT
    series.reports.append(report)
    series.values = values
    series.at_ns = max(series.at_ns, point.at_ns)
    return ""


def _is_no_count(values: tuple[float, ...]) -> bool:
    return any(value > _EXACT_MAX for value in values)


def _exposed(series: _Series, values: tuple[float, ...], at_seconds: float) -> Iterator[Sample]:
    """The samples that a scrape of the series would give."""

    def sample(suffix: str, value: float, **more: str) -> Sample:
        return Sample(
            name=series.name + suffix,
            labels={**series.labels, **more},
            value=value,
            at_seconds=at_seconds,
        )

    if series.kind is not PointKind.HISTOGRAM:
        yield sample("", values[0])
        return
    total, count, *buckets = values
    if not math.isnan(total):  # it was not given
        yield sample("_sum", total)
    yield sample("_count", count)
    below = 0.0
    for bound, in_bucket in zip((*map(str, series.bounds), "+Inf"), buckets, strict=True):
        below += in_bucket
        yield sample("_bucket", below, le=bound)


def _digest(family: _Family, start_ns: int) -> str:
    return hashlib.blake2b(repr((family, start_ns)).encode(), digest_size=8).hexdigest()
