"""The cheapest number of replicas over the whole horizon of the forecast.

Two costs are weighed, both in GPU-minutes: replicas, whether they are needed or not, and requests
that come while there are too few. One number joins them, `late_minute_cost`: the GPU-minutes that
one replica's requests of one minute are worth if they come late. With D the demand in replicas of
a part of the horizon and n the replicas then, the schedule n_1, n_2, … minimises

    Σ minutes · (n + late_minute_cost · E[D; D > n]) + start_minutes · Σ replicas started.

All requests of a moment are late while replicas are short of it, hence E[D; D > n] and not the
excess over n. The price of a start is what one costs, a lead time and the drain of a replica that
is removed. So a replica stays where the forecast wants it back sooner than a new one pays for
itself. Nothing can be added before the lead time, and the horizon ends where the price of a start
is paid back. An exact dynamic program over the number of replicas finds the minimum.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log

import numpy as np
from numpy.typing import NDArray

from scaler.forecast.record import TAIL_FROM_LEVEL

IDLE_REPLICAS = 0.02
"""A need below this share of one replica counts as zero: the forecast is no more precise."""
DRAIN_SECONDS = 30.0
"""A removed replica costs this much more while its requests end."""
_BEFORE_PARTS, _AFTER_PARTS = 4, 5
"""Parts of the horizon until the lead time, and from it on."""
_COUNTS_MAX = 160
"""Numbers of replicas that are compared; a larger fleet is planned in steps of several."""
_TAIL_REPLICAS_MIN = 0.02
"""Least mean excess over the top quantile: demand is never known exactly."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedAhead:
    """Quantiles of the replicas that demand keeps busy, from now on."""

    seconds: tuple[float, ...]
    """From now, ascending; the first is 0."""
    levels: tuple[float, ...]
    quantiles: tuple[tuple[float, ...], ...]
    """[time][level]; beyond the last time they stay as they are there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The part of the cheapest schedule that is decided now."""

    kept: int
    """Of the replicas that are there or on their way, those that stay."""
    at_lead: int
    """Replicas a lead time from now: those above `kept` are ordered now."""
    exceeded: float
    """Chance that demand is above `at_lead` then."""

    @property
    def replicas(self) -> int:
        """Ready and on their way, from now on."""
        return max(self.kept, self.at_lead)


def cheapest(
    need: NeedAhead, *, supply: int, lead_seconds: float, late_minute_cost: float
) -> Schedule:
    """The schedule of least expected cost.

    Args:
        supply: replicas that are ready or on their way.
    """
    return cheapest_of_each(
        need, supplies=[supply], lead_seconds=lead_seconds, late_minute_costs=[late_minute_cost]
    )[0]


def cheapest_of_each(
    need: NeedAhead,
    *,
    supplies: Sequence[int],
    lead_seconds: float,
    late_minute_costs: Sequence[float],
) -> tuple[Schedule, ...]:
    """The cheapest schedule of each supply and its late-minute cost, for the same need."""
    middles, lengths = _parts(lead_seconds)
    quantiles = _at(need, middles)
    most = float(quantiles.max())
    unit = max(1, ceil(most / _COUNTS_MAX))
    counts = np.arange(ceil(most / unit) + 3, dtype=np.float64) * unit
    above = _chances_above(counts, quantiles, need.levels)
    beyond = np.zeros_like(above)
    steps = (above[:, 1:] + above[:, :-1]) * (unit / 2)
    beyond[:, :-1] = steps[:, ::-1].cumsum(axis=1)[:, ::-1]
    late = counts * above + beyond
    # Rows of `cost` are schedules, columns are counts, for each part.
    cost = counts + np.array(late_minute_costs, np.float64)[:, None] * late[:, None]
    cost *= (lengths / 60)[:, None, None]
    start_minutes = (lead_seconds + DRAIN_SECONDS) / 60
    # After a loop, `cost[part]` is that of the part and of the best that can follow it.
    for part in range(len(cost) - 1, 0, -1):
        can_start = part >= _BEFORE_PARTS
        cost[part - 1] += _best_from(cost[part], counts, start_minutes if can_start else None)
    places = np.minimum(np.ceil(np.array(supplies) / unit).astype(np.intp), len(counts) - 1)
    kept = before = _least_up_to(cost[0], places)
    for part in range(1, _BEFORE_PARTS):
        before = _least_up_to(cost[part], before)
    starting = start_minutes * np.maximum(counts - counts[before][:, None], 0)
    at_lead = (cost[_BEFORE_PARTS] + starting).argmin(axis=1)
    return tuple(
        Schedule(kept=min(int(stays), supply), at_lead=int(then), exceeded=chance)
        for stays, supply, then, chance in zip(
            counts[kept].tolist(),
            supplies,
            counts[at_lead].tolist(),
            above[_BEFORE_PARTS, at_lead].tolist(),
            strict=True,
        )
    )


