"""Samples sorted into time series, under the names that the engine gave them.

Between engine and reader one series may be renamed, relabelled and copied: two spellings, two
scrape jobs, an HA pair of Prometheus servers. So a `TimeSeries` keeps three things apart: its
exporter, its identity at that exporter, and the way it came (its *view*). Copies differ in the view
alone, so they are counted once. They are not merged, because the clocks of two scrapers differ by
milliseconds, which would make a counter fall.
"""

import itertools
import math
import operator
import sys
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from typing_extensions import override

from scaler.limits import Limit, exceeded
from scaler.sources.preset import Identity, Preset
from scaler.sources.series_room import SeriesRoom

LABEL_CHARACTERS_MAX: Final = 256
"""Of a label's name or value; a longer one is cut there. No name of Kubernetes and no `model` of a
trigger is longer than 253, so none is equal to what was cut."""
COUNTER_MAX: Final = 1e15
"""Thirty years of a million tokens a second. A counter that wrapped is above that, and its return
to what it was would else pass for a restart that counts all its tokens again."""
_FINITE_MAX: Final = sys.float_info.max


def bounded(labels: dict[str, str]) -> dict[str, str]:
    """Labels as they come from outside, with names and values cut at `LABEL_CHARACTERS_MAX`.

    Messages name them: neither Prometheus nor a pod limits their length.
    """
    if max(map(len, itertools.chain(labels, labels.values())), default=0) <= LABEL_CHARACTERS_MAX:
        return labels
    return dict(zip(shortened(labels), shortened(labels.values()), strict=True))


def shortened(texts: Iterable[str]) -> list[str]:
    """Names or values of labels, those cut that are too long."""
    found = [text[:LABEL_CHARACTERS_MAX] for text in texts]
    if any(map(operator.ne, found, texts)):
        exceeded(Limit.LABEL)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One measured number, as an exporter or Prometheus gave it."""

    name: str
    labels: Mapping[str, str]
    value: float
    at_seconds: float
    """Unix time at which it was scraped."""

    @property
    def points(self) -> tuple[tuple[float, float]]:
        """As of a `SampledSeries`."""
        return ((self.at_seconds, self.value),)


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledSeries:
    """The samples of one series in an answer of Prometheus."""

    name: str
    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]
    """(Unix seconds, value)."""

    def samples(self) -> Iterator[Sample]:
        """Its samples one by one."""
        for at_seconds, value in self.points:
            yield Sample(name=self.name, labels=self.labels, value=value, at_seconds=at_seconds)


@dataclass(frozen=True, slots=True, order=True)
class Exporter:
    """A pod where its name is known, else the scraped address."""

    place: tuple[str, ...]
    """Cluster and namespace, if labels name them."""
    pod: str
    instance: str
    """Empty where the pod is known: a pod scraped by two jobs is still one."""
    worker: tuple[str, ...]

    @override
    def __str__(self) -> str:
        parts = (*self.place, self.pod or self.instance or "unnamed exporter", *self.worker)
        return "/".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class Origin:
    """The labels that a series got on its way from the engine."""

    exporter: Exporter
    instance: str
    labels: tuple[tuple[str, str], ...]
    """Every label that is not the engine's own."""


