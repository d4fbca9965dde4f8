"""Forecasts by hindsight: the true maximum of each window, to see what the rule makes of them."""

import numpy as np

from bench._nodes_demand import STEP_SECONDS, Floats
from bench._nodes_run import Place
from replay.cluster.policy import Forecast
from scaler.forecast.running_maximum import MaximumForecast

WINDOWS_SECONDS = (600.0, 1200.0, 2400.0, 4800.0, 9600.0)
_LEVELS = (1e-6, 1 - 1e-6)


def perfect(place: Place) -> Forecast:
    """The future of a place's demand as forecasts without doubt."""
    demand = place.total.astype(np.float64)
    peaks = [_forward_maximum(demand, round(w / STEP_SECONDS)).tolist() for w in WINDOWS_SECONDS]
    begin = place.begin_seconds
    last = demand.tolist()

    def at(now_seconds: float) -> MaximumForecast:
        step = round((now_seconds - begin) / STEP_SECONDS)
        return MaximumForecast(
            made_at_seconds=now_seconds,
            last_value=last[step],
            windows_seconds=WINDOWS_SECONDS,
            levels=_LEVELS,
            quantiles=tuple((peak[step], peak[step]) for peak in peaks),
        )

    return at


def _forward_maximum(values: Floats, steps: int) -> Floats:
    """The largest of each value and the `steps` after it; by doubling."""
    found, covered = values.copy(), 1
    while covered < steps + 1:
        shift = min(covered, steps + 1 - covered)
        found[:-shift] = np.maximum(found[:-shift], found[shift:])
        covered += shift
    return found
