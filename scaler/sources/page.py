"""The series of one exporter at one moment, read by the preset's rules.

There are three kinds of absence, and they must not be confused. None: this exporter has no such
series. `Stale`: it had one. `Absent`: it has one, and no number can be made from it yet.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from scaler.signals import Absent, Stale
from scaler.sources.preset import Asleep, Condition, Kind, MetricSeries, Preset, SignalRule, Starts
from scaler.sources.series import TimeSeries

_View = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchedSeries:
    """The values of one signal at one exporter."""

    numbers: tuple[float, ...] = ()
    """One for each of its series."""
    buckets: Mapping[float, float] | None = None
    """For a histogram instead: upper bound → observations at or below it in the window."""
    total: float | None = None
    """Of a histogram: the sum of those observations, where it is exported."""
    at_seconds: float
    old_name: str | None = None
    copies: str | None = None
    """The series that came in several copies, and the labels they differ in."""


Missing = Stale | Absent | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The series of one exporter, by the engine's own names."""

    preset: Preset
    model: str | None
    window_seconds: float
    fresh_from_seconds: float
    time_series: Mapping[str, Sequence[TimeSeries]] = field(repr=False)

    def read(self, rule: SignalRule) -> MatchedSeries | Missing:
        """Read by the first of the rule's series that has a number."""
        answers: list[Stale | Absent] = []
        # Of many names an exporter has no series; a signal without any is read at once.
        exported = [series for series in rule.series if series.exposed_name in self.time_series]
        for series in exported:
            if series.unless is not None and self._fresh(self.time_series.get(series.unless, ())):
                continue
            answer = self._read_series(series)
            if isinstance(answer, MatchedSeries):
                return answer
            if answer is not None:
                answers.append(answer)
        not_yet = next((answer for answer in answers if isinstance(answer, Absent)), None)
        if not_yet is not None:
            return not_yet
        elsewhere = self._other_models(exported)
        if elsewhere:
            return Absent(why=f"reported for {listed(elsewhere)}, not for {self.model!r}")
        return self._proven_zero(rule) or (answers[0] if answers else None)

    def _proven_zero(self, rule: SignalRule) -> MatchedSeries | None:
        """Zero, where a fresh series that the rule names proves it."""
        for zero in rule.zero_while:
            proof = self._fresh(self._matching(zero.name, {}, by_model=zero.by_model))
            if proof:
                return MatchedSeries(numbers=(0.0,), at_seconds=_newest_of(proof))
        return None

    def reports(self) -> bool:
        """Whether any of its series is fresh."""
        return any(self._fresh(time_series) for time_series in self.time_series.values())

    def is_asleep(self, rule: Asleep) -> bool:
        states = self._fresh(self._matching(rule.name, rule.labels, by_model=True))
        return bool(states) and all(one.newest == rule.equals for one in states)

    def gauges(self, condition: Condition) -> list[float]:
        time_series = self._matching(condition.name, condition.labels, by_model=False)
        return [one.newest for one in self._fresh(time_series)]

    def starts(self, of: Starts) -> Mapping[str, tuple[dict[float, float], float]]:
        """By kind: how many took at most each bound, and the seconds of all, since it began."""
        found: dict[str, tuple[dict[float, float], float]] = {}
        for name in (f"{of.name}_bucket", f"{of.name}_sum"):
            every = self._matching(name, {}, by_model=True)
            series = MetricSeries(name=name)
            for one in self._uncopied(series, every)[0]:
                buckets, total = found.get(one.labels.get(of.by, ""), ({}, 0.0))
                if name.endswith("_sum"):
                    total += one.newest
                elif not math.isnan(one.upper_bound):
                    buckets[one.upper_bound] = buckets.get(one.upper_bound, 0.0) + one.newest
                found[one.labels.get(of.by, "")] = (buckets, total)
        return found

    def _read_series(self, series: MetricSeries) -> MatchedSeries | Missing:
        every = self._matching_of(series, series.exposed_name)
        if not every or (series.of_model and not self._has_model()):
            return None
        time_series, copies = self._uncopied(series, every)
        if not time_series:
            return Stale(at_seconds=_newest_of(every))
        numbers: tuple[float, ...] = ()
        buckets: Mapping[float, float] | None = None
        total: float | None = None
        missing = f"one sample of {series.name} yet, a rate takes two"
        match series.kind:
            case Kind.GAUGE:
                numbers = self._levels(series, time_series)
            case Kind.LABELS:
                numbers = _products(series, time_series)
                missing = f"{series.name} has no number in {listed(series.factors)}"
            case Kind.HISTOGRAM | Kind.HISTOGRAM_MEAN:
                buckets, total = self._buckets(time_series), self._total(series)
            case Kind.COUNTER | Kind.HISTOGRAM_SUM:
                numbers = self._rates(series, time_series)
        if not numbers and not buckets:
            return Absent(why=missing)
        return MatchedSeries(
            numbers=numbers,
            buckets=buckets,
            total=total,
            at_seconds=_newest_of(time_series),
            old_name=series.name if series.until else None,
            copies=copies,
        )

    def _levels(self, series: MetricSeries, time_series: Sequence[TimeSeries]) -> tuple[float, ...]:
        # A gauge that several threads count up and down can read below zero.
        levels = tuple(max(0.0, one.newest) for one in time_series)
        if series.exposed_less is None:
            return levels
        every = self._matching_of(series, series.exposed_less)
        less, _ = self._uncopied(series, every)
        return (max(0.0, sum(levels) - sum(max(0.0, one.newest) for one in less)),)

    def _rates(self, series: MetricSeries, time_series: Sequence[TimeSeries]) -> tuple[float, ...]:
        rates = self._increases_per_second(time_series)
        if series.exposed_less is None or not rates:
            return rates
        every = self._matching_of(series, series.exposed_less)
        less, _ = self._uncopied(series, every)
        return (max(0.0, sum(rates) - sum(self._increases_per_second(less))),)

    def _increases_per_second(self, time_series: Iterable[TimeSeries]) -> tuple[float, ...]:
        increases = (one.increase(self.window_seconds) for one in time_series)
        return tuple(total / seconds for total, seconds in filter(None, increases))

    def _buckets(self, time_series: Iterable[TimeSeries]) -> dict[float, float]:
        buckets: defaultdict[float, float] = defaultdict(float)
        for one in time_series:
            increase = one.increase(self.window_seconds)
            # A count has no bound and counts everything.
            bound = one.upper_bound if "le" in one.labels else math.inf
            if increase is not None and not math.isnan(bound):
                buckets[bound] += increase[0]
        return buckets

    def _total(self, series: MetricSeries) -> float | None:
        assert series.exposed_sum is not None
        every = self._matching_of(series, series.exposed_sum)
        time_series, _ = self._uncopied(series, every)
        increases = [one.increase(self.window_seconds) for one in time_series]
        known = [increase[0] for increase in increases if increase is not None]
        return math.fsum(known) if known else None

    def _has_model(self) -> bool:
        """Whether it reports anything of the workload's model."""
        label = self.preset.model_label
        return self.model is None or any(
            one.labels.get(label) == self.model
            for time_series in self.time_series.values()
            for one in self._fresh(time_series)
        )

    def _matching(
        self, name: str, labels: Mapping[str, tuple[str, ...]], *, by_model: bool
    ) -> list[TimeSeries]:
        every = self.time_series.get(name)
        if every is None:
            return []
        wanted = dict(labels)
        if by_model and self.model is not None:
            wanted[self.preset.model_label] = (self.model,)
        return [
            one
            for one in every
            # As in Prometheus, a label without a value is no label.
            if all(one.labels.get(label, "") in values for label, values in wanted.items())
        ]

    def _matching_of(self, series: MetricSeries, name: str) -> list[TimeSeries]:
        """Those of the series, or of another of the same labels."""
        found = self._matching(name, series.labels, by_model=series.by_model)
        return [one for one in found if not _below(one.labels, series.label_min)]

    def _fresh(self, time_series: Iterable[TimeSeries]) -> list[TimeSeries]:
        return [one for one in time_series if one.newest_seconds >= self.fresh_from_seconds]

    def _uncopied(
        self, series: MetricSeries, time_series: Sequence[TimeSeries]
    ) -> tuple[list[TimeSeries], str | None]:
        """One fresh copy of each series: the newest of those that have a number, else of all.

        Data-parallel ranks with a port each belong to one pod and are not copies.
        """
        fresh = self._fresh(time_series)
        if len(fresh) == 1:
            return fresh, None
        needs = 1 if series.kind in {Kind.GAUGE, Kind.LABELS} else 2
        copies: defaultdict[tuple[object, ...], list[TimeSeries]] = defaultdict(list)
        for one in fresh:
            copies[one.series].append(one)

        def rank(one: TimeSeries) -> tuple[bool, float, _View]:
            return len(one.points) >= needs, one.newest_seconds, one.view

        chosen = [same[0] if len(same) == 1 else max(same, key=rank) for same in copies.values()]
        views = {one.view for same in copies.values() if len(same) > 1 for one in same}
        return chosen, f"{series.name} ({_differing(views)})" if views else None

    def _other_models(self, exported: Sequence[MetricSeries]) -> list[str]:
        """Models that the exporter reports a signal for, if the workload's is not among them.

        A misspelled model name must not pass for a model without requests. A gateway's series of
        requests that named no model have an empty label; they are nobody's.
        """
        if self.model is None or not exported:
            return []
        names = [series.exposed_name for series in exported if series.by_model]
        time_series = self._fresh(one for name in names for one in self.time_series[name])
        models = {one.labels.get(self.preset.model_label, "") for one in time_series}
        return [] if self.model in models else sorted(models - {""})


def _below(labels: Mapping[str, str], least: Mapping[str, float]) -> bool:
    """Whether a label is a number below its least; what is no number is not."""
    for label, number in least.items():
        try:
            if float(labels.get(label, "")) < number:
                return True
        except ValueError:
            continue
    return False


def _products(series: MetricSeries, time_series: Iterable[TimeSeries]) -> tuple[float, ...]:
    """For each series the product of its factors; those without a number are left out."""
    found = []
    for one in time_series:
        texts = [one.labels.get(label, "") for label in series.factors]
        # An engine that does not know a figure yet writes None.
        if all(text.isdecimal() for text in texts):
            found.append(math.prod(map(float, texts)))
    return tuple(found)


def listed(names: Iterable[str]) -> str:
    """Names for a message; of many the first five."""
    known = sorted(names)
    few = 5
    return ", ".join(known[:few]) + (f" and {len(known) - few} more" if len(known) > few else "")


def _differing(views: Collection[_View]) -> str:
    seen = Counter(pair for view in views for pair in view)
    return listed({label or "name" for (label, _), count in seen.items() if count < len(views)})


def _newest_of(time_series: Iterable[TimeSeries]) -> float:
    return max(one.newest_seconds for one in time_series)
