"""The forecast of work in replicas, at every horizon: for display and for plans of others.

A workload's own plan uses one quantile at its lead time (`DemandTracker.outlook`); the numbers here
are made in the same way, by `Work.replicas`. They have no head-room, no weight and no bounds.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from scaler.decision.capacity import Work
from scaler.decision.series import PLANNED, DemandSeries
from scaler.forecast.record import DemandForecast


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaForecast:
    """Replicas that quantiles of demand keep busy."""

    horizons_seconds: tuple[float, ...]
    levels: tuple[float, ...]
    quantiles: tuple[tuple[float, ...], ...]
    """[horizon][level]."""


def replica_forecast(
    forecasts: Mapping[DemandSeries, DemandForecast], work: Work
) -> ReplicaForecast | None:
    """Replicas at the horizons and levels of the forecasts; None while nothing is forecast.

    A series that was never measured is left out, as it is in a plan.
    """
    known = {s: forecasts[s] for s in PLANNED if s in forecasts and forecasts[s].measured}
    if not known:
        return None
    grid = next(iter(known.values()))  # all series of a workload have one grid
    prompt, generated = (known.get(series) for series in PLANNED)
    rows = []
    for number in range(len(grid.horizons_seconds)):
        row = []
        for level in range(len(grid.levels)):
            replicas = work.replicas(
                None if prompt is None else prompt.quantiles[number][level],
                None if generated is None else generated.quantiles[number][level],
            )
            assert replicas is not None, "one of the two series is known"
            row.append(replicas)
        rows.append(tuple(row))
    return ReplicaForecast(
        horizons_seconds=grid.horizons_seconds, levels=grid.levels, quantiles=tuple(rows)
    )