@dataclass(slots=True)
class TimeSeries:
    """One copy of one series of one exporter, with its recent points, oldest first."""

    name: str
    """The engine's own name for it."""
    spelling: str
    """The name it arrived with."""
    origin: Origin
    labels: Mapping[str, str]
    """The engine's own labels."""
    upper_bound: float
    """Of a histogram's bucket, as a number: `1` and `1.0` are one bound. NaN for what is none."""
    kept_bytes: int = 0
    """Counted of the workload's room."""
    points: list[tuple[float, float]] = field(default_factory=list)
    """(Unix seconds, value), no two at one time."""

    @property
    def series(self) -> tuple[object, ...]:
        """Equal for the copies of one series of an exporter."""
        own = sorted(pair for pair in self.labels.items() if pair[0] != "le")
        return (*own, "" if math.isnan(self.upper_bound) else self.upper_bound)

    @property
    def view(self) -> tuple[tuple[str, str], ...]:
        """The way it came; copies of a series differ only in this."""
        return ("", self.spelling), *self.origin.labels

    @property
    def newest_seconds(self) -> float:
        return self.points[-1][0]

    @property
    def newest(self) -> float:
        return self.points[-1][1]

    def add(self, points: Sequence[tuple[float, float]]) -> None:
        newest = self.points[-1][0] if self.points else -math.inf
        self.points.extend(points)
        for at_seconds, _ in points:
            if not at_seconds > newest:
                # Late or twice: the first value for a time stays, because a plan may have used it.
                self.points[:] = sorted(dict(reversed(self.points)).items())
                return
            newest = at_seconds

    def since(self, start_seconds: float) -> None:
        """Forget what is older."""
        if self.points and self.points[0][0] < start_seconds:
            self.points[:] = [point for point in self.points if point[0] >= start_seconds]

    def until(self, end_seconds: float) -> None:
        """Forget what is newer."""
        if self.points[-1][0] > end_seconds:
            self.points[:] = [point for point in self.points if point[0] <= end_seconds]

    def increase(self, window_seconds: float) -> tuple[float, float] | None:
        """(Increase, seconds it took) over at least the window, as far back as there are points.

        A counter that falls was restarted and counts from zero again. None with fewer than two
        points: the first value of a counter covers an unknown time, so a new pod counts from its
        first sample on.
        """
        if len(self.points) < 2:  # noqa: PLR2004 - a difference takes two
            return None
        start = self.newest_seconds - window_seconds
        first = max(0, bisect_right(self.points, (start, math.inf)) - 1)
        covered = self.points[min(first, len(self.points) - 2) :]
        total = 0.0
        for (_, before), (_, after) in itertools.pairwise(covered):
            total += after - before if after >= before else after
        return total, covered[-1][0] - covered[0][0]


class SeriesStore:
    """All time series of one workload, bounded by age."""

    def __init__(self, preset: Preset, room: SeriesRoom | None = None) -> None:
        """Begin without series.

        Args:
            preset: whose series are kept.
            room: for them; None = of a store that one look makes and lets go.
        """
        self._preset = preset
        self._room = room
        # Sorted pairs: of six labels a frozenset takes 640 bytes more.
        self._by_key: dict[tuple[str, tuple[tuple[str, str], ...]], TimeSeries] = {}
        self._origins: dict[tuple[tuple[str, str], ...], Origin] = {}

    def add(
        self, samples: Iterable[Sample | SampledSeries], *, latest_seconds: float
    ) -> Counter[str]:
        """Take the preset's samples; returns the count of refused ones by reason.

        Raises:
            SourceUnavailableError: there is no room for so many series.
        """
        refused: Counter[str] = Counter()
        spelled, counters = self._preset.spelled, self._preset.counters
        for sampled in samples:
            name = spelled.get(sampled.name)
            if name is None:
                continue
            counts, points = name in counters, sampled.points
            least, most = (0.0, COUNTER_MAX) if counts else (-_FINITE_MAX, _FINITE_MAX)
            for at_seconds, value in points:
                if at_seconds > latest_seconds or not least <= value <= most:
                    points = _usable(points, refused, latest_seconds=latest_seconds, counts=counts)
                    break
            if points:
                self._series_of(sampled).add(points)
        return refused

    def _series_of(self, sample: Sample | SampledSeries) -> TimeSeries:
        key = (sample.name, tuple(sorted(sample.labels.items())))
        series = self._by_key.get(key)
        if series is None:
            kept_bytes = 0 if self._room is None else self._room.take(sample.labels)
            series = self._by_key[key] = self._begun(sample)
            series.kept_bytes = kept_bytes
        return series

    def _begun(self, sample: Sample | SampledSeries) -> TimeSeries:
        own: dict[str, str] = {}
        foreign: list[tuple[str, str]] = []
        own_labels = self._preset.own_labels
        for pair in sample.labels.items():
            if pair[0] in own_labels:
                own[pair[0]] = pair[1]
            else:
                foreign.append(pair)
        # A page has a hundred series and one origin.
        labels = tuple(sorted(foreign))
        origin = self._origins.get(labels)
        if origin is None:
            pairs = tuple(bounded(dict(labels)).items())
            origin = self._origins[labels] = _origin(self._preset.identity, pairs)
        return TimeSeries(
            name=self._preset.spelled[sample.name],
            spelling=sample.name,
            origin=origin,
            labels=bounded(own),
            upper_bound=_bound(own["le"]) if "le" in own else math.nan,
        )

    def forget_before(self, start_seconds: float) -> None:
        for series in self._by_key.values():
            series.since(start_seconds)
        if all(series.points for series in self._by_key.values()):
            return
        if self._room is not None:
            ended = (series.kept_bytes for series in self._by_key.values() if not series.points)
            self._room.give_back(sum(ended))
        self._by_key = {key: series for key, series in self._by_key.items() if series.points}
        self._origins = {series.origin.labels: series.origin for series in self._by_key.values()}

    def forget_after(self, end_seconds: float) -> None:
        """Forget newer points, which a clock made that was set back since."""
        for series in self._by_key.values():
            series.until(end_seconds)

    def by_exporter(self) -> dict[Exporter, dict[str, list[TimeSeries]]]:
        """Exporter → the engine's series name → time series, exporters in order.

        A scrape job that gives no pod label shares the address with one that does; those are one.
        """
        pods: defaultdict[tuple[str, tuple[str, ...]], set[Exporter]] = defaultdict(set)
        for origin in self._origins.values():
            if origin.exporter.pod:
                pods[origin.instance, origin.exporter.worker].add(origin.exporter)
        found: dict[Exporter, dict[str, list[TimeSeries]]] = {}
        of_origin: dict[int, dict[str, list[TimeSeries]]] = {}
        for series in self._by_key.values():
            by_name = of_origin.get(id(series.origin))
            if by_name is None:
                exporter = series.origin.exporter
                if not exporter.pod:
                    known = pods.get((exporter.instance, exporter.worker), set())
                    exporter = next(iter(known)) if len(known) == 1 else exporter
                by_name = of_origin[id(series.origin)] = found.setdefault(exporter, {})
            by_name.setdefault(series.name, []).append(series)
        return dict(sorted(found.items()))


