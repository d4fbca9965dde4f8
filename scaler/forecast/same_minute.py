"""Quantiles from what followed the same minute of past hours, for traffic that starts by the clock.

Scheduled jobs start at the same minutes of an hour, though not every hour. So the change of demand
that followed each of the last half hours' same minute is a sample of the change that follows now.
The samples are weighted by how alike demand was before, in the manner of nearest-neighbour
forecasts (Yakowitz 1987). Samples from all other minutes have the weight of `PRIOR_SAMPLES` in all:
what was never seen at this minute has some chance left, as under a Dirichlet prior. Minutes without
measurements are no samples: an outage is no evidence that nothing happens.

A change is counted from a baseline, not from the newest value alone: the noise of one minute would
move all quantiles of that minute. The baseline is the last value or an exponentially weighted mean
of the last steps, the one that was nearest to what followed the samples.
"""

from dataclasses import dataclass
from functools import cache
from math import gcd

import numpy as np
import numpy.typing as npt

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
LIKENESS_MEAN = 10
"""Place among `Past.ewma` of the mean demand."""
LIKENESS_SHARE = 0.05
"""Of the mean demand, added to both before their ratio is taken, so that a demand of 0 has one."""
BASELINE_STEPS = 8
"""That a baseline is the mean of, at most."""
STEP_WEIGHTS = (0.0, 0.4, 0.8)
"""Of a step in a baseline, over that of the step after it; the first one is the last value."""
BASELINE_HORIZON = 1
"""Place of the horizon at which baselines are compared: some steps ahead, so that one that lags
behind a burst loses, and more than one, which another step of the same noise would decide."""

Singles = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Where the samples are; constant for a step's length."""

    lags: Indices
    """In steps, ascending."""
    weight: Floats
    """Of the near ones; 0 for the others."""
    other: Floats
    """1 for those from other minutes, 0 for the near ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ahead:
    """The samples of each horizon; arrays of shape (horizons, samples), but for the first two."""

    lags: Indices
    before: Indices
    """Lags of the steps that a baseline is the mean of, shape (`BASELINE_STEPS`, samples)."""
    after: Indices
    """Lags of the outcomes; 0 where there is none yet."""
    ended: npt.NDArray[np.bool_]
    """Whether the outcome is known."""
    near: Floats
    """Weights of the near ones whose outcome is known."""
    other: Floats
    """1 for those from other minutes whose outcome is known."""


class SameMinute:
    """Reads the past and has no state of its own."""

    def __init__(self, task: Task) -> None:
        self._ahead = task.horizons_steps[:, None]
        self._samples = _ahead_of(task.step_seconds, tuple(task.horizons_steps.tolist()))

    def quantiles(self, past: Past, otherwise: Floats) -> Floats:
        """Shape (horizons, levels).

        Args:
            otherwise: the quantiles while there are too few samples, of the same shape.
        """
        samples = self._samples
        oldest = min(past.step, RECENT_STEPS - 1) - (BASELINE_STEPS - 1)
        known = int(samples.lags.searchsorted(oldest, side="right"))
        if not known:
            return otherwise.copy()
        ended, near = samples.ended[:, :known], samples.near[:, :known]
        other, lags = samples.other[:, :known], samples.lags[:known]
        if past.has_gaps(int(lags[-1])):
            counted = past.was_measured(lags) & past.was_measured(lags - self._ahead)
            ended, near, other = ended & counted, near * counted, other * counted
        recent = past.tail(RECENT_STEPS)  # newest first: a lag is its place
        after = recent.take(samples.after[:, :known])
        judged = min(BASELINE_HORIZON, len(after) - 1)
        now, then = _baseline(recent, samples.before[:, :known], after[judged], ended[judged])
        alike = _likeness(then, now, past)
        mass, total = near @ alike, other @ alike
        prior = PRIOR_SAMPLES / np.maximum(total, 1e-9)
        values = np.maximum(after + (now - then), 0.0)
        weight = alike * (near + other * prior[:, None])
        found = _weighted_quantiles(values, weight, ended)
        trust = mass / (mass + SAMPLES_TRUSTED)
        return otherwise + trust[:, None] * (found - otherwise)


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


@cache
def _ahead_of(step_seconds: float, horizons_steps: tuple[int, ...]) -> _Ahead:
    """Shared by all series of this step and these horizons."""
    samples, ahead = samples_of(step_seconds), np.array(horizons_steps)[:, None]
    ended = ahead <= samples.lags
    return _Ahead(
        lags=samples.lags,
        before=shared_constant(samples.lags + np.arange(BASELINE_STEPS)[:, None]),
        after=shared_constant(np.maximum(samples.lags - ahead, 0)),
        ended=shared_constant(ended),
        near=shared_constant(ended * samples.weight),
        other=shared_constant(ended * samples.other),
    )


def _step_weights() -> Singles:
    """Of the steps in each baseline, shape (baselines, `BASELINE_STEPS`), newest first."""
    weights = np.array(STEP_WEIGHTS)[:, None] ** np.arange(BASELINE_STEPS)
    return shared_constant((weights / weights.sum(axis=1, keepdims=True)).astype(np.float32))


_BASELINES = _step_weights()


def _baseline(
    recent: Singles, before: Indices, after: Singles, ended: npt.NDArray[np.bool_]
) -> tuple[float, Floats]:
    """The baseline now and those at the samples, by the mean that was nearest to what followed.

    Args:
        after: what followed, at one horizon.
    """
    then = _BASELINES @ recent.take(before)
    best = int((np.abs(after - then) @ ended).argmin())
    now = float(_BASELINES[best] @ recent[:BASELINE_STEPS])
    return now, then[best].astype(np.float64)


def _likeness(then: Floats, now: float, past: Past) -> Floats:
    """The square of the smaller over the larger of demand then and now; 1 = alike."""
    least = LIKENESS_SHARE * float(past.ewma[LIKENESS_MEAN]) + 1e-9
    was, here = then + least, now + least
    alike: Floats = np.minimum(was, here) / np.maximum(was, here)
    return alike * alike


def _weighted_quantiles(values: Floats, weight: Floats, ended: npt.NDArray[np.bool_]) -> Floats:
    """Of each row, at `LEVELS`: linear between the middles of the samples' weights.

    What has not ended is no sample. It comes last and has the value of the one before it.
    """
    rows = np.arange(len(values))[:, None]
    most = np.maximum.reduce(values * ended, axis=1, keepdims=True)
    order = np.where(ended, values, np.inf).argsort(axis=1) + rows * values.shape[1]
    values, weight = np.where(ended, values, most).take(order), weight.take(order)
    reached = np.add.accumulate(weight, axis=1)
    middle = (reached - weight / 2) / np.maximum(reached[:, -1:], 1e-9)
    # Rows are laid one after the other, each two beyond the last, so that one call reads them all.
    asked = np.minimum(np.maximum(LEVELS, middle[:, :1]), middle[:, -1:])
    middle += 2 * rows
    found: Floats = np.interp(asked + 2 * rows, middle.ravel(), values.ravel())
    return found
