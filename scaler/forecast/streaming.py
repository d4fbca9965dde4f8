"""The forecaster behind a minimal streaming interface: one value in, quantiles out."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from scaler.forecast.forecaster import Forecaster
from scaler.forecast.past import Floats, Indices
from scaler.forecast.record import DEFAULT_LEVELS


class Stream:
    def __init__(self, forecaster: Forecaster, rows: Indices, columns: Indices) -> None:
        self._forecaster = forecaster
        self._asked = np.ix_(rows, columns)

    def update(self, t_s: float, value: float | None) -> None:
        """Consume one step's value; None or NaN = not measured."""
        self._forecaster.update(t_s, value)

    def predict(self) -> Floats:
        """Quantiles from the newest step, shape (horizons, levels), in the requested order."""
        quantiles: Floats = self._forecaster.quantiles()[self._asked]
        return quantiles


def factory(
    *,
    step_s: float,
    horizons_s: Sequence[float],
    quantiles: Sequence[float] = DEFAULT_LEVELS,
    start: datetime | float | None = None,
    tz: str | None = None,
) -> Stream:
    """A forecaster for one series.

    Args:
        start: the moment of `t_s` = 0, with a time zone or as unix seconds.
        tz: IANA name of the zone whose days and weeks the traffic follows.
    """
    forecaster = Forecaster(
        signal="value",
        step_seconds=step_s,
        horizons_seconds=sorted(horizons_s),
        levels=sorted(quantiles),
        start=start,
        tz=tz,
    )
    rows, columns = (np.argsort(np.argsort(asked)) for asked in (horizons_s, quantiles))
    return Stream(forecaster, rows, columns)
