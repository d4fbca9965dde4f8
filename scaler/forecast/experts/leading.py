"""A leading indicator: requests at the gateway become tokens a moment later.

For a leading indicator (gateway arrivals before prompt tokens, prompt tokens before generated
ones, requests before those in flight): level of demand times the indicator over its own level,
for levels of several half-lives. The classic ratio estimator (Cochran 1977, chapter 6), online.
"""

import numpy as np

from scaler.forecast.experts.port import Task
from scaler.forecast.past import EWMA_RATES, HALF_LIVES_STEPS, Floats, Past

LEVELS_AT = np.array([3, 5, 7])
"""Which means are the levels: half-lives of 4, 16 and 64 steps."""
NOW_AT = np.array([0, 2])
"""Which means are the indicator now: half-lives of a half and of two steps."""
RATIO_MAX = 8.0
NAMES = tuple(
    f"leading-{HALF_LIVES_STEPS[now]:g}-{HALF_LIVES_STEPS[level]:g}"
    for now in NOW_AT
    for level in LEVELS_AT
)


class Leading:
    names = NAMES

    def __init__(self, task: Task) -> None:
        self._shape = (len(task.horizons_steps), len(self.names))
        self.ewma = np.zeros(len(HALF_LIVES_STEPS))
        self.seen = 0

    def advance(self, past: Past) -> None:
        if np.isnan(past.leading):
            return
        self.seen += 1
        self.ewma += np.maximum(EWMA_RATES, 1 / self.seen) * (past.leading - self.ewma)

    def points(self, past: Past) -> Floats:
        level = self.ewma[LEVELS_AT]
        if np.isnan(past.leading) or not level.all():
            return np.full(self._shape, np.nan)
        ratio = np.minimum(self.ewma[NOW_AT, None] / level, RATIO_MAX)
        points: Floats = (ratio * past.ewma[LEVELS_AT]).ravel()
        return np.tile(points, (self._shape[0], 1))
