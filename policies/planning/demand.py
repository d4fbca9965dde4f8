"""The demand of pools over time, as their forecasters take it: the largest of each two minutes.

A round may come at any moment. The demand of the time since the last sample goes into the next one,
so that a peak between two samples is not lost. A pool that was not read has a gap, not a zero.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import floor, isnan
from typing import Final

from scaler.forecast.maximum.forecaster import DEFAULT_STEP_SECONDS, RunningMaximumForecaster
from scaler.forecast.running_maximum import MaximumForecast

STEP_SECONDS: Final = DEFAULT_STEP_SECONDS
PAST_SECONDS_MIN: Final = 9600.0
"""The longest window of the forecast. Before it has passed, no forecast of a pool was ever judged,
and what it says is the prior's alone: that must not buy nodes."""
POOLS_MAX: Final = 256
"""Beyond them the pool that was read longest ago is forgotten."""

MakeForecaster = Callable[[], RunningMaximumForecaster]


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedDemand:
    """The demand of one pool, as it is kept over restarts."""

    forecaster: bytes
    """Its snapshot."""
    step: int
    """Of the newest sample, counted from 1970."""
    highest_gpus: float
    """Of the readings since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PastDemand:
    """The demand of one pool in the days that are kept, the oldest first."""

    times_seconds: tuple[float, ...]
    gpus: tuple[float | None, ...]
    """The largest of each step; None = not known."""


class PoolDemand:
    """The demand of one pool, sampled for its forecaster."""

    def __init__(
        self, forecaster: RunningMaximumForecaster, past_seconds_min: float = PAST_SECONDS_MIN
    ) -> None:
        """Begin without a past.

        Args:
            past_seconds_min: how much of it must be measured before there is a forecast.
        """
        self._forecaster = forecaster
        self._past_seconds_min = past_seconds_min
        self._step: int | None = None
        self._highest_gpus = 0.0

    @property
    def step(self) -> int | None:
        """Of the newest sample; None = there is none."""
        return self._step

    def take(self, now_seconds: float, gpus: float) -> None:
        """Learn the demand of a reading."""
        step = floor(now_seconds / STEP_SECONDS)
        self._highest_gpus = max(self._highest_gpus, gpus)
        if step != self._step:
            self._forecaster.update(step * STEP_SECONDS, self._highest_gpus)
            self._step, self._highest_gpus = step, 0.0

    def forecast(self) -> MaximumForecast | None:
        """The forecast; None = the past is too short, or no GPU of the pool was ever wanted."""
        known = self._forecaster
        if known.measured_seconds < self._past_seconds_min or known.highest <= 0:
            return None
        return known.forecast()

    def past(self) -> PastDemand:
        """What is kept of it."""
        times, gpus = self._forecaster.past()
        return PastDemand(
            times_seconds=tuple(times.tolist()),
            gpus=tuple(None if isnan(value) else value for value in gpus.tolist()),
        )

    def saved(self) -> SavedDemand | None:
        """For `restored`; None = there is nothing to keep."""
        if self._step is None:
            return None
        return SavedDemand(
            forecaster=self._forecaster.snapshot(),
            step=self._step,
            highest_gpus=self._highest_gpus,
        )

    @classmethod
    def restored(cls, forecaster: RunningMaximumForecaster, saved: SavedDemand) -> "PoolDemand":
        """Continue from what was saved.

        Raises:
            ValueError: it is of another forecaster.
        """
        forecaster.restore(saved.forecaster)
        demand = cls(forecaster)
        demand._step, demand._highest_gpus = saved.step, saved.highest_gpus
        return demand


class PoolDemands:
    """The demand of all pools of a cluster."""

    def __init__(self, make: MakeForecaster = RunningMaximumForecaster) -> None:
        self._make = make
        self._pools: dict[str, PoolDemand] = {}

    def take(self, now_seconds: float, gpus: Mapping[str, float]) -> None:
        """Learn the demand of a reading by pool."""
        for name, wanted in gpus.items():
            demand = self._pools.pop(name, None) or PoolDemand(self._make())
            self._pools[name] = demand  # the newest stands last
            demand.take(now_seconds, wanted)
        while len(self._pools) > POOLS_MAX:
            del self._pools[next(iter(self._pools))]

    def forecasts(self) -> Mapping[str, MaximumForecast]:
        """By pool."""
        found = ((name, demand.forecast()) for name, demand in self._pools.items())
        return {name: forecast for name, forecast in found if forecast is not None}

    def past(self, pool: str) -> PastDemand:
        """What is kept of a pool's demand; nothing of a pool that was never read."""
        demand = self._pools.get(pool)
        return demand.past() if demand is not None else PastDemand(times_seconds=(), gpus=())

    def saved(self) -> Mapping[str, SavedDemand]:
        """By pool."""
        kept = ((name, demand.saved()) for name, demand in self._pools.items())
        return {name: saved for name, saved in kept if saved is not None}

    def restore(self, pools: Mapping[str, SavedDemand]) -> list[str]:
        """Continue from what was saved; the reasons why some pools begin anew."""
        refused = []
        for name, saved in pools.items():
            try:
                self._pools[name] = PoolDemand.restored(self._make(), saved)
            except ValueError as error:
                refused.append(f"pool {name}: its demand is learned anew: {error}")
        return refused
