"""Announced events as a forecast from outside the series.

While an event lies within the horizons, the current level times the ratio of the factors then and
now enters the forecast as one exogenous expert. Its weight starts at a quarter and then follows its
own errors.
"""

from collections.abc import Sequence

import numpy as np

from scaler.events import Event, starts_of_day
from scaler.forecast.past import DAY_SECONDS, Floats


class Calendar:
    """The events of one workload in its time zone; stateless."""

    __slots__ = ("_events", "_tz")

    def __init__(self, events: Sequence[Event], tz: str) -> None:
        self._events = tuple(events)
        self._tz = tz

    def exogenous_forecast(
        self, level: float, unix_seconds: float, horizons_seconds: Sequence[float]
    ) -> Floats | None:
        """Demand at each horizon from the level now; None while no event is within reach."""
        moments = unix_seconds + np.array((0.0, *horizons_seconds))
        factors = np.ones_like(moments)
        for event in self._events:
            days = range(
                int((moments[0] - event.length_seconds) // DAY_SECONDS),
                int(moments[-1] // DAY_SECONDS) + 1,
            )
            starts = np.array([s for day in days for s in starts_of_day(event, self._tz, day)])
            since = moments[:, None] - starts
            is_on = ((since >= 0) & (since < event.length_seconds)).any(axis=1)
            factors[is_on] *= event.factor
        if (factors == 1.0).all():
            return None
        points: Floats = level * factors[1:] / factors[0]
        return points
