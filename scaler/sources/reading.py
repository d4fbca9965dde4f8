"""Makes an observation from samples, by the engine's preset.

All rules prevent one fault, a number where none was measured:

* An exporter is read by the first of a signal's series that has a value, so pods of two engine
  versions can serve side by side and a rename in mid-run changes nothing.
* A series whose newest sample is too old belongs to a pod that is gone, while others are fresh. If
  all are old the reading is stale: the metrics stopped, not the demand.
* A counter with one sample is absent, not zero. A histogram that counted nothing has no quantile.
* A missing series is zero only if the preset names a fresh series that proves it.
* A signal that the preset distrusts is absent, and so is one beyond its physical bound.
"""

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Final, assert_never

from scaler.bounds import BOUNDS
from scaler.limits import Limit, exceeded
from scaler.signals import (
    Absent,
    LatencyCounts,
    Observation,
    Reading,
    Signal,
    Stale,
    Value,
)
from scaler.sources.outliers import outliers
from scaler.sources.page import MatchedSeries, Page, listed
from scaler.sources.preset import HISTOGRAMS, Combine, Condition, Preset, SignalRule
from scaler.sources.series import Exporter, Sample, SampledSeries, SeriesStore, quantile
from scaler.sources.series_room import SeriesRoom

_ASLEEP: Final = "every replica is asleep"
_QUANTILE: Final = 0.95
_Pages = Mapping[Exporter, Page]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How old a sample may be, and over how long a rate is taken."""

    window_seconds: float = 60.0
    """Rates and quantiles are of the last minute: short enough to see a burst, long enough for two
    samples at the usual scrape intervals of 15 and 30 s."""
    stale_after_seconds: float = 60.0
    """At least twice the scrape interval; below that, healthy series are stale between scrapes. A
    pod that died is counted for this long."""

    @property
    def keep_seconds(self) -> float:
        """The past that a reading needs: a whole window before the oldest fresh sample."""
        return self.window_seconds + self.stale_after_seconds


class ObservationReader:
    """Reads one workload; keeps only the samples that the next reading needs."""

    def __init__(
        self,
        preset: Preset,
        *,
        model: str | None = None,
        limits: Limits | None = None,
        room: SeriesRoom | None = None,
    ) -> None:
        self._preset = preset
        self._model = model
        self._limits = limits or Limits()
        self._store = SeriesStore(preset, room)

    def observe(
        self, samples: Iterable[Sample | SampledSeries], *, now_seconds: float
    ) -> Observation:
        """The observation at `now_seconds` from these samples and the ones before.

        Raises:
            SourceUnavailableError: there is no room for so many series.
        """
        earliest_seconds = now_seconds - self._limits.keep_seconds
        latest_seconds = now_seconds + self._limits.stale_after_seconds
        self._store.forget_before(earliest_seconds)  # their room is free for these
        refused = self._store.add(samples, latest_seconds=latest_seconds)
        if refused:
            exceeded(Limit.SAMPLES)
        self._store.forget_after(latest_seconds)
        self._store.forget_before(earliest_seconds)
        pages = {
            exporter: Page(
                preset=self._preset,
                model=self._model,
                window_seconds=self._limits.window_seconds,
                fresh_from_seconds=now_seconds - self._limits.stale_after_seconds,
                time_series=series,
            )
            for exporter, series in self._store.by_exporter().items()
        }
        observation = read(self._preset, pages, now_seconds=now_seconds)
        ignored = [f"samples ignored, {why}: {count}" for why, count in refused.items()]
        return replace(observation, remarks=(*ignored, *observation.remarks))


def read(preset: Preset, pages: _Pages, *, now_seconds: float) -> Observation:
    """Every signal of the preset, its latencies, and remarks on how they were read."""
    latencies: dict[Signal, LatencyCounts] = {}
    readings: dict[Signal, Reading] = {}
    matched: dict[Signal, Mapping[Exporter, MatchedSeries]] = {}
    old_names: set[str] = set()
    copies: set[str] = set()
    asleep = {
        exporter
        for exporter, page in pages.items()
        if preset.asleep is not None and page.is_asleep(preset.asleep)
    }
    for signal, rule in preset.signals.items():
        answers = {exporter: page.read(rule) for exporter, page in pages.items()}
        found = {
            key: answer for key, answer in answers.items() if isinstance(answer, MatchedSeries)
        }
        missing = [answer for answer in answers.values() if isinstance(answer, (Stale, Absent))]
        counts = _latencies(found.values()) if rule.series[0].kind in HISTOGRAMS else None
        if counts is not None:
            latencies[signal] = counts
        readings[signal] = _combined(rule, found, asleep) if found else _missing(rule, missing)
        matched[signal] = found
        old_names.update(answer.old_name for answer in found.values() if answer.old_name)
        copies.update(answer.copies for answer in found.values() if answer.copies)

    readings.update(outliers(preset, matched, readings))
    blind = [rule for rule in preset.distrust if all(_holds(c, pages) for c in rule.when)]
    for distrust in blind:
        readings.update(dict.fromkeys(distrust.signals, Absent(why=distrust.why)))

    gone = [exporter for exporter, page in pages.items() if not page.reports()]
    remarks = [f"not believed: {distrust.why}" for distrust in blind]
    if asleep:
        remarks.append(f"asleep, no capacity: {listed(map(str, asleep))}")
    if 0 < len(gone) < len(pages):
        remarks.append(f"no longer reporting, left out: {listed(map(str, gone))}")
    remarks += [f"in several copies, counted once: {what}" for what in sorted(copies)]
    remarks += [f"read by its old name: {name}" for name in sorted(old_names)]
    return Observation(
        at_seconds=now_seconds,
        readings=readings,
        latencies=latencies,
        starts=_starts(preset, pages),
        remarks=tuple(remarks),
    )


def _starts(preset: Preset, pages: _Pages) -> Mapping[str, LatencyCounts]:
    """By kind, those of all exporters; a kind that counted nothing is left out."""
    if preset.starts is None:
        return {}
    found: dict[str, list[MatchedSeries]] = {}
    for page in pages.values():
        for kind, (buckets, total) in page.starts(preset.starts).items():
            one = MatchedSeries(buckets=buckets, total=total, at_seconds=0.0)
            found.setdefault(kind, []).append(one)
    counts = {kind: _latencies(every) for kind, every in found.items() if kind}
    return {kind: one for kind, one in counts.items() if one is not None and one.count > 0}


def _combined(
    rule: SignalRule, found: Mapping[Exporter, MatchedSeries], asleep: set[Exporter]
) -> Reading:
    at_seconds = max(answer.at_seconds for answer in found.values())
    if rule.series[0].kind in HISTOGRAMS:
        return _latency(found.values(), at_seconds=at_seconds)
    # A request that waits at a sleeping engine is demand too, so sums include sleeping engines.
    awake = [answer for exporter, answer in found.items() if exporter not in asleep]
    counted = list(found.values()) if rule.combine is Combine.SUM else awake
    numbers = [number for answer in counted for number in answer.numbers]
    if rule.combine is Combine.EXPORTER_MEAN:
        numbers = [math.fsum(answer.numbers) for answer in counted]
    if rule.combine is Combine.COUNT:
        return Value(value=float(len(counted)), at_seconds=at_seconds)
    if not numbers:
        return Absent(why=_ASLEEP)
    match rule.combine:
        case Combine.SUM:
            return Value(value=math.fsum(numbers), at_seconds=at_seconds)
        case Combine.MEAN | Combine.EXPORTER_MEAN:
            return Value(value=math.fsum(numbers) / len(numbers), at_seconds=at_seconds)
        case Combine.MAX:
            return Value(value=max(numbers), at_seconds=at_seconds)
        case _:
            assert_never(rule.combine)


def _latency(found: Iterable[MatchedSeries], *, at_seconds: float) -> Reading:
    latency_seconds = quantile(_merged(found), _QUANTILE)
    if latency_seconds is None:
        return Absent(why="no request finished in the reading window")
    return Value(value=latency_seconds, at_seconds=at_seconds)


def _latencies(found: Collection[MatchedSeries]) -> LatencyCounts | None:
    """The counts of all exporters; None without any, or without a count of everything."""
    merged = _merged(found)
    bounds = sorted(merged)
    if not bounds or bounds[-1] != math.inf:
        return None
    # Replicas with different buckets can make the counts fall.
    below = [0.0, *accumulate((merged[bound] for bound in bounds), max)]
    totals = [answer.total for answer in found if answer.buckets]
    # A measurement beyond the bound of a latency is a fault of the exporter.
    total_max = BOUNDS[Signal.TTFT].most * max(1.0, below[-1])
    known = [total for total in totals if total is not None and 0 <= total <= total_max]
    return LatencyCounts(
        bounds_seconds=tuple(bounds),
        counts=tuple(after - before for before, after in pairwise(below)),
        total_seconds=math.fsum(known) if known and len(known) == len(totals) else None,
    )


def _merged(found: Iterable[MatchedSeries]) -> dict[float, float]:
    merged: defaultdict[float, float] = defaultdict(float)
    for answer in found:
        for bound, count in (answer.buckets or {}).items():
            merged[bound] += count
    return merged


def _missing(rule: SignalRule, answers: Sequence[Stale | Absent]) -> Reading:
    """The reading nearest to a number: not yet a number, else a stale one, else no series."""
    for answer in answers:
        if isinstance(answer, Absent):
            return answer
    stale = [answer for answer in answers if isinstance(answer, Stale)]
    if stale:
        return max(stale, key=lambda answer: answer.at_seconds)
    names = dict.fromkeys(series.name for series in rule.series)
    return Absent(why=f"no series {' or '.join(names)}")


def _holds(condition: Condition, pages: _Pages) -> bool:
    values = [value for page in pages.values() for value in page.gauges(condition)]
    if not values:
        return False
    if condition.above is not None:
        return max(values) > condition.above
    return max(values) == condition.equals