def _parts(lead_seconds: float) -> tuple[Floats, Floats]:
    """The middle of each part of the horizon, and its length, in seconds."""
    before, after = lead_seconds / _BEFORE_PARTS, (lead_seconds + DRAIN_SECONDS) / _AFTER_PARTS
    lengths = np.array([before] * _BEFORE_PARTS + [after] * _AFTER_PARTS)
    return lengths.cumsum() - lengths / 2, lengths


def _at(need: NeedAhead, seconds: Floats) -> Floats:
    """Quantiles at these times, [part][level], joined by straight lines."""
    known = np.array(need.seconds)
    rows = np.array(need.quantiles)
    seconds = np.minimum(seconds, known[-1])
    after = 1 + known[1:-1].searchsorted(seconds)
    share = (seconds - known[after - 1]) / (known[after] - known[after - 1])
    quantiles: Floats = rows[after - 1] + share[:, None] * (rows[after] - rows[after - 1])
    return np.maximum.accumulate(quantiles, axis=1)


def _chances_above(counts: Floats, quantiles: Floats, levels: Sequence[float]) -> Floats:
    """Chance that demand is above each count, [part][count]; above 0 is above what counts as zero.

    Straight lines between the quantiles, from 0 at level 0; exponential above the top one.
    """
    counts = np.maximum(counts, IDLE_REPLICAS)
    tail_from = min(bisect_left(levels, TAIL_FROM_LEVEL), len(levels) - 1)
    span = log((1 - levels[tail_from]) / (1 - levels[-1])) or 1.0
    top = quantiles[:, -1:]
    mean_excess = np.maximum((top - quantiles[:, tail_from:][:, :1]) / span, _TAIL_REPLICAS_MIN)
    tail = (1 - levels[-1]) * np.exp(np.minimum(top - counts, 0) / mean_excess)
    known = np.array([1.0, *(1 - level for level in levels)])
    from_zero = np.zeros((len(quantiles), 1 + len(levels)))
    from_zero[:, 1:] = quantiles
    inside = [np.interp(counts, row, known) for row in from_zero]
    return np.where(counts <= top, inside, tail)


def _least_up_to(cost: Floats, places: NDArray[np.intp]) -> NDArray[np.intp]:
    """Place of the least cost of each row, at its place or before it."""
    allowed = np.arange(cost.shape[1]) <= places[:, None]
    least: NDArray[np.intp] = np.where(allowed, cost, np.inf).argmin(axis=1)
    return least


def _best_from(cost: Floats, counts: Floats, start_minutes: float | None) -> Floats:
    """The least cost of a part from each number of replicas before it; None = none can start."""
    fewer = np.minimum.accumulate(cost, axis=-1)
    if start_minutes is None:
        return fewer
    started = cost + start_minutes * counts
    more = np.minimum.accumulate(started[..., ::-1], axis=-1)[..., ::-1] - start_minutes * counts
    return np.minimum(fewer, more)
