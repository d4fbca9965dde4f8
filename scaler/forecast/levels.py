"""Quantile levels worked with inside; those asked for are read off between them."""

from collections.abc import Sequence

import numpy as np

from scaler.forecast.past import Floats

LEVELS = np.array([0.05, 0.25, 0.5, 0.7, 0.83, 0.9, 0.95, 0.99, 0.995])
MEDIAN, Q90 = 2, 5
USUAL_ERRORS = np.array([-2.0, -0.7, 0.0, 0.5, 1.05, 1.55, 2.2, 4.2, 5.5])
"""Error quantiles in mean absolute errors before a workload has shown its own: near Laplace's."""


def reader(levels: Sequence[float]) -> Floats:
    """The matrix that reads the asked levels off the inner ones, linear in between."""
    wanted = np.clip(np.array(levels), LEVELS[0], LEVELS[-1])
    above = np.clip(np.searchsorted(LEVELS, wanted), 1, len(LEVELS) - 1)
    share = (wanted - LEVELS[above - 1]) / (LEVELS[above] - LEVELS[above - 1])
    matrix = np.zeros((len(LEVELS), len(levels)))
    columns = np.arange(len(levels))
    matrix[above - 1, columns] = 1 - share
    matrix[above, columns] += share
    return matrix
