"""The forecast for a pool that several workloads share, from forecasts of each.

Excesses are taken as independent: the probability of each whole number of GPUs is convolved. That
holds where each workload has its own traffic; where all follow the same clock their peaks coincide,
and the forecast of the measured sum, which has seen that, is the better one. Within a window maxima
need not come at the same moment, so the sum of maxima is an upper bound of the maximum of the sum.
"""

import math
from collections.abc import Sequence

import numpy as np

from scaler.forecast.maximum.thresholds import quantiles
from scaler.forecast.past import Floats
from scaler.forecast.running_maximum import MaximumForecast

PROBABILITY_MIN = 1e-4


def sum_of(parts: Sequence[MaximumForecast]) -> MaximumForecast:
    """The forecast of a sum of independent demands.

    Raises:
        ValueError: there are no parts, or they are for different windows or levels.
    """
    if len({(part.windows_seconds, part.levels) for part in parts}) != 1:
        raise ValueError("parts of one sum need the same windows and levels, and one at least")
    first = parts[0]
    last = sum(part.last_value for part in parts)
    masses = [
        [_masses(part, window) for window in range(len(first.windows_seconds))] for part in parts
    ]
    reach = []
    for window in range(len(first.windows_seconds)):
        total = masses[0][window]
        for mass in masses[1:]:
            total = np.convolve(total, mass[window])
        reach.append(total[::-1].cumsum()[::-1][1:])
    longest = max(len(row) for row in reach)
    padded = np.array([np.pad(row, (0, longest - len(row))) for row in reach])
    above = np.maximum.accumulate(np.clip(padded, PROBABILITY_MIN, 1.0), axis=0)
    excesses = np.arange(1.0, longest + 1.0)
    rows = last + quantiles(excesses, above, np.array(first.levels))
    return MaximumForecast(
        made_at_seconds=min(part.made_at_seconds for part in parts),
        last_value=last,
        windows_seconds=first.windows_seconds,
        levels=first.levels,
        quantiles=tuple(tuple(row) for row in rows.tolist()),
        reach_values=tuple((last + excesses).tolist()),
        reach_probabilities=tuple(tuple(row) for row in above.tolist()),
    )


def _masses(part: MaximumForecast, window: int) -> Floats:
    """The probability of an excess of 0, 1, 2 … GPUs."""
    top = part.reach_values[-1] if part.reach_values else part.quantiles[window][-1]
    count = max(2, math.ceil(top - part.last_value)) + 1
    above = np.array([
        part.probability_of_reaching(part.last_value + excess, window) for excess in range(count)
    ])  # fmt: skip
    masses: Floats = above - np.append(above[1:], 0.0)
    return masses
