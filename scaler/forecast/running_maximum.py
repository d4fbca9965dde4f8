"""The forecast of the largest value within each of several windows from now on, as a record."""

import math
from bisect import bisect_left
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise


@dataclass(frozen=True, slots=True, kw_only=True)
class MaximumForecast:
    """Quantiles of a series' maximum over windows that all begin now.

    Demand in whole GPUs has its probability in a few masses, which quantiles blur; so a forecast
    may carry probabilities at values, which then answer. Between those values the probability is
    geometric. Without them, quantiles are joined by straight lines. Above the topmost value or
    level the tail is exponential. The maximum is never below `last_value`.
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
    reach_values: tuple[float, ...] = ()
    """Ascending, above `last_value`, at least two; empty = only quantiles are forecast."""
    reach_probabilities: tuple[tuple[float, ...], ...] = ()
    """[window][value], of a maximum of at least the value; above 0, ascending in the window only.

    A value below the first is as probable as the first: demand reaches it by the same step.
    """

    def probability_of_reaching(self, value: float, window: int) -> float:
        """The probability that the maximum over window number `window` is `value` or more."""
        if value <= self.last_value:
            return 1.0
        if self.reach_values:
            return self._between(value, window)
        row, levels = self.quantiles[window], self.levels
        above = bisect_left(row, value)
        if above == len(row):
            excess, slope = value - row[-1], _tail_slope(row, levels)
            return (1 - levels[-1]) * math.exp(-excess / slope) if slope > 0 else 0.0
        below = row[above - 1] if above else self.last_value
        level_below = levels[above - 1] if above else 0.0
        share = (value - below) / (row[above] - below)
        return 1 - level_below - share * (levels[above] - level_below)

    @property
    def well_formed(self) -> bool:
        """Whether the numbers are as the fields say; those of another program may not be."""
        windows, levels, values = self.windows_seconds, self.levels, self.reach_values
        shapes = [(self.quantiles, len(levels))]
        if values:
            shapes.append((self.reach_probabilities, len(values)))
        return (
            all(map(math.isfinite, (self.made_at_seconds, self.last_value)))
            and _ascending((0.0, *windows, math.inf))
            and _ascending((0.0, *levels, 1.0))
            and len(levels) > 1
            and (
                not values or (len(values) > 1 and _ascending((self.last_value, *values, math.inf)))
            )
            and all(0 < one <= 1 for row in self.reach_probabilities for one in row)
            and all(
                len(rows) == len(windows) and all(len(row) == width for row in rows)
                for rows, width in shapes
            )
            and all(
                0 <= a <= b < math.inf
                for row in self.quantiles
                for a, b in pairwise((self.last_value, *row))
            )
        )

    def over(self, windows_seconds: Collection[float]) -> "MaximumForecast":
        """The forecast over some of its windows."""
        kept = [n for n, window in enumerate(self.windows_seconds) if window in windows_seconds]
        return replace(
            self,
            windows_seconds=tuple(self.windows_seconds[n] for n in kept),
            quantiles=tuple(self.quantiles[n] for n in kept),
            reach_probabilities=tuple(self.reach_probabilities[n] for n in kept)
            if self.reach_values
            else (),
        )

    def beside(self, more: float) -> "MaximumForecast":
        """The forecast of the same with so much more, now and later."""
        return replace(
            self,
            last_value=self.last_value + more,
            quantiles=tuple(tuple(one + more for one in row) for row in self.quantiles),
            reach_values=tuple(one + more for one in self.reach_values),
        )

    def _between(self, value: float, window: int) -> float:
        values, row = self.reach_values, self.reach_probabilities[window]
        above = bisect_left(values, value)
        if above == 0:
            return row[0]
        if above == len(values):
            # The slowest fall of this window and the shorter ones, so that a longer window never
            # reaches less.
            rate = min(
                tail_rate(values, shorter) for shorter in self.reach_probabilities[: window + 1]
            )
            return row[-1] * math.exp(-rate * (value - values[-1]))
        share = (value - values[above - 1]) / (values[above] - values[above - 1])
        return row[above - 1] * math.exp(share * math.log(row[above] / row[above - 1]))


def _ascending(numbers: Sequence[float]) -> bool:
    return all(a < b for a, b in pairwise(numbers))


def tail_rate(values: Sequence[float], probabilities: Sequence[float]) -> float:
    """How fast the logarithm of the probability falls beyond the topmost value.

    As from the last but one value to the last, but at least by 1 over the distance between them:
    where both are as probable, no value would be out of reach.
    """
    distance = values[-1] - values[-2]
    return max(math.log(probabilities[-2] / probabilities[-1]), 1.0) / distance


def _tail_slope(row: tuple[float, ...], levels: tuple[float, ...]) -> float:
    """Scale of the exponential tail that passes through the top two quantiles."""
    span = math.log((1 - levels[-2]) / (1 - levels[-1]))
    return (row[-1] - row[-2]) / span
