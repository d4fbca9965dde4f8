"""Level and damped trend (Holt's method).

Gardner & McKenzie 1985; Hyndman & Athanasopoulos, Forecasting, 3rd ed., section 8.2:

    carried = phi * trend
    level = level + carried + alpha * (value - level - carried)
    trend = carried + beta * (level - level before - carried)
    h ahead: level + (phi + phi² + ... + phi^h) * trend
"""

import numpy as np

from scaler.forecast.experts.port import Task
from scaler.forecast.past import Floats, Past
from scaler.forecast.shared_constant import shared_constant

ALPHA_BETA_PHI = (
    (0.8, 0.2, 0.8),
    (0.5, 0.1, 0.9),
    (0.3, 0.1, 0.95),
    (0.3, 0.03, 0.98),
    (0.1, 0.03, 0.98),
    (0.1, 0.01, 0.995),
)
NAMES = tuple(f"holt-{a:g}-{b:g}-{p:g}" for a, b, p in ALPHA_BETA_PHI)
ALPHA, BETA, PHI = np.array(ALPHA_BETA_PHI).T


class Holt:
    names = NAMES

    def __init__(self, task: Task) -> None:
        self._reach = shared_constant(PHI * (1 - PHI ** task.horizons_steps[:, None]) / (1 - PHI))
        self.level = np.zeros(len(ALPHA_BETA_PHI))
        self.trend = np.zeros(len(ALPHA_BETA_PHI))

    def advance(self, past: Past) -> None:
        if past.measured == 1:
            self.level[:] = past.last
            return
        carried = PHI * self.trend
        level = self.level + carried
        level += ALPHA * (past.last - level)
        self.trend = carried + BETA * (level - self.level - carried)
        self.level = level

    def points(self, past: Past) -> Floats:
        # Extrapolation is limited to twice the highest value seen.
        points: Floats = np.clip(self.level + self._reach * self.trend, 0.0, 2.0 * past.peak)
        return points
