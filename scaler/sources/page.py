"""What one exporter says at one moment: its tracks, asked by the preset's rules.

Absence comes in three shapes here, and they must not be mixed up: None is "this exporter has no
such series", `Stale` is "it had", and `Absent` is "it has, and no number can be made of it yet".
"""

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from scaler.signals import Absent, Stale
from scaler.sources.catalogue import Asleep, Condition, Kind, MetricSeries, Preset, SignalRule
from scaler.sources.series import TimeSeries

_View = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchedSeries:
    """What one exporter says of one signal."""

    numbers: tuple[float, ...] = ()
    """One for each of its series."""
    buckets: Mapping[float, float] | None = None
    """For a histogram instead: upper bound → observations at or below it in the window."""
    at_seconds: float
    old_name: str | None = None
    copies: str | None = None
    """The series that came in several copies, and the labels they differ in."""


Missing = Stale | Absent | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One exporter's tracks, by the engine's own series names."""

    preset: Preset
    model: str | None
    window_seconds: float
    fresh_from_seconds: float
    tracks: Mapping[str, Sequence[TimeSeries]] = field(repr=False)

    def read(self, rule: SignalRule) -> MatchedSeries | Missing:
        """By the first of the rule's series that says a number."""
        answers = []
        for series in rule.series:
            answer = self._read_series(series)
            if isinstance(answer, MatchedSeries):
                return answer
            answers.append(answer)
        not_yet = next((answer for answer in answers if isinstance(answer, Absent)), None)
        if not_yet is not None:
            return not_yet
        elsewhere = self._other_models(rule)
        if elsewhere:
            return Absent(why=f"reported for {listed(elsewhere)}, not for {self.model!r}")
        for zero in rule.zero_while:
            proof = self._fresh(self._matching(zero.name, {}, by_model=zero.by_model))
            if proof:
                return MatchedSeries(numbers=(0.0,), at_seconds=_newest_of(proof))
        return next((answer for answer in answers if answer is not None), None)

    def reports(self) -> bool:
        """Whether any of its series is fresh."""
        return any(self._fresh(tracks) for tracks in self.tracks.values())

    def is_asleep(self, rule: Asleep) -> bool:
        states = self._fresh(self._matching(rule.name, rule.labels, by_model=True))
        return bool(states) and all(track.newest == rule.equals for track in states)

    def gauges(self, condition: Condition) -> list[float]:
        tracks = self._matching(condition.name, condition.labels, by_model=False)
        return [track.newest for track in self._fresh(tracks)]

    def _read_series(self, series: MetricSeries) -> MatchedSeries | Missing:
        every = self._matching(series.exposed_name, series.labels, by_model=series.by_model)
        if not every:
            return None
        tracks, copies = self._uncopied(series, every)
        if not tracks:
            return Stale(at_seconds=_newest_of(every))
        numbers: tuple[float, ...] = ()
        buckets: Mapping[float, float] | None = None
        match series.kind:
            case Kind.GAUGE:
                # A gauge counted up and down by several threads can be seen below zero.
                numbers = tuple(max(0.0, track.newest) for track in tracks)
            case Kind.HISTOGRAM:
                buckets = self._buckets(tracks)
            case Kind.COUNTER | Kind.HISTOGRAM_SUM:
                numbers = self._rates(series, tracks)
        if not numbers and not buckets:
            return Absent(why=f"one sample of {series.name} yet, a rate takes two")
        return MatchedSeries(
            numbers=numbers,
            buckets=buckets,
            at_seconds=_newest_of(tracks),
            old_name=series.name if series.until else None,
            copies=copies,
        )

    def _rates(self, series: MetricSeries, tracks: Sequence[TimeSeries]) -> tuple[float, ...]:
        rates = self._increases_per_second(tracks)
        if series.exposed_less is None or not rates:
            return rates
        every = self._matching(series.exposed_less, series.labels, by_model=series.by_model)
        less, _ = self._uncopied(series, every)
        return (max(0.0, sum(rates) - sum(self._increases_per_second(less))),)

    def _increases_per_second(self, tracks: Iterable[TimeSeries]) -> tuple[float, ...]:
        increases = (track.increase(self.window_seconds) for track in tracks)
        return tuple(total / seconds for total, seconds in filter(None, increases))

    def _buckets(self, tracks: Iterable[TimeSeries]) -> dict[float, float]:
        buckets: defaultdict[float, float] = defaultdict(float)
        for track in tracks:
            increase = track.increase(self.window_seconds)
            if increase is not None and not math.isnan(track.upper_bound):
                buckets[track.upper_bound] += increase[0]
        return buckets

    def _matching(
        self, name: str, labels: Mapping[str, tuple[str, ...]], *, by_model: bool
    ) -> list[TimeSeries]:
        wanted = dict(labels)
        if by_model and self.model is not None:
            wanted[self.preset.model_label] = (self.model,)
        return [
            track
            for track in self.tracks.get(name, ())
            if all(track.labels.get(label) in values for label, values in wanted.items())
        ]

    def _fresh(self, tracks: Iterable[TimeSeries]) -> list[TimeSeries]:
        return [track for track in tracks if track.newest_seconds >= self.fresh_from_seconds]

    def _uncopied(
        self, series: MetricSeries, tracks: Sequence[TimeSeries]
    ) -> tuple[list[TimeSeries], str | None]:
        """Of each series' fresh copies, one that can say a number, among these the newest.

        Series by series: data-parallel ranks with a port each are one pod's, and no copies.
        """
        needs = 1 if series.kind is Kind.GAUGE else 2
        copies: defaultdict[tuple[object, ...], list[TimeSeries]] = defaultdict(list)
        for track in self._fresh(tracks):
            copies[track.series].append(track)

        def rank(track: TimeSeries) -> tuple[bool, float, _View]:
            return len(track.points) >= needs, track.newest_seconds, track.view

        chosen = [same[0] if len(same) == 1 else max(same, key=rank) for same in copies.values()]
        views = {track.view for same in copies.values() if len(same) > 1 for track in same}
        return chosen, f"{series.name} ({_differing(views)})" if views else None

    def _other_models(self, rule: SignalRule) -> list[str]:
        """Models the exporter reports the signal for, where ours is not among them.

        A misspelled model name must not pass for a model without requests.
        """
        if self.model is None:
            return []
        names = [series.exposed_name for series in rule.series if series.by_model]
        tracks = self._fresh(track for name in names for track in self.tracks.get(name, ()))
        models = {track.labels.get(self.preset.model_label, "") for track in tracks}
        return [] if self.model in models else sorted(models)


def listed(names: Iterable[str]) -> str:
    """Names for a person, the first few of many."""
    known = sorted(names)
    few = 5
    return ", ".join(known[:few]) + (f" and {len(known) - few} more" if len(known) > few else "")


def _differing(views: Collection[_View]) -> str:
    seen = Counter(pair for view in views for pair in view)
    return listed({label or "name" for (label, _), count in seen.items() if count < len(views)})


def _newest_of(tracks: Iterable[TimeSeries]) -> float:
    return max(track.newest_seconds for track in tracks)
