"""The forecast of the largest number of replicas wanted within windows that all begin now.

It is made of the quantiles of demand at every horizon, with the present's head-room and within the
plan's bounds. A quantile of a maximum is never below the same quantile at any moment of the window,
and equal to the largest of them where demand that is high at one moment is high at all. So these
numbers are the least that the maximum may be: a reader that buys by them buys too little rather
than too much.
"""

from collections.abc import Mapping
from itertools import accumulate

from scaler.decision.parameters import PlanParameters
from scaler.decision.plan import whole
from scaler.decision.replica_forecast import replica_forecast
from scaler.decision.series import PLANNED, DemandSeries
from scaler.forecast.record import DemandForecast
from scaler.forecast.running_maximum import MaximumForecast


def running_maximum(
    forecasts: Mapping[DemandSeries, DemandForecast], parameters: PlanParameters
) -> MaximumForecast | None:
    """Whole replicas that are wanted, the windows being the horizons; None = nothing is forecast.

    Of a plan without forecasts there is none either: it never wants what one says.
    """
    work = parameters.capacity.work
    busy = replica_forecast(forecasts, work) if parameters.forecasts else None
    if busy is None:
        return None
    known = {s: forecasts[s] for s in PLANNED if s in forecasts and forecasts[s].measured}
    last = work.replicas(*(known[s].last_value if s in known else None for s in PLANNED))
    assert last is not None, "one of the two series is known"
    now = _wanted(last, parameters)
    rows = ([max(now, _wanted(one, parameters)) for one in row] for row in busy.quantiles)
    largest = accumulate(rows, lambda before, row: list(map(max, before, row)))
    return MaximumForecast(
        made_at_seconds=min(one.made_at_seconds - one.data_age_seconds for one in known.values()),
        last_value=now,
        windows_seconds=busy.horizons_seconds,
        levels=busy.levels,
        quantiles=tuple(map(tuple, largest)),
    )


def _wanted(busy: float, parameters: PlanParameters) -> float:
    replicas = whole(busy / parameters.utilization)
    return float(min(max(replicas, parameters.replicas_min), parameters.replicas_max))