def _usable(
    points: Iterable[tuple[float, float]],
    refused: Counter[str],
    *,
    latest_seconds: float,
    counts: bool,
) -> list[tuple[float, float]]:
    """Those points that can be used; the others are counted by reason."""
    usable = []
    for point in points:
        at_seconds, value = point
        if not math.isfinite(value):
            refused["not a number"] += 1
        elif at_seconds > latest_seconds:
            refused["from the future"] += 1
        elif counts and not 0 <= value <= COUNTER_MAX:
            which = "below zero" if value < 0 else f"above {COUNTER_MAX:g}"
            refused[f"a counter {which}"] += 1
        else:
            usable.append(point)
    return usable


def _bound(le: str) -> float:
    """The bound of a bucket; of what is none the one NaN, which is equal to itself in a set."""
    try:
        bound = float(le)
    except ValueError:
        return math.nan
    return math.nan if math.isnan(bound) else bound


def _origin(identity: Identity, pairs: tuple[tuple[str, str], ...]) -> Origin:
    labels = dict(pairs)
    pod = _first(identity.pod, labels)
    instance = _first(identity.instance, labels)
    exporter = Exporter(
        tuple(_first(group, labels) for group in identity.place),
        pod,
        "" if pod else instance,
        tuple(labels.get(label, "") for label in identity.worker),
    )
    return Origin(exporter, instance, pairs)


def _first(names: Sequence[str], labels: Mapping[str, str]) -> str:
    return next((labels[name] for name in names if labels.get(name)), "")


def quantile(buckets: Mapping[float, float], q: float) -> float | None:
    """The `q` quantile of a histogram's counts at or below each upper bound, None without any.

    As Prometheus' `histogram_quantile`: linear inside a bucket, the lowest one starting at 0; in
    the `+Inf` bucket the highest finite bound. Counts are made to never fall with the bound, which
    they can when replicas have different buckets.
    """
    bounds = sorted(buckets)
    if not bounds or bounds[-1] != math.inf:
        return None
    counts: list[float] = []
    for bound in bounds:
        counts.append(max(buckets[bound], counts[-1] if counts else 0.0))
    if counts[-1] <= 0 or len(bounds) == 1:
        return None
    rank = q * counts[-1]
    at = next(index for index, count in enumerate(counts) if count >= rank)
    if bounds[at] == math.inf:
        return bounds[at - 1]
    lower, below = (bounds[at - 1], counts[at - 1]) if at else (min(0.0, bounds[0]), 0.0)
    within = counts[at] - below
    return bounds[at] if within <= 0 else lower + (bounds[at] - lower) * (rank - below) / within
