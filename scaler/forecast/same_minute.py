"""Quantiles from what followed the same minute of past hours, for traffic that starts by the clock.

Scheduled jobs start at the same minutes of an hour, though not every hour. So the change of demand
that followed each of the last half hours' same minute is a sample of the change that follows now.
The samples are weighted by how alike demand was before, in the manner of nearest-neighbour
forecasts (Yakowitz 1987). Samples from all other minutes have the weight of `PRIOR_SAMPLES` in all:
what was never seen at this minute has some chance left, as under a Dirichlet prior. Minutes without
measurements are no samples: an outage is no evidence that nothing happens.
"""

from dataclasses import dataclass
from functools import cache
from math import gcd

import numpy as np

from scaler.forecast.experts.port import Task
from scaler.forecast.levels import LEVELS
from scaler.forecast.past import RECENT_STEPS, Floats, Indices, Past
from scaler.forecast.shared_constant import shared_constant

HALF_HOUR_SECONDS = 1800.0
BESIDE_SECONDS = 60.0
"""A job that starts a minute later than the last time is still found."""
NEAR_SAMPLES = 150
"""At most; with one-minute steps a day of half hours, and the minute before and after each."""
HALF_HOUR_WEIGHT = 0.5
"""Of a sample from the other half of an hour: more traffic starts each hour than each half."""
OTHER_SAMPLES = 50
"""At most, from all other minutes of the same span."""
PRIOR_SAMPLES = 2.0
"""The samples from other minutes weigh as much as so many near ones."""
SAMPLES_TRUSTED = 4.0
"""At so many samples as alike as can be the forecast is half of what they say."""
LEVEL_MEAN = 10
LEVEL_MIN = 0.05
"""Of the mean demand, added to both before their ratio is taken, so that a demand of 0 has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Where the samples are; constant for a step's length."""

    lags: Indices
    """In steps, ascending."""
    weight: Floats
    """Of the near ones; 0 for the others."""
    other: Floats
    """1 for those from other minutes, 0 for the near ones."""


class SameMinute:
    """Reads the past and has no state of its own."""

    def __init__(self, task: Task) -> None:
        self._ahead = task.horizons_steps[:, None]
        self._samples = samples_of(task.step_seconds)

    def quantiles(self, past: Past, otherwise: Floats) -> Floats:
        """Shape (horizons, levels).

        Args:
            otherwise: the quantiles while there are too few samples, of the same shape.
        """
        samples = self._samples
        known = int(samples.lags.searchsorted(min(past.step, RECENT_STEPS - 1), side="right"))
        if not known:
            return otherwise.copy()
        lags = samples.lags[:known]
        then = past.recent[(past.step - lags) % RECENT_STEPS].astype(np.float64)
        after = past.recent[(past.step - lags + self._ahead) % RECENT_STEPS]
        alike, ended = _likeness(then, past), self._ahead <= lags
        if past.has_gaps(int(lags[-1])):
            alike *= past.was_measured(lags)
            ended &= past.was_measured(lags - self._ahead)
        weight = ended * (alike * samples.weight[:known])
        mass = np.add.reduce(weight, axis=1, keepdims=True)
        others = ended * (alike * samples.other[:known])
        total = np.add.reduce(others, axis=1, keepdims=True)
        weight += others * (PRIOR_SAMPLES / np.maximum(total, 1e-9))
        values = np.where(ended, np.maximum(after + (past.last - then), 0.0), np.inf)
        found = _weighted_quantiles(values, weight)
        return otherwise + mass / (mass + SAMPLES_TRUSTED) * (found - otherwise)


@cache
def samples_of(step_seconds: float) -> Samples:
    """Shared by all series of this step."""
    period = round(HALF_HOUR_SECONDS / step_seconds)
    if period < 2:  # noqa: PLR2004 - every step is then the same minute
        none = np.empty(0)
        return Samples(lags=none.astype(np.intp), weight=none, other=none)
    beside = round(BESIDE_SECONDS / step_seconds)
    offsets = np.array([-beside, 0, beside] if 0 < 2 * beside < period else [0])
    halves = np.arange(1, RECENT_STEPS // period + 1)
    lags = (halves[:, None] * period + offsets).ravel()
    weight = np.repeat(np.where(halves % 2, HALF_HOUR_WEIGHT, 1.0), len(offsets))
    inside = lags < RECENT_STEPS
    lags, weight = lags[inside][:NEAR_SAMPLES], weight[inside][:NEAR_SAMPLES]
    stride = -(-int(lags[-1]) // OTHER_SAMPLES)
    while gcd(stride, period) > 1:  # else they would be of some minutes only
        stride += 1
    others = np.setdiff1d(np.arange(1, int(lags[-1]) + 1, stride), lags)
    lags = np.concatenate((lags, others))
    order = lags.argsort()
    return Samples(
        lags=shared_constant(lags[order]),
        weight=shared_constant(np.concatenate((weight, np.zeros(len(others))))[order]),
        other=shared_constant(np.repeat([0.0, 1.0], [len(weight), len(others)])[order]),
    )


def _likeness(then: Floats, past: Past) -> Floats:
    """The square of the smaller over the larger of demand then and now; 1 = alike."""
    least = LEVEL_MIN * past.ewma[LEVEL_MEAN] + 1e-9
    was, now = then + least, past.last + least
    alike: Floats = np.minimum(was, now) / np.maximum(was, now)
    return alike * alike


def _weighted_quantiles(values: Floats, weight: Floats) -> Floats:
    """Of each row, at `LEVELS`: linear between the middles of the samples' weights.

    An infinite value is no sample and weighs nothing.
    """
    most = np.maximum.reduce(values, axis=1, keepdims=True, where=np.isfinite(values), initial=0.0)
    first = np.arange(len(values))[:, None] * values.shape[1]
    order = values.argsort(axis=1) + first
    values, weight = np.minimum(values.take(order), most), weight.take(order)
    total = np.add.reduce(weight, axis=1, keepdims=True)
    middle = (weight.cumsum(axis=1) - weight / 2) / np.maximum(total, 1e-9)
    return np.array([np.interp(LEVELS, at, row) for at, row in zip(middle, values, strict=True)])
