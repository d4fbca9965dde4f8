"""The forecast of a workload's work at the lead time, and how far a plan goes by it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from scaler.decision.capacity import ReplicaCapacity, Together, Work
from scaler.decision.schedule import NeedAhead
from scaler.decision.series import PLANNED, DemandSeries
from scaler.forecast.record import SKILL_STEPS_MIN, DemandForecast, Skill

SKILL_NONE = -0.1
"""At this skill or a worse one the forecast does not count; from 0 on it alone sets the need.

At 0 the forecast is as good as the last value with the spread of its errors. That spread is what a
plan needs: the fixed head-room that takes its place below is too little where traffic jumps and too
much where it does not. On public traces the skill of a day wanders by 1 to 3 % around the skill of
a week (one standard deviation), so a skill little below 0 may be chance.
"""
EVIDENCE_FULL = 2 * SKILL_STEPS_MIN
"""Judged forecasts from which a skill counts in full; below half of them it is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """The forecast of work at the lead time."""

    replicas: float
    """Replicas that the planned quantile of demand keeps busy."""
    text: str
    reach_seconds: float
    """How far the forecast looks; beyond, `replicas` is the demand at this distance."""
    skill: float | None
    """1 − loss ÷ loss of the last value, over recent steps; None while there is no evidence."""
    judged: int
    """Forecasts whose outcome is known: the evidence for the skill."""
    need: NeedAhead | None = None
    """Quantiles over the whole horizon; None where only one is known."""

    @property
    def weight(self) -> float:
        """The forecast's share of the need, 0 to 1, continuous in skill and evidence."""
        if self.skill is None:
            return 0.0
        evidence = (self.judged - SKILL_STEPS_MIN) / (EVIDENCE_FULL - SKILL_STEPS_MIN)
        return min(max(1 - self.skill / SKILL_NONE, 0.0), 1.0) * min(max(evidence, 0.0), 1.0)


def outlook_of(
    forecasts: Mapping[DemandSeries, DemandForecast],
    capacity: ReplicaCapacity,
    *,
    lead_seconds: float,
    level: float,
) -> Outlook | None:
    """The quantile of work at the lead time, in replicas; None while nothing is forecast.

    A series that was never measured is left out.

    Where the two kinds of work are added, their quantiles are added too. That is at least the
    quantile of the sum, and equal to it if both rise together.
    """
    known = {series: one for series, one in forecasts.items() if one.measured}
    prompt, generated = (
        known[series].at(horizon_seconds=lead_seconds, level=level) if series in known else None
        for series in PLANNED
    )
    work = capacity.work.replicas(prompt, generated)
    if work is None:
        return None
    parts = [
        (per_token * amount, known[series].skill_at(horizon_seconds=lead_seconds))
        for per_token, amount, series in (
            (capacity.work.prompt, prompt, DemandSeries.PROMPT_TOKENS),
            (capacity.work.generated, generated, DemandSeries.GENERATED_TOKENS),
        )
        if amount is not None
    ]
    if capacity.work.together is Together.LARGER:
        parts = [max(parts, key=lambda part: part[0])]
    skill, judged = _together(parts)
    return Outlook(
        replicas=work,
        text=work_text(capacity.work, prompt, generated),
        reach_seconds=min(known[s].horizons_seconds[-1] for s in PLANNED if s in known),
        skill=skill,
        judged=judged,
        need=_need_ahead(capacity.work, *(known.get(series) for series in PLANNED)),
    )


def _need_ahead(
    work: Work, prompt: DemandForecast | None, generated: DemandForecast | None
) -> NeedAhead:
    """The quantiles of work at every horizon; those of two kinds are joined as in `outlook`."""
    parts = [
        (per_token, forecast)
        for per_token, forecast in ((work.prompt, prompt), (work.generated, generated))
        if forecast is not None
    ]
    grid = parts[0][1]  # all series of a workload have one grid
    loads = [
        np.array([[forecast.last_value] * len(grid.levels), *forecast.quantiles]) * per_token
        for per_token, forecast in parts
    ]
    joined = (np.add if work.together is Together.SUM else np.maximum).reduce(loads)
    return NeedAhead(
        seconds=(0.0, *grid.horizons_seconds),
        levels=grid.levels,
        quantiles=tuple(map(tuple, joined.tolist())),
    )


def _together(parts: Sequence[tuple[float, Skill | None]]) -> tuple[float | None, int]:
    """The mean skill of the parts, weighted by load, and the least evidence of any of them.

    The skill is None where a part has no evidence yet.

    Args:
        parts: the load of each part and its skill.
    """
    total = sum(load for load, _ in parts)
    loaded = [(load, skill) for load, skill in parts if load > 0 or total == 0]
    judged = min(0 if skill is None else skill.judged for _, skill in loaded)
    known = [(load, None if skill is None else skill.better) for load, skill in loaded]
    numbers = [(load, skill) for load, skill in known if skill is not None]
    if len(numbers) < len(known):
        return None, judged
    if total == 0:
        return min(skill for _, skill in numbers), judged
    return sum(load * skill for load, skill in numbers) / total, judged


def work_text(work: Work, prompt: float | None, generated: float | None) -> str:
    """The tokens per second and how they make a load; `?` for what is not measured.

    For example `1,500 prompt + 300 generated tokens/s (metadata, the larger of 1.50 and 0.94)`.
    """
    rates = ["?" if amount is None else f"{amount:,.0f}" for amount in (prompt, generated)]
    return f"{rates[0]} prompt + {rates[1]} generated tokens/s ({work.reason(prompt, generated)})"
