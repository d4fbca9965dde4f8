"""The forecast of the largest value within each of several windows from now on, as a record."""

import math
from bisect import bisect_left
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class MaximumForecast:
    """Quantiles of a series' maximum over windows that all begin now.

    Between levels quantiles are joined by straight lines; above the top level the tail is
    exponential. The maximum is never below `last_value`.
    """

    made_at_seconds: float
    """Unix time of the newest value it knows."""
    last_value: float
    windows_seconds: tuple[float, ...]
    """Ascending."""
    levels: tuple[float, ...]
    """At least two, ascending, inside (0, 1)."""
    quantiles: tuple[tuple[float, ...], ...]
    """[window][level], in the series' unit, ascending in both."""

    def probability_of_reaching(self, value: float, window: int) -> float:
        """The probability that the maximum over window number `window` is `value` or more."""
        row, levels = self.quantiles[window], self.levels
        if value <= self.last_value:
            return 1.0
        above = bisect_left(row, value)
        if above == len(row):
            excess, slope = value - row[-1], _tail_slope(row, levels)
            return (1 - levels[-1]) * math.exp(-excess / slope) if slope > 0 else 0.0
        below = row[above - 1] if above else self.last_value
        level_below = levels[above - 1] if above else 0.0
        share = (value - below) / (row[above] - below)
        return 1 - level_below - share * (levels[above] - level_below)


def _tail_slope(row: tuple[float, ...], levels: tuple[float, ...]) -> float:
    """Scale of the exponential tail that passes through the top two quantiles."""
    span = math.log((1 - levels[-2]) / (1 - levels[-1]))
    return (row[-1] - row[-2]) / span
