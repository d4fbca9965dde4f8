"""The internal quantile levels, and interpolation to the requested ones."""

from collections.abc import Sequence

import numpy as np

from scaler.forecast.past import Floats
from scaler.forecast.shared_constant import shared_constant

LEVELS = np.array([0.05, 0.25, 0.5, 0.7, 0.83, 0.9, 0.95, 0.99, 0.995])
MEDIAN, Q90 = 2, 5
UPPER = slice(Q90, None)
"""Levels from .9 on: the tail is exponential, and a skill is judged by their loss."""
USUAL_ERRORS = np.array([-2.0, -0.7, 0.0, 0.5, 1.05, 1.55, 2.2, 4.2, 5.5])
"""Prior error quantiles in mean absolute errors, close to a Laplace distribution's."""


class LevelInterpolation:
    """Interpolate between the internal levels: linear inside, exponential above.

    Above the top level Q(p) = Q(u) + b·ln((1 − u) ÷ (1 − p)), peaks over a threshold with shape 0
    (Pickands 1975), b being the steepest mean slope of the upper levels; below the lowest level,
    linear to a demand of zero.
    """

    __slots__ = ("_above", "_inside", "_rarer")

    def __init__(self, levels: Sequence[float]) -> None:
        wanted = np.array(levels)
        inside = np.clip(wanted, LEVELS[0], LEVELS[-1])
        above = np.clip(np.searchsorted(LEVELS, inside), 1, len(LEVELS) - 1)
        share = (inside - LEVELS[above - 1]) / (LEVELS[above] - LEVELS[above - 1])
        matrix = np.zeros((len(LEVELS), len(wanted)))
        columns = np.arange(len(wanted))
        matrix[above - 1, columns] = 1 - share
        matrix[above, columns] += share
        matrix *= np.minimum(wanted / LEVELS[0], 1.0)
        self._inside = shared_constant(matrix)
        self._above = bool((wanted > LEVELS[-1]).any())
        self._rarer = shared_constant(
            np.log((1 - LEVELS[-1]) / (1 - np.maximum(wanted, LEVELS[-1])))
        )

    def read(self, inner: Floats) -> Floats:
        """Shape (horizons, asked levels) from (horizons, `LEVELS`)."""
        asked: Floats = inner @ self._inside
        if self._above:
            spans = np.log((1 - LEVELS[:-1]) / (1 - LEVELS[-1]))[UPPER]
            slope = ((inner[:, -1:] - inner[:, :-1][:, UPPER]) / spans).max(axis=1)
            asked += np.maximum(slope, 0.0)[:, None] * self._rarer
        return asked
