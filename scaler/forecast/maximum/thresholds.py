"""The values for which probabilities are forecast, and quantiles from these probabilities.

Demand is a whole number of GPUs and mostly stays as it is, so its distribution is a few masses, and
straight lines between quantiles miss them: of an excess that is 0 in 70 % of cases and 1 in 30 %
they give the median as 0 and the .75 quantile as 1, and half of the mass between. So probabilities
are forecast at thresholds, and quantiles are read from them.
"""

import numpy as np

from scaler.forecast.past import Floats
from scaler.forecast.running_maximum import tail_rate

LADDER = np.array([0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 9.0, 14.0])
"""In scales of the past, one threshold each, but each at least one GPU above the one before."""
COUNT = len(LADDER)
_WHOLE = np.arange(1.0, COUNT + 1.0)


def thresholds(scale: float) -> Floats:
    """Excesses over the present, ascending, in whole GPUs."""
    whole: Floats = np.maximum(_WHOLE, np.round(LADDER * scale))
    return whole


def in_order(probabilities: Floats) -> Floats:
    """Probabilities [window][threshold] that fall with the threshold and rise with the window."""
    falling = np.minimum.accumulate(probabilities, axis=1)
    rising: Floats = np.maximum.accumulate(falling, axis=0)
    return rising


def quantiles(excesses: Floats, probabilities: Floats, levels: Floats) -> Floats:
    """Excess quantiles [window][level]: whole GPUs, geometric between the thresholds.

    Args:
        excesses: the thresholds.
        probabilities: of reaching each of them, [window][threshold], none of them 0.
    """
    rows, rate = [], np.inf
    for row in probabilities:
        fall = np.log(row)
        rarer = np.log1p(-levels)
        # From the rarest on, because np.interp wants ascending logarithms.
        inside = np.interp(rarer, fall[::-1], excesses[::-1])
        rate = min(rate, tail_rate(excesses.tolist(), row.tolist()))
        beyond = excesses[-1] + np.maximum(0.0, fall[-1] - rarer) / rate
        found = np.where(rarer < fall[-1], beyond, inside)
        rows.append(np.where(rarer >= fall[0], 0.0, np.floor(found + 1e-9)))
    ascending: Floats = np.maximum.accumulate(np.array(rows), axis=1)
    return ascending
