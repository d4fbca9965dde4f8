"""Scale-free features: the inputs of the shipped prior.

Every feature is a ratio, a distance from the centre in local scales, or a duration in horizons.
Series with a thousand requests a second and with three a minute have the same features where they
behave alike, so that what was learned on one family of traffic transfers to another. An unknown
feature is `UNKNOWN`, never 0.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from scaler.forecast.clip import clip
from scaler.forecast.experts.port import Task
from scaler.forecast.past import HALF_LIVES_STEPS, Floats, Indices, Past
from scaler.forecast.rhythm import Reaches, Rhythm

UNKNOWN = -99.0
DISTANCE_MAX = 30.0
TAIL_STEPS = 512
HORIZON_SPANS = np.array([0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0])
WALL_SPANS_SECONDS = np.array([300.0, 1800.0, 7200.0, 21_600.0, 86_400.0])
EXTREME_SPANS = np.array([1.0, 4.0, 16.0])
HOUR_SECONDS = 3600.0
HOURS = 3
"""Number of past hours whose same minute is a feature."""
LEVEL_MEAN = 8
INPUT_LEVELS = [0, 2, 5, 7]


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """The inputs of the features at one step; arrays have one row per horizon."""

    past: Past
    rhythm: Rhythm
    centre: Floats
    scale: Floats
    error_size: Floats
    """Mean absolute error of the centre lately and over a day, shape (horizons, 2)."""
    mixture: Floats
    """Quantiles before the prior, from this series only."""
    points: Floats
    """A few point forecasts."""


class Features:
    """Fills one row per horizon."""

    def __init__(self, task: Task) -> None:
        ahead = task.horizons_steps.astype(np.float64)
        step = task.step_seconds
        self._ahead = ahead
        self._reaches = Reaches(step, task.horizons_steps)
        self._step = step
        self._fixed = np.column_stack(
            (np.log2(ahead), np.log(ahead * step), np.full(len(ahead), np.log(step)))
        )
        spans = np.maximum(ahead[:, None] * HORIZON_SPANS, 0.5)
        self._ewma_by_horizon = _nearest_mean(spans)
        by_wall = _nearest_mean(np.maximum(WALL_SPANS_SECONDS / step, 0.5))
        self._ewma_by_wall = np.tile(by_wall, (len(ahead), 1))
        self._from_now_seconds = task.from_now_seconds
        self._extreme = np.minimum(ahead[:, None] * EXTREME_SPANS, TAIL_STEPS).astype(np.intp) - 1
        hours = np.ceil(ahead * step / HOUR_SECONDS)[:, None] + np.arange(HOURS)
        hour_lags = np.round(hours * HOUR_SECONDS / step - ahead[:, None])
        # With fewer than two steps an hour, the hourly lags repeat others.
        self._lags = np.column_stack((
            np.tile([0, 1, 2, 4], (len(ahead), 1)),
            ahead,
            2 * ahead,
            hour_lags if step * 2 <= HOUR_SECONDS else np.full_like(hour_lags, -1.0),
        )).astype(np.intp)  # fmt: skip

    def of(self, now: Situation) -> Floats:
        """Shape (horizons, features)."""
        distances = (self._levels(now) - now.centre[:, None]) / now.scale[:, None]
        rhythm = now.rhythm.read(now.past, self._reaches)
        far = clip(np.concatenate((distances, rhythm), axis=1), DISTANCE_MAX)
        raw = np.concatenate((self._fixed, self._sizes(now), far), axis=1)
        np.copyto(raw, UNKNOWN, where=np.isnan(raw))
        return raw

    def _sizes(self, now: Situation) -> Floats:
        past, scale = now.past, now.scale
        tiny = 1e-9 + 1e-9 * past.peak
        centre, small = np.abs(now.centre), 1e-3 * scale
        short, long = now.error_size.T
        sizes = np.empty((6 + len(past.change), len(scale)))
        sizes[0] = 1 + past.measured / self._ahead
        sizes[1] = 1 + past.measured
        sizes[2] = scale / (centre + scale)
        sizes[3] = (short + small) / (long + small)
        sizes[4] = (past.ewma[LEVEL_MEAN] + tiny) / (centre + 0.1 * scale + tiny)
        sizes[5] = 1.0  # overwritten below by a correlation, which has no logarithm
        sizes[6:] = (past.change[:, None] + small) / scale
        np.log(sizes, out=sizes)
        sizes[5] = past.change_product / (past.change_square + tiny)
        return sizes.T

    def _levels(self, now: Situation) -> Floats:
        """Past and predicted levels of demand, to be compared with the centre."""
        past = now.past
        tail = past.tail(TAIL_STEPS)
        reach = np.minimum(self._extreme, len(tail) - 1)
        lags_day = past.day_lags_seconds
        yesterday_steps = np.round(lags_day[0] / self._step - self._ahead).astype(np.intp)
        lagged = past.lagged(np.concatenate((self._lags, yesterday_steps[:, None]), axis=1))
        hourly = lagged[:, -1 - HOURS : -1]
        days = past.other_days(self._from_now_seconds)[:, :, 1]
        day_change = days[1:] - days[0]
        return np.concatenate(
            (
                lagged[:, : -1 - HOURS],
                past.ewma[self._ewma_by_horizon],
                past.ewma[self._ewma_by_wall],
                np.maximum.accumulate(tail)[reach],
                np.minimum.accumulate(tail)[reach],
                hourly,
                np.add.reduce(hourly, axis=1, keepdims=True) / HOURS,
                days[1:],
                lagged[:, -1:],
                day_change[:, [0, 3]] + now.centre[:, None],
                now.mixture[:, INPUT_LEVELS],
                now.points,
            ),
            axis=1,
        )


@cache
def features(step_seconds: float, horizons_steps: tuple[int, ...]) -> Features:
    """Shared by all workloads with the same task: it has no state."""
    ahead = np.array(horizons_steps, np.intp)
    return Features(Task(step_seconds=step_seconds, horizons_steps=ahead))


def _nearest_mean(spans_steps: Floats) -> Indices:
    """Index of the exponentially weighted mean with the nearest half-life."""
    gap: Floats = np.abs(np.log2(spans_steps)[..., None] - np.log2(HALF_LIVES_STEPS))
    nearest: Indices = gap.argmin(axis=-1)
    return nearest
