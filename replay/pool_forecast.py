"""The forecasts that the controller would make of the demand of a pool that is played."""

from collections.abc import Callable
from math import floor
from typing import Final

import numpy as np

from policies.planning.demand import PoolDemand
from policies.rounds import ROUND_SECONDS
from replay.cluster.policy import Forecast
from replay.traffic import Floats
from scaler.forecast.maximum.forecaster import RunningMaximumForecaster
from scaler.forecast.running_maximum import MaximumForecast
from scaler.forecast.trees import Trees

_NOISE: Final = 1e-6


def forecast_of(
    past: Floats,
    demand: Floats,
    *,
    begin_seconds: float,
    trees: Trees | None = None,
    progress: Callable[[], None] = lambda: None,
) -> Forecast:
    """A forecast each two minutes; it knows the past and the demand up to its own moment.

    A short past is no reason to have none, as it is in production: a trace begins where it was cut.

    Args:
        past: wanted GPUs each round before the beginning.
        demand: wanted GPUs each round from the beginning on, as they are at that moment. A value
            from before demand fell would make its return certain.
        trees: the prior; None = the shipped one.
        progress: called for each forecast.
    """
    pool = PoolDemand(RunningMaximumForecaster(trees=trees), past_seconds_min=0)
    made: list[MaximumForecast | None] = []
    for place, gpus in enumerate(np.concatenate([past, demand]).tolist(), start=-len(past)):
        pool.take(begin_seconds + place * ROUND_SECONDS, gpus)
        if place >= 0:
            made.append(pool.forecast())
            progress()
    return lambda now_seconds: made[_step(now_seconds - begin_seconds)]


def _step(seconds: float) -> int:
    """Of the last forecast that was made by then."""
    return floor(seconds / ROUND_SECONDS + _NOISE)
