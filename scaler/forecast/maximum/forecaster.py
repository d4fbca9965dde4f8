"""The forecaster of the running maximum of one pool's demand: samples in, `MaximumForecast` out.

1. Kernels over the pool's own past say how often a threshold was reached in like situations
   (`analogues`).
2. They are mixed per window and threshold by their losses (`mixing`).

It reads no clock and does no I/O. A forecast is judged when its window has passed, so no value is
used before it is due.
"""

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np

from scaler.forecast.grid import Grid
from scaler.forecast.maximum import analogues
from scaler.forecast.maximum.analogues import Analogues
from scaler.forecast.maximum.mixing import HALF_LIFE_DAYS, ProbabilityMix
from scaler.forecast.maximum.thresholds import COUNT, in_order, quantiles, thresholds
from scaler.forecast.maximum.wanted_past import WantedPast
from scaler.forecast.past import DAY_SECONDS, Floats
from scaler.forecast.pending import Pending
from scaler.forecast.running_maximum import MaximumForecast
from scaler.forecast.snapshot import dump, load

DEFAULT_WINDOWS_SECONDS = (600.0, 1200.0, 2400.0, 4800.0, 9600.0)
DEFAULT_LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
DEFAULT_STEP_SECONDS = 120.0
PROBABILITY_MIN = 1e-4


class RunningMaximumForecaster:
    def __init__(
        self,
        *,
        step_seconds: float = DEFAULT_STEP_SECONDS,
        windows_seconds: Sequence[float] = DEFAULT_WINDOWS_SECONDS,
        levels: Sequence[float] = DEFAULT_LEVELS,
        start: datetime | float | None = None,
        tz: str | None = None,
    ) -> None:
        """Start with an empty history.

        Args:
            step_seconds: between samples; a sample is the largest demand since the last one.
            windows_seconds: ascending, in whole steps.
            start: the moment of time 0 of the samples; None = they are at Unix times.
            tz: IANA name of the zone whose days the demand follows; None = UTC.

        Raises:
            ValueError: the windows or levels are not ascending, or out of range.
        """
        self._windows_seconds = tuple(float(window) for window in windows_seconds)
        self._levels = tuple(float(level) for level in levels)
        if not _ascending(self._windows_seconds) or self._windows_seconds[0] < step_seconds:
            raise ValueError(
                f"windows {self._windows_seconds} s do not ascend from a step of {step_seconds} s"
            )
        if not _ascending(self._levels) or not 0 < self._levels[0] <= self._levels[-1] < 1:
            raise ValueError(f"levels {self._levels} are not ascending inside (0, 1)")
        self._grid = Grid(step_seconds)
        windows = np.round(np.array(self._windows_seconds) / step_seconds).astype(np.intp)
        self._past = WantedPast(step_seconds=step_seconds, windows_steps=windows)
        begin = start.timestamp() if isinstance(start, datetime) else start or 0.0
        zone = ZoneInfo(tz) if tz else None
        self._analogues = Analogues(past=self._past, windows_steps=windows, zone=zone, start=begin)
        width = COUNT * analogues.COUNT
        self._pending = Pending(windows, ((width, np.float16), (COUNT, np.float32)))
        stride = self._pending.stride
        days = np.full(len(windows), HALF_LIFE_DAYS * DAY_SECONDS / step_seconds)
        self._own_mix = ProbabilityMix(
            prior=np.full(analogues.COUNT, 1 / analogues.COUNT),
            thresholds=COUNT,
            overlap=windows / stride,
            half_life_steps=days / stride,
        )
        self._thresholds: Floats = thresholds(1.0)
        self._probabilities: Floats = np.zeros((len(windows), COUNT))

    def update(self, t_seconds: float, value: float | None) -> None:
        """Consume a sample; None, NaN, infinities and negative numbers are gaps."""
        placed = self._grid.place(t_seconds, value)
        if placed is None:
            return
        if placed.gaps:
            self._past.skip(placed.gaps)
        self._past.advance(placed.value)
        self._learn()
        if self._past.measured:
            self._predict()

    def forecast(self) -> MaximumForecast | None:
        """The forecast from the newest sample; None = nothing was measured yet."""
        past = self._past
        if not past.measured:
            return None
        excess = quantiles(self._thresholds, self._probabilities, np.array(self._levels))
        return MaximumForecast(
            made_at_seconds=self._grid.seconds_at(past.step - past.missing),
            last_value=past.last,
            windows_seconds=self._windows_seconds,
            levels=self._levels,
            quantiles=tuple(tuple(row) for row in (past.last + excess).tolist()),
            reach_values=tuple((past.last + self._thresholds).tolist()),
            reach_probabilities=tuple(tuple(row) for row in self._probabilities.tolist()),
        )

    def snapshot(self) -> bytes:
        """The learned state, for `restore` on a forecaster made with the same arguments."""
        return dump(self)

    def restore(self, snapshot: bytes) -> None:
        """Continue from a snapshot, with equal forecasts.

        Raises:
            ValueError: the snapshot is of a forecaster made with other arguments.
        """
        load(self, snapshot)
        if self._past.measured:
            self._predict(keep=False)

    def _learn(self) -> None:
        due, (advice, excesses) = self._pending.due(self._past.step)
        outcome = self._past.outcomes(due)
        known = ~np.isnan(outcome)
        if not known.any():
            return
        reached = (outcome[known, None] >= excesses[known]).astype(np.float32)
        shape = -1, COUNT, analogues.COUNT
        self._own_mix.learn(due[known], advice[known].astype(np.float32).reshape(shape), reached)

    def _predict(self, *, keep: bool = True) -> None:
        past = self._past
        self._analogues.follow_clock(self._grid.seconds_at(past.step))
        self._thresholds = thresholds(past.scale)
        own = self._analogues.probabilities(past, self._thresholds)
        mixture = self._own_mix.mix(own)
        self._probabilities = in_order(np.clip(mixture, PROBABILITY_MIN, 1 - PROBABILITY_MIN))
        if keep:
            flat = own.reshape(len(own), -1).astype(np.float16)
            excesses = np.tile(self._thresholds, (len(own), 1)).astype(np.float32)
            self._pending.keep(past.step, (flat, excesses))


def _ascending(numbers: Sequence[float]) -> bool:
    return bool(numbers) and all(a < b for a, b in pairwise(numbers))
