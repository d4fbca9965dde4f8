"""The whole demand of a model, from what its variants show: one look, one demand, one forecast.

What is not measured at one variant is not measured for the model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from scaler.decision.demand import Demand
from scaler.decision.series import PLANNED, DemandSeries
from scaler.forecast.record import DemandForecast, Skill
from scaler.signals import Absent, Observation, Reading, Signal, Value

_TOTALS: Final = (
    Signal.WAITING,
    Signal.PROMPT_TOKENS,
    Signal.GENERATED_TOKENS,
    Signal.REQUESTS,
    Signal.REJECTED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one variant shows."""

    name: str
    observation: Observation
    demand: Demand
    forecasts: Mapping[DemandSeries, DemandForecast]
    worth: float
    """What a replica of it serves, in replicas of the variant that all is counted in."""
    slots_worth: float
    """What a running request of it takes of a replica, likewise: its worth ÷ its batch slots, times
    the slots of that variant."""


def joint_demand(demands: Sequence[Demand]) -> Demand:
    """The sum; a series that one does not measure is unknown."""
    return Demand(
        at_seconds=max(one.at_seconds for one in demands),
        prompt_tokens=_total([one.prompt_tokens for one in demands]),
        generated_tokens=_total([one.generated_tokens for one in demands]),
        requests=_total([one.requests for one in demands]),
        in_flight=_total([one.in_flight for one in demands]),
    )


def joint_observation(parts: Sequence[Part]) -> Observation:
    """What one fleet would show that consists of the variant that all is counted in."""
    readings: dict[Signal, Reading] = {
        signal: _reading(parts, signal, [1.0] * len(parts)) for signal in _TOTALS
    }
    readings[Signal.RUNNING] = _reading(parts, Signal.RUNNING, [one.slots_worth for one in parts])
    ready = _reading(parts, Signal.REPLICAS, [one.worth for one in parts])
    if isinstance(ready, Value):
        readings[Signal.KV_USE] = _kv_use(parts)
        ready = replace(ready, value=float(round(ready.value)))
    readings[Signal.REPLICAS] = ready
    return Observation(
        at_seconds=max(one.observation.at_seconds for one in parts), readings=readings
    )


def joint_forecasts(parts: Sequence[Part]) -> dict[DemandSeries, DemandForecast]:
    """The sum of the forecasts, quantile by quantile: the shares of one demand rise together.

    A series that one of them does not forecast, or on another grid, is left out.
    """
    found = {}
    for series in PLANNED:
        made = [one.forecasts.get(series) for one in parts]
        known = [one for one in made if one is not None and one.measured]
        grids = {(one.horizons_seconds, one.levels) for one in known}
        if len(known) == len(parts) and len(grids) == 1:
            found[series] = _sum(known)
    return found


def _sum(forecasts: Sequence[DemandForecast]) -> DemandForecast:
    first = forecasts[0]
    rows = zip(*(one.quantiles for one in forecasts), strict=True)
    return replace(
        first,
        made_at_seconds=max(one.made_at_seconds for one in forecasts),
        data_age_seconds=max(one.data_age_seconds for one in forecasts),
        quantiles=tuple(tuple(map(sum, zip(*row, strict=True))) for row in rows),
        last_value=sum(one.last_value for one in forecasts),
        skill=_skill(forecasts),
        experts=(),
    )


def _skill(forecasts: Sequence[DemandForecast]) -> tuple[Skill, ...]:
    """The mean, weighted by what each forecasts, with the least evidence of any."""
    if len({len(one.skill) for one in forecasts}) > 1:
        return ()
    weights = [one.last_value for one in forecasts]
    return tuple(
        Skill(
            horizon_seconds=row[0].horizon_seconds,
            day=_mean([one.day for one in row], weights),
            week=_mean([one.week for one in row], weights),
            judged=min(one.judged for one in row),
        )
        for row in zip(*(one.skill for one in forecasts), strict=True)
    )


def _mean(values: Sequence[float | None], weights: Sequence[float]) -> float | None:
    known = [value for value in values if value is not None]
    total = sum(weights)
    if len(known) < len(values):
        return None
    if not total:
        return min(known)
    return sum(value * weight for value, weight in zip(known, weights, strict=True)) / total


def _reading(parts: Sequence[Part], signal: Signal, weights: Sequence[float]) -> Reading:
    values = [one.observation.value(signal) for one in parts]
    known = [
        value * weight for value, weight in zip(values, weights, strict=True) if value is not None
    ]
    if len(known) == len(parts):
        at = min(one.observation.at_seconds for one in parts)
        return Value(value=sum(known), at_seconds=at)
    lacking = [one.name for one, value in zip(parts, values, strict=True) if value is None]
    return Absent(why=f"not measured at {', '.join(lacking)}")


def _kv_use(parts: Sequence[Part]) -> Reading:
    """Mean of the shares in use, by what the replicas of each are worth."""
    worth = [one.worth * (one.observation.value(Signal.REPLICAS) or 0.0) for one in parts]
    total = sum(worth)
    if not total:
        return Absent(why="no variant has a replica")
    # A variant without a replica has no cache, so its reading is not missing.
    having = [(one, weight / total) for one, weight in zip(parts, worth, strict=True) if weight]
    return _reading([one for one, _ in having], Signal.KV_USE, [weight for _, weight in having])


def _total(amounts: Sequence[float | None]) -> float | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if len(known) == len(amounts) else None
