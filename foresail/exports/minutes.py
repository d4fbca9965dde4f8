"""Series of engines and of their pods, thinned to the last sample of each minute.

A past is read by the minute, and a sample counts for the minute that it ends in: what is left out
would not have been read. So memory is bounded by minutes, whatever the scrape interval.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from math import ceil
from typing import Final

import numpy as np
import numpy.typing as npt

from foresail.backtest.served_pods import POD_SERIES
from foresail.exports.errors import ExportError
from foresail.exports.found import FoundSeries, is_gap
from foresail.exports.labels import NAME
from foresail.exports.moments import MILLISECONDS_FROM
from scaler.sources.catalogue import load, shipped
from scaler.sources.preset import Preset

STEP_SECONDS: Final = 60.0
MINUTES_MAX: Final = 20_000_000
"""Of all series together, 16 bytes each: a week of a hundred replicas of vLLM."""
SERIES_MAX: Final = 200_000
_MODELS_MAX: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KeptSeries:
    """The last sample of each minute, oldest first."""

    name: str
    labels: dict[str, str]
    at_seconds: Sequence[float]
    values: Sequence[float]

    def last_before(self, end_seconds: float, within_seconds: float) -> float | None:
        """The newest value up to a time and not older than a span; None = there is none."""
        place = bisect_right(self.at_seconds, end_seconds) - 1
        if place < 0 or self.at_seconds[place] < end_seconds - within_seconds:
            return None
        return self.values[place]


@dataclass(slots=True, kw_only=True, eq=False)
class _Growing:
    labels: dict[str, str]
    at_seconds: "array[float]" = field(default_factory=lambda: array("d"))
    values: "array[float]" = field(default_factory=lambda: array("d"))
    ordered: bool = True


@cache
def presets_read() -> Mapping[str, Preset]:
    """Every engine as a past is read: sums in place of buckets."""
    return {name: load(name).with_latency_sums().without_buckets() for name in shipped()}


@cache
def _model_labels() -> dict[str, set[str]]:
    """Of each series of an engine, by its name."""
    labels: dict[str, set[str]] = {}
    for preset in presets_read().values():
        for name in preset.spelled:
            labels.setdefault(name, set()).add(preset.model_label)
    return labels


class Minutes:
    """Takes the points of one model's engines and of pods."""

    def __init__(self, model: str | None) -> None:
        self._model = model
        self._model_labels = _model_labels()
        self.names: Final = frozenset((*self._model_labels, *POD_SERIES))
        """Of all series that are read."""
        self._growing: dict[frozenset[tuple[str, str]], _Growing] = {}
        self._minutes = 0
        self.models: set[str] = set()
        """That engines named, the asked one or not."""

    def wants(self, series: FoundSeries) -> bool:
        name = series.name
        if name in POD_SERIES:
            return True
        if name not in self._model_labels:
            return False
        models = {
            found
            for label in self._model_labels[name]
            if (found := series.labels.get(label)) is not None
        }
        if len(self.models) < _MODELS_MAX:
            self.models |= models
        return self._model is None or not models or self._model in models

    def add(self, series: FoundSeries, at_seconds: float, value: float) -> None:
        if not 0 <= at_seconds < MILLISECONDS_FROM:
            raise ValueError(f"{at_seconds:g} s is no time")
        if is_gap(value):
            return
        one = self._series(series)
        if one.at_seconds:
            before = one.at_seconds[-1]
            if at_seconds < before:
                one.ordered = False
            elif ceil(at_seconds / STEP_SECONDS) == ceil(before / STEP_SECONDS):
                one.at_seconds[-1], one.values[-1] = at_seconds, value
                return
        self._minutes += 1
        if self._minutes > MINUTES_MAX:
            raise ExportError(
                f"more than {MINUTES_MAX:,} minutes of series: export fewer days, or the series of"
                " one model or namespace only"
            )
        one.at_seconds.append(at_seconds)
        one.values.append(value)

    def _series(self, series: FoundSeries) -> _Growing:
        one = self._growing.get(series.key)
        if one is None:
            if len(self._growing) >= SERIES_MAX:
                raise ExportError(
                    f"more than {SERIES_MAX:,} series of engines and pods: export those of one"
                    " model or namespace only"
                )
            one = self._growing[series.key] = _Growing(labels=dict(series.labels))
        return one

    def kept(self) -> list[KeptSeries]:
        """All series in Prometheus' order."""
        found = sorted(self._growing.values(), key=lambda one: sorted(one.labels.items()))
        return [_kept(one) for one in found]


def _kept(one: _Growing) -> KeptSeries:
    labels = dict(one.labels)
    name = labels.pop(NAME)
    if one.ordered:
        return KeptSeries(name=name, labels=labels, at_seconds=one.at_seconds, values=one.values)
    at: npt.NDArray[np.float64] = np.array(one.at_seconds)
    order = np.argsort(at, kind="stable")
    at, values = at[order], np.array(one.values)[order]
    last = np.append(np.diff(np.ceil(at / STEP_SECONDS)) > 0, True)
    return KeptSeries(
        name=name, labels=labels, at_seconds=at[last].tolist(), values=values[last].tolist()
    )


def usual_step(series: Iterable[KeptSeries]) -> float:
    """The usual distance of samples in seconds."""
    distances = [np.diff(np.array(one.at_seconds)) for one in series if len(one.at_seconds) > 1]
    # The lower of two in the middle: a gap is not the step.
    return float(np.quantile(np.concatenate(distances), 0.5, method="lower")) if distances else 0.0


def spanned(series: Sequence[KeptSeries]) -> tuple[float, float]:
    """Times of the first and the last sample."""
    return min(one.at_seconds[0] for one in series), max(one.at_seconds[-1] for one in series)
