"""The forecast of a sum from forecasts of its parts.

ServeGen's authors trace the swings of a service's rate to a few of its clients. Where a source
distinguishes clients, each large client gets its own forecaster, the small ones share one, and the
sum of their medians is an exogenous forecast of the total. `python -m bench forecast_clients`
measures what it adds.
"""

from collections.abc import Sequence

from scaler.forecast.record import DemandForecast


def summed_medians(parts: Sequence[DemandForecast]) -> tuple[float, ...]:
    """The parts' medians added up, per horizon.

    Medians do not add up exactly; the expert's own errors correct the difference.

    Raises:
        ValueError: the parts are forecasts for different horizons.
    """
    horizons = {part.horizons_seconds for part in parts}
    if len(horizons) != 1:
        raise ValueError(f"parts of one sum need the same horizons, not {sorted(horizons)}")
    return tuple(
        sum(part.at(horizon_seconds=horizon, level=0.5) for part in parts)
        for horizon in horizons.pop()
    )
