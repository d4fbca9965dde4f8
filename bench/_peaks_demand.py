"""Wanted replicas at the steps of the forecast of the running maximum, from a series of load."""

import numpy as np

from bench._nodes_demand import STEP_SECONDS, Floats, hpa_replicas

SAMPLE_SECONDS = 120.0
_SAMPLE_STEPS = round(SAMPLE_SECONDS / STEP_SECONDS)
_SCALINGS = 12
_MEAN_OFF = 0.01


def wanted(load: Floats, *, step_seconds: float, mean: float) -> Floats:
    """Replicas wanted at each forecast's step; NaN in the load is a gap."""
    known = np.flatnonzero(~np.isnan(load))
    fine = np.arange(0, (len(load) - 1) * step_seconds + 1, STEP_SECONDS)
    even = np.interp(fine, known * step_seconds, load[known])
    factor = mean / max(float(even.mean()), 1e-12)
    replicas = hpa_replicas(even * factor).astype(np.float64)
    for _ in range(_SCALINGS):
        off = float(replicas.mean()) / mean
        if abs(off - 1) < _MEAN_OFF:
            break
        factor /= off
        replicas = hpa_replicas(even * factor).astype(np.float64)
    return replicas[::_SAMPLE_STEPS]
