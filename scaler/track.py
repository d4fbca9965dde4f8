"""One feed's demand and forecasts, kept up to date one observation at a time.

Workloads that read the same series share a track, and an edit of a trigger's bounds keeps it.
Forecasts are made on the grid of the step, so that replicas of Foresail that read the same samples
make the same forecasts whenever each of them looks.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, assert_never

from scaler.capacity import ReplicaCapacity, Together
from scaler.demand import Demand, DemandState, demand_of
from scaler.errors import SourceError
from scaler.forecast.record import DemandForecast
from scaler.need import Outlook, tokens
from scaler.signals import ESSENTIAL, Observation


class Series(StrEnum):
    """What can be forecast."""

    PROMPT_TOKENS = "prompt_tokens"
    GENERATED_TOKENS = "generated_tokens"
    REQUESTS = "requests"
    IN_FLIGHT = "in_flight"


PLANNED = (Series.PROMPT_TOKENS, Series.GENERATED_TOKENS)
"""What a plan is made from. The others are shown where the operator asks for them."""

LEADER = {
    Series.PROMPT_TOKENS: Series.REQUESTS,
    Series.GENERATED_TOKENS: Series.PROMPT_TOKENS,
    Series.IN_FLIGHT: Series.REQUESTS,
}
"""What may run ahead of a series: arrivals of their prompts, prompts of what is generated from
them. Engines that count a request when it is done make a leader of no use; its weight says so."""


class Forecaster(Protocol):
    """Quantiles of one series' future, from its past."""

    def update(self, t_seconds: float, value: float | None, *, leading: float | None) -> None:
        """Take the next step of the series and of its leader; None is a gap."""
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
        reasons: dict[str, list[str]] = {}
        for signal in ESSENTIAL:
            why = self.observation.why_not(signal)
            if why is not None:
                reasons.setdefault(why, []).append(signal)
        return "; ".join(f"{', '.join(signals)}: {why}" for why, signals in reasons.items())


class Track:
    """Demand and forecasts of one feed.

    Looks come more often than the forecast's steps. A step's value is the mean of its looks; it is
    closed, and the forecasts are made anew, by the first look of a later step.
    """

    def __init__(
        self,
        make_forecaster: Callable[[Series], Forecaster],
        *,
        step_seconds: float,
        beside: Sequence[Series] = (),
    ) -> None:
        """Start without a past.

        Args:
            beside: series that are forecast to be shown, beside those that are planned from.
        """
        self._make_forecaster = make_forecaster
        self._step_seconds = step_seconds
        self._beside = tuple(beside)
        self._forecasters = {
            series: make_forecaster(series) for series in dict.fromkeys((*PLANNED, *beside))
        }
        self._state: DemandState | None = None
        self._open_step: int | None = None
        self._looks: list[Demand] = []
        self.demand: Demand | None = None
        """Of the newest usable look."""
        self._forecasts: Mapping[Series, DemandForecast] | None = {}

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
        means = {series: _mean(self._looks, series) for series in Series}
        for series, forecaster in self._forecasters.items():
            leading = means[LEADER[series]] if series in LEADER else None
            forecaster.update(at, means[series], leading=leading)
        self._looks.clear()
        self._forecasts = None

    @property
    def forecasts(self) -> Mapping[Series, DemandForecast]:
        """As of the last closed step; empty before the first."""
        if self._forecasts is None:
            self._forecasts = {s: f.forecast() for s, f in self._forecasters.items()}
        return self._forecasts

    def outlook(
        self, capacity: ReplicaCapacity, *, lead_seconds: float, level: float
    ) -> Outlook | None:
        """The quantile of work at the lead time, in replicas; None while nothing is forecast.

        A series that was never measured is left out.

        Where the two kinds of work are added, so are their quantiles, as if they rose together: no
        less than the quantile of the sum.
        """
        known = {series: one for series, one in self.forecasts.items() if one.measured}
        prompt, generated = (
            known[series].at(horizon_seconds=lead_seconds, level=level) if series in known else None
            for series in PLANNED
        )
        work = capacity.work.replicas(prompt, generated)
        if work is None:
            return None
        parts = [
            (per_token * amount, _skill(known[series], lead_seconds))
            for per_token, amount, series in (
                (capacity.work.prompt, prompt, Series.PROMPT_TOKENS),
                (capacity.work.generated, generated, Series.GENERATED_TOKENS),
            )
            if amount is not None
        ]
        binds = capacity.work.together is Together.LARGER
        skill = max(parts, key=lambda part: part[0])[1] if binds else _weighted(parts)
        return Outlook(replicas=work, text=tokens(prompt, generated), skill=skill)

    def beginning(self) -> "Track":
        """An empty track of the same kind, for history to be read into."""
        return Track(self._make_forecaster, step_seconds=self._step_seconds, beside=self._beside)


def _mean(looks: Sequence[Demand], series: Series) -> float | None:
    measured = [value for look in looks if (value := amount(look, series)) is not None]
    return sum(measured) / len(measured) if measured else None


def _weighted(parts: Sequence[tuple[float, float | None]]) -> float | None:
    """The mean skill of what makes the load; None where a part of it has no evidence yet."""
    total = sum(weight for weight, _ in parts)
    loaded = [(weight, skill) for weight, skill in parts if weight > 0 or total == 0]
    if any(skill is None for _, skill in loaded):
        return None
    if total == 0:
        return min(skill for _, skill in loaded if skill is not None)
    return sum(weight * skill for weight, skill in loaded if skill is not None) / total


def _skill(forecast: DemandForecast, lead_seconds: float) -> float | None:
    """Skill at the first horizon that reaches the lead, else at the last one.

    The better of the last day's and the last week's: one flash crowd makes the loss of a whole day,
    and a forecaster that was better all week is not worse for having missed it.
    """
    reaching = [s for s in forecast.skill if s.horizon_seconds >= lead_seconds]
    for found in reaching[:1] or forecast.skill[-1:]:
        known = [skill for skill in (found.day, found.week) if skill is not None]
        return max(known, default=None)
    return None


def amount(demand: Demand | None, series: Series) -> float | None:
    """The demand of one series, or None where it is not measured."""
    if demand is None:
        return None
    match series:
        case Series.PROMPT_TOKENS:
            return demand.prompt_tokens
        case Series.GENERATED_TOKENS:
            return demand.generated_tokens
        case Series.REQUESTS:
            return demand.requests
        case Series.IN_FLIGHT:
            return demand.in_flight
        case _:
            assert_never(series)
