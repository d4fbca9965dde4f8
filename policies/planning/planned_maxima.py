"""Forecasts of pools from what the plans of their workloads say.

A pool's own past is the better source: it has seen every workload, and which of them peak together.
Until it is long enough, as after the first start of a controller, the plans know more: the scaler
reads days of metrics before its first forecast. Demand of a pool that no plan tells of is taken to
stay as it is.
"""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Final

from fleet.cluster.owners import Workload
from policies.planning.planned_replicas import ONE_POD_EACH, UsualPool, replicas_now
from policies.reading.assess import Assessment
from policies.situation import PoolState
from scaler.forecast.maximum.sums import PROBABILITY_MIN, sum_of
from scaler.forecast.running_maximum import MaximumForecast

GPUS_MAX: Final = 2048
"""Beyond what a workload wants now; what a forecast says above counts as out of reach."""


def planned_forecasts(
    maxima: Mapping[Workload, MaximumForecast],
    planned: Mapping[Workload, float],
    assessment: Assessment,
    usual_pools: Mapping[Workload, UsualPool],
    pools: Sequence[PoolState],
) -> Mapping[str, MaximumForecast]:
    """By pool, of those with a workload whose plan has a forecast.

    Args:
        maxima: the largest number of replicas wanted, by workload.
        planned: replicas that plans want now.
        assessment: the pods in the pools.
        usual_pools: where workloads run.
        pools: with the planned replicas in their demand.
    """
    found = {}
    for pool in pools:
        parts, known_gpus = [], 0.0
        for workload, forecast in maxima.items():
            usual = usual_pools.get(workload)
            if usual is None or usual.pool != pool.name or workload.kind not in ONE_POD_EACH:
                continue
            now = max(planned.get(workload, 0.0), replicas_now(workload, assessment))
            known_gpus += now * usual.gpus_per_replica
            parts.append(_in_gpus(forecast, now, usual.gpus_per_replica))
        summed = _sum(parts)
        if summed is not None:
            found[pool.name] = summed.beside(max(0.0, pool.demand_gpus - known_gpus))
    return found


def _in_gpus(forecast: MaximumForecast, now: float, gpus_per_replica: float) -> MaximumForecast:
    """In GPUs, never below what is there now; demand grows by whole replicas."""
    last = max(forecast.last_value, now)
    top = max(row[-1] for row in forecast.quantiles)
    # One replica more than the topmost quantile: beyond it the tail is that of single GPUs.
    more = min(max(ceil((max(top - last, 0) + 1) * gpus_per_replica), 2), GPUS_MAX)
    excesses = [float(gpus) for gpus in range(1, more + 1)]
    return MaximumForecast(
        made_at_seconds=forecast.made_at_seconds,
        last_value=last * gpus_per_replica,
        windows_seconds=forecast.windows_seconds,
        levels=forecast.levels,
        quantiles=tuple(
            tuple(max(one, last) * gpus_per_replica for one in row) for row in forecast.quantiles
        ),
        reach_values=tuple(last * gpus_per_replica + gpus for gpus in excesses),
        reach_probabilities=tuple(
            tuple(
                max(
                    forecast.probability_of_reaching(last + ceil(gpus / gpus_per_replica), window),
                    PROBABILITY_MIN,
                )
                for gpus in excesses
            )
            for window in range(len(forecast.windows_seconds))
        ),
    )


def _sum(parts: Sequence[MaximumForecast]) -> MaximumForecast | None:
    """Over the windows that all parts have; None where there are none, or levels differ."""
    if not parts or len({part.levels for part in parts}) > 1:
        return None
    windows = set.intersection(*(set(part.windows_seconds) for part in parts))
    return sum_of([part.over(windows) for part in parts]) if windows else None
