"""One feed's demand and forecasts, kept up to date one observation at a time.

Workloads that read the same series share a track, and an edit of a trigger's bounds keeps it.
Forecasts are made on the grid of the step, so that replicas of Foresail that read the same samples
make the same forecasts whenever each of them looks.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from scaler.demand import Demand, DemandState, demand_of
from scaler.errors import SourceError
from scaler.forecast.record import DemandForecast
from scaler.need import Dimension, Outlook
from scaler.signals import ESSENTIAL, Observation

FORECAST_DIMENSIONS = (
    Dimension.PROMPT_TOKENS,
    Dimension.GENERATED_TOKENS,
    Dimension.IN_FLIGHT,
)


class Forecaster(Protocol):
    """Quantiles of one series' future, from its past."""

    def update(self, t_seconds: float, value: float | None) -> None:
        """Take the next step of the series; None is a gap."""
        ...

    def forecast(self) -> DemandForecast: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What one look at the feed brought: an observation, or why there is none."""

    at_seconds: float
    observation: Observation | None
    failure: SourceError | None = None

    def usable(self) -> bool:
        """Whether a plan can be made from it."""
        seen = self.observation
        return seen is not None and any(seen.value(signal) is not None for signal in ESSENTIAL)

    def complaint(self) -> str:
        """Why it is not usable, for a person."""
        if self.failure is not None:
            return str(self.failure)
        if self.observation is None:
            return "not read yet"
        readings = self.observation.readings
        return "; ".join(f"{s}: {readings[s]}" for s in ESSENTIAL if s in readings)


class Track:
    """Demand and forecasts of one feed.

    Looks come more often than the forecast's steps. A step's value is the mean of its looks; it is
    closed, and the forecasts are made anew, by the first look of a later step.
    """

    def __init__(
        self, make_forecaster: Callable[[Dimension], Forecaster], *, step_seconds: float
    ) -> None:
        self._make_forecaster = make_forecaster
        self._step_seconds = step_seconds
        self._forecasters = {d: make_forecaster(d) for d in FORECAST_DIMENSIONS}
        self._state: DemandState | None = None
        self._open_step: int | None = None
        self._looks: list[Demand] = []
        self.demand: Demand | None = None
        """Of the newest usable look."""
        self._forecasts: Mapping[Dimension, DemandForecast] | None = {}

    def take(self, sight: Sight) -> None:
        """Account for a look at the feed; a step without a usable one is a gap in every series."""
        step = int(sight.at_seconds // self._step_seconds)
        if self._open_step is not None and step < self._open_step:
            return  # from the past: a clock went back, or a replica of the samples came late
        if self._open_step is not None and step > self._open_step:
            self._close(self._open_step)
        self._open_step = step
        if sight.observation is not None and sight.usable():
            self.demand, self._state = demand_of(sight.observation, self._state)
            self._looks.append(self.demand)

    def _close(self, step: int) -> None:
        at = step * self._step_seconds
        for dimension, forecaster in self._forecasters.items():
            amounts = [amount(demand, dimension) for demand in self._looks]
            measured = [value for value in amounts if value is not None]
            forecaster.update(at, sum(measured) / len(measured) if measured else None)
        self._looks.clear()
        self._forecasts = None

    @property
    def forecasts(self) -> Mapping[Dimension, DemandForecast]:
        """As of the last closed step; empty before the first."""
        if self._forecasts is None:
            self._forecasts = {d: f.forecast() for d, f in self._forecasters.items()}
        return self._forecasts

    def outlooks(self, *, lead_seconds: float, level: float) -> dict[Dimension, Outlook]:
        """Each dimension's quantile at the lead time, with its skill there."""
        return {
            dimension: Outlook(
                demand=forecast.at(horizon_seconds=lead_seconds, level=level),
                skill=_skill(forecast, lead_seconds),
            )
            for dimension, forecast in self.forecasts.items()
        }

    def beginning(self) -> "Track":
        """An empty track of the same kind, for history to be read into."""
        return Track(self._make_forecaster, step_seconds=self._step_seconds)


def _skill(forecast: DemandForecast, lead_seconds: float) -> float | None:
    """The last day's skill at the first horizon that reaches the lead, else at the last one."""
    reaching = [s for s in forecast.skill if s.horizon_seconds >= lead_seconds]
    found = reaching[:1] or forecast.skill[-1:]
    return found[0].day if found else None


def amount(demand: Demand | None, dimension: Dimension) -> float | None:
    """The demand in one dimension, or None where it is not measured."""
    if demand is None:
        return None
    amounts = {
        Dimension.PROMPT_TOKENS: demand.prompt_tokens,
        Dimension.GENERATED_TOKENS: demand.generated_tokens,
        Dimension.IN_FLIGHT: demand.in_flight,
    }
    return amounts.get(dimension)
