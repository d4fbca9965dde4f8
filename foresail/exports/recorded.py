"""An export as a recorded past: the same readings as the Prometheus that it came from gives."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from math import ceil
from typing import TypeVar

from foresail.backtest.recorded import POD_STEP_SECONDS, Selection
from foresail.exports.minutes import STEP_SECONDS, KeptSeries, spanned
from scaler.scope import Scope
from scaler.signals import Absent, Feed, Observation
from scaler.sources.preset import Preset
from scaler.sources.reading import Limits, ObservationReader
from scaler.sources.selector import matchers
from scaler.sources.series import Sample

_MILLISECOND = 0.001
_Answer = TypeVar("_Answer")


class RecordedInExport:
    """Series of an export, by the minute."""

    namespace_label: str | None = "namespace"
    labels: Mapping[str, str] = {}

    def __init__(self, series: Sequence[KeptSeries], *, place: str) -> None:
        self.series = series
        self.place = f"in {place}"

    @property
    def end_seconds(self) -> float:
        """The minute that the last sample lies in ends here."""
        return ceil(spanned(self.series)[1] / STEP_SECONDS) * STEP_SECONDS

    @property
    def begin_seconds(self) -> float:
        """The minute that the first sample lies in begins here."""
        return (ceil(spanned(self.series)[0] / STEP_SECONDS) - 1) * STEP_SECONDS

    def feed(self, *, preset: Preset, scope: Scope) -> Feed:
        return _ExportFeed(self.series, preset, scope)

    async def run(self, work: Callable[[], _Answer]) -> _Answer:
        return work()

    async def close(self) -> None:
        """Nothing is open."""

    def label_values(
        self, label: str, selection: Selection, *, start_seconds: float
    ) -> Sequence[str]:
        return sorted(
            {
                found
                for one in self.series
                if selection.takes(one.name, one.labels)
                and one.at_seconds[-1] >= start_seconds
                and (found := one.labels.get(label))
            }
        )

    def last_of(
        self, selections: Iterable[Selection], *, begin_seconds: float, end_seconds: float
    ) -> list[Sample]:
        wanted, step = tuple(selections), POD_STEP_SECONDS
        start = min(begin_seconds + step, end_seconds)
        moments = [start + place * step for place in range(int((end_seconds - start) // step) + 1)]
        return [
            Sample(name=one.name, labels=one.labels, value=value, at_seconds=at)
            for one in self.series
            if any(selection.takes(one.name, one.labels) for selection in wanted)
            for at in moments
            if (value := one.last_before(at, step)) is not None
        ]


class _ExportFeed:
    def __init__(self, series: Sequence[KeptSeries], preset: Preset, scope: Scope) -> None:
        self._preset, self._scope = preset, scope
        equal = matchers(preset, scope, namespace_label="namespace", labels={})
        lacking = preset.model_label if preset.has_unlabelled else None
        self.series = [
            one
            for one in series
            if one.name in preset.spelled
            and all(
                one.labels.get(label, "") in ({value, ""} if label == lacking else {value})
                for label, value in equal.items()
            )
        ]

    async def observe(self, *, now_seconds: float) -> Observation:
        """An export has no present."""
        absent = Absent(why="an export has no present")
        return Observation(
            at_seconds=now_seconds, readings=dict.fromkeys(self._preset.signals, absent)
        )

    async def history(
        self, *, start_seconds: float, end_seconds: float, step_seconds: float
    ) -> AsyncIterator[Observation]:
        # As `PrometheusSource` reads it: a step without a sample is a gap.
        limits = Limits(
            window_seconds=max(Limits().window_seconds, step_seconds),
            stale_after_seconds=step_seconds / 2,
        )
        reader = ObservationReader(
            self._preset.without_buckets(), model=self._scope.model, limits=limits
        )
        first = ceil(start_seconds / step_seconds)
        # Rates at the first step need samples from before it.
        before = ceil(limits.window_seconds / step_seconds)
        for step in range(first - before, int(end_seconds // step_seconds) + 1):
            at = step * step_seconds
            samples = [
                Sample(name=one.name, labels=one.labels, value=value, at_seconds=at)
                for one in self.series
                if (value := one.last_before(at, step_seconds - _MILLISECOND)) is not None
            ]
            if samples:
                observation = reader.observe(samples, now_seconds=at)
                if step >= first:
                    yield observation
