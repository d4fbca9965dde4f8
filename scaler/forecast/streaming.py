"""One value in, quantiles out: the forecast behind the smallest interface a harness can ask for."""

from collections.abc import Sequence
from datetime import datetime

from scaler.forecast.forecaster import Forecaster
from scaler.forecast.past import Floats
from scaler.forecast.record import DEFAULT_LEVELS


class Stream:
    def __init__(self, forecaster: Forecaster) -> None:
        self._forecaster = forecaster

    def update(self, t_s: float, value: float | None) -> None:
        """Consume one step's value; None or NaN says that it was not measured."""
        self._forecaster.update(t_s, value)

    def predict(self) -> Floats:
        """Quantiles of shape (horizons, levels) from the newest step."""
        return self._forecaster.quantiles()


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
    return Stream(
        Forecaster(
            signal="value",
            step_seconds=step_s,
            horizons_seconds=horizons_s,
            levels=quantiles,
            start=start,
            tz=tz,
        )
    )
