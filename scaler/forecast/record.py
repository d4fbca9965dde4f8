"""The forecast as one frozen record.

The plan, `foresail explain`, the API and the demo read the same quantiles. Interpolation between
horizons and levels is linear. Above the top level the tail is exponential, with the steepest mean
slope of the upper levels, because the rolling .995 quantile of a few hundred steps alone is noise.
The plan by cost has a tail of its own there, with the mean slope from .9 on
(`scaler.decision.schedule`), so the two differ above .995.
"""

import bisect
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

DEFAULT_LEVELS = (0.5, 0.7, 0.83, 0.9, 0.95, 0.99, 0.995)
"""Quantile levels of every forecast, unless asked otherwise."""

SKILL_STEPS_MIN = 30
"""Before so many of its forecasts are judged, a skill is unknown."""
TAIL_FROM_LEVEL = 0.9
"""The tail of the distribution above this level is taken to be exponential."""

JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertWeight:
    """The weight of one expert, averaged over horizons and levels."""

    name: str
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Skill:
    """Share of the last value's pinball loss that the forecast saved at one horizon.

    The loss is the sum over the levels from .9 on, because a plan asks for any of them, by what a
    late minute is worth: at .9 alone, bursts in less than one minute of ten would not count.

    1 = perfect, 0 = as good as repeating the last value, negative = worse; None = no evidence.
    """

    horizon_seconds: float
    day: float | None
    week: float | None
    judged: int
    """Forecasts at this horizon whose outcome is known."""

    @property
    def better(self) -> float | None:
        """The better of the last day's and the last week's.

        One flash crowd dominates the loss of a day, and does not outweigh a week of better
        forecasts.
        """
        return max((span for span in (self.day, self.week) if span is not None), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemandForecast:
    """Quantiles of one signal of one workload at several horizons."""

    signal: str
    made_at_seconds: float
    """Unix time of the last step consumed."""
    data_age_seconds: float
    """`made_at_seconds` less the time of the newest measured step; infinite before any."""
    horizons_seconds: tuple[float, ...]
    levels: tuple[float, ...]
    quantiles: tuple[tuple[float, ...], ...]
    """[horizon][level], in the signal's unit, ascending in level, never negative."""
    last_value: float
    """The newest measured step, which is the forecast at horizon 0."""
    skill: tuple[Skill, ...]
    experts: tuple[ExpertWeight, ...]

    @property
    def measured(self) -> bool:
        """Whether the series was ever measured; if not, every quantile is a 0 without meaning."""
        return math.isfinite(self.data_age_seconds)

    def at(self, *, horizon_seconds: float, level: float) -> float:
        """The quantile at any horizon and level; flat beyond the last horizon.

        Raises:
            ValueError: `level` is not inside (0, 1) or `horizon_seconds` is negative.
        """
        if not 0 < level < 1 or horizon_seconds < 0:
            raise ValueError(f"no quantile at level {level}, {horizon_seconds} s ahead")
        after = bisect.bisect_left(self.horizons_seconds, horizon_seconds)
        if after == len(self.horizons_seconds):
            return self._level(after - 1, level)
        above = self._level(after, level)
        before_seconds = self.horizons_seconds[after - 1] if after else 0.0
        below = self._level(after - 1, level) if after else self.last_value
        share = (horizon_seconds - before_seconds) / (self.horizons_seconds[after] - before_seconds)
        return below + share * (above - below)

    def skill_at(self, *, horizon_seconds: float) -> Skill | None:
        """At the first horizon that reaches so far, else at the last one."""
        reaching = [one for one in self.skill if one.horizon_seconds >= horizon_seconds]
        return next(iter(reaching or self.skill[-1:]), None)

    def by_horizon(self, level: float) -> Sequence[float]:
        """The quantile at each of the forecast's own horizons.

        Args:
            level: inside (0, 1).
        """
        if level in self.levels:
            place = self.levels.index(level)
            return [row[place] for row in self.quantiles]
        return [self._level(place, level) for place in range(len(self.quantiles))]

    def _level(self, horizon: int, level: float) -> float:
        row = self.quantiles[horizon]
        if level > self.levels[-1]:
            return _tail(self.levels, row, level)
        after = bisect.bisect_left(self.levels, level)
        if after == 0:
            # Below the lowest level, interpolate to 0: demand is not negative.
            return row[0] * level / self.levels[0]
        share = (level - self.levels[after - 1]) / (self.levels[after] - self.levels[after - 1])
        return row[after - 1] + share * (row[after] - row[after - 1])

    def to_json(self) -> dict[str, JsonValue]:
        """The same as plain lists and numbers; an infinite age becomes None."""
        document: dict[str, JsonValue] = {
            "signal": self.signal,
            "made_at_seconds": self.made_at_seconds,
            "data_age_seconds": (
                self.data_age_seconds if math.isfinite(self.data_age_seconds) else None
            ),
            "horizons_seconds": list(self.horizons_seconds),
            "levels": list(self.levels),
            "quantiles": [list(row) for row in self.quantiles],
            "last_value": self.last_value,
            "skill": [asdict(skill) for skill in self.skill],
            "experts": [asdict(expert) for expert in self.experts],
        }
        return document


def _tail(levels: tuple[float, ...], row: tuple[float, ...], level: float) -> float:
    """Exponential excess over the top level, at the steepest mean slope of the upper levels.

    Q(p) = Q(u) + b·ln((1 − u) ÷ (1 − p)): peaks over a threshold with shape 0 (Pickands 1975).
    """
    slope = 0.0
    for lower in range(len(levels) - 1):
        if levels[lower] >= TAIL_FROM_LEVEL or lower == len(levels) - 2:
            span = math.log((1 - levels[lower]) / (1 - levels[-1]))
            slope = max(slope, (row[-1] - row[lower]) / span)
    return row[-1] + slope * math.log((1 - levels[-1]) / (1 - level))
