"""Level times daily profile: the change at this time on other days, applied to today's level.

For a lag of d days, with m the five-minute level: ratio = Σ m(t + h − d) ÷ Σ m(t − d) over the
days 1, 2, 3, 7 that were measured; the forecast is a short mean times that ratio. It has
skill from the second day on and is the best of the cheap experts on traffic with a daily cycle.
"""

import numpy as np

from scaler.forecast.experts.port import Task
from scaler.forecast.past import BESIDE_BINS, DAY_LAGS, Floats, Past
from scaler.forecast.shared_constant import shared_constant

WEEK = DAY_LAGS.index(7)
RATIO_MAX = 8.0
SHRINK = 0.05
"""This share of the level is added to both sides of a ratio, against division by tiny numbers."""
NOW_EWMA = np.array([1, 4])
"""Which means are today's level: half-lives of one and of eight steps."""


class Profile:
    names = ("day-1", "day-8", "week-1", "week-8", "yesterday")

    def __init__(self, task: Task) -> None:
        self._from_now_seconds = task.from_now_seconds
        self._silent = shared_constant(np.full((len(task.horizons_steps), len(self.names)), np.nan))

    def advance(self, past: Past) -> None:
        """Nothing to do: `Past` keeps the bins."""

    def points(self, past: Past) -> Floats:
        level = np.add.reduce(past.other_days(self._from_now_seconds), axis=2) / len(BESIDE_BINS)
        known = ~np.isnan(level).any(axis=0)
        if not known.any():
            return self._silent
        floor = SHRINK * past.ewma[-1] + 1e-9
        now = past.ewma[NOW_EWMA]
        points = np.full(self._silent.shape, np.nan)
        pooled = np.add.reduce(level[:, known], axis=1) + floor * known.sum()
        points[:, :2] = np.minimum(pooled[1:] / pooled[0], RATIO_MAX)[:, None] * now
        if known[WEEK]:
            week = level[:, WEEK] + floor
            points[:, 2:4] = np.minimum(week[1:] / week[0], RATIO_MAX)[:, None] * now
        if known[0]:
            points[:, 4] = level[1:, 0]
        return points
