"""Wanted replicas over a recorded trace: an HPA on the recorded load, run open loop.

The load is scaled so that a given number of replicas is wanted on average. Between the steps of a
trace it goes in straight lines, also over gaps. The HPA looks every 15 s, has its tolerance of
10 %, and shrinks to the largest recommendation of the last five minutes.
"""

from collections import deque
from math import ceil

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
HPA_SECONDS = 15.0
SAMPLE_SECONDS = 120.0
_SAMPLE_STEPS = round(SAMPLE_SECONDS / HPA_SECONDS)
_TOLERANCE = 0.1
_HOLD_STEPS = round(300 / HPA_SECONDS)
_SCALINGS = 12
_MEAN_OFF = 0.01


def wanted(load: Floats, *, step_seconds: float, mean: float) -> Floats:
    """Replicas wanted at each forecast's step; NaN in the load is a gap."""
    known = np.flatnonzero(~np.isnan(load))
    fine = np.arange(0, (len(load) - 1) * step_seconds + 1, HPA_SECONDS)
    even = np.interp(fine, known * step_seconds, load[known])
    factor = mean / max(float(even.mean()), 1e-12)
    replicas = _replicas(even * factor)
    for _ in range(_SCALINGS):
        off = float(replicas.mean()) / mean
        if abs(off - 1) < _MEAN_OFF:
            break
        factor /= off
        replicas = _replicas(even * factor)
    return replicas[::_SAMPLE_STEPS]


def _replicas(load: Floats) -> Floats:
    """An HPA's answers; `load` is in replicas at their target."""
    current = max(1, ceil(load[0]))
    largest: deque[tuple[int, int]] = deque()
    found = np.empty(len(load))
    for step, needed in enumerate(load.tolist()):
        near = abs(needed / current - 1) <= _TOLERANCE
        recommended = current if near else max(1, ceil(needed))
        while largest and largest[-1][1] <= recommended:
            largest.pop()
        largest.append((step, recommended))
        if largest[0][0] <= step - _HOLD_STEPS:
            largest.popleft()
        current = largest[0][1]
        found[step] = current
    return found
