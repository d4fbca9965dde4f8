"""A probability corrected by how often the forecast one was right on this pool.

Per window and threshold the logit is shifted and scaled: Platt's calibration (1999), learned online
by stochastic gradient steps on the logarithmic loss. It starts as no correction, is pulled back to
it, and outcomes that share most of their window count as one.
"""

import numpy as np

from scaler.forecast.maximum.features import logit
from scaler.forecast.past import Floats, Indices, Singles
from scaler.forecast.shared_constant import shared_constant

RATE = 0.6
SEEN_PRIOR = 20.0
SLOPE_SHARE = 0.15
"""Steps of the slope, in those of the shift: it is sure of less."""
SHIFT_MAX = 3.0
SLOPE_MIN, SLOPE_MAX = 0.5, 1.6
PULL = 0.002


class Recalibration:
    def __init__(self, *, windows: int, thresholds: int, overlap: Floats) -> None:
        """Start without a correction.

        Args:
            overlap: shape (windows,), how many outcomes in a row share most of their window.
        """
        self._caution = shared_constant(1.0 / overlap)
        self.shift = np.zeros((windows, thresholds))
        self.slope = np.ones((windows, thresholds))
        self.seen = np.zeros(windows)

    def correct(self, probability: Floats) -> Floats:
        """Shape (windows, thresholds)."""
        corrected: Floats = 1.0 / (1.0 + np.exp(-(self.shift + self.slope * logit(probability))))
        return corrected

    def learn(self, due: Indices, probability: Singles, reached: Singles) -> None:
        """Update with outcomes.

        Args:
            due: the windows whose outcome is known now, shape (n,).
            probability: what `correct` was given for them, shape (n, thresholds).
            reached: 1 where the threshold was reached, else 0, of the same shape.
        """
        before = logit(probability.astype(np.float64))
        shift, slope = self.shift[due], self.slope[due]
        error = reached - 1.0 / (1.0 + np.exp(-(shift + slope * before)))
        caution = self._caution[due]
        self.seen[due] += caution
        rate = (RATE * caution / np.sqrt(self.seen[due] + SEEN_PRIOR))[:, None]
        shift = (1 - PULL * rate) * shift + rate * error
        slope = 1 + (1 - PULL * rate) * (slope - 1) + SLOPE_SHARE * rate * error * before
        self.shift[due] = np.clip(shift, -SHIFT_MAX, SHIFT_MAX)
        self.slope[due] = np.clip(slope, SLOPE_MIN, SLOPE_MAX)
