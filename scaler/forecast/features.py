"""What a situation looks like, free of scale: the inputs of the shipped prior.

Every number is a ratio, a distance in local scales from the centre, or a duration in horizons, so
that a thousand requests a second and three a minute look alike when they behave alike, and what
was learnt on one family of traffic can be true of another. Unknown is `UNKNOWN`, never 0.
"""

from dataclasses import dataclass

import numpy as np

from scaler.forecast.experts.port import Task
from scaler.forecast.past import HALF_LIVES_STEPS, Floats, Past
from scaler.forecast.rhythm import Rhythm

UNKNOWN = -99.0
DISTANCE_MAX = 30.0
TAIL_STEPS = 512
HORIZON_SPANS = np.array([0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0])
WALL_SPANS_SECONDS = np.array([300.0, 1800.0, 7200.0, 21_600.0, 86_400.0])
EXTREME_SPANS = np.array([1.0, 4.0, 16.0])
HOUR_SECONDS = 3600.0
LEVEL_MEAN = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What is known of a series at one step; arrays have one row per horizon."""

    past: Past
    rhythm: Rhythm
    centre: Floats
    scale: Floats
    error_size: Floats
    """Mean absolute error of the centre lately and over a day, shape (2, horizons)."""
    mixture: Floats
    """Quantiles of the experts that know this series only."""
    points: Floats
    """A few point forecasts."""


class Features:
    """Fills one row per horizon."""

    def __init__(self, task: Task) -> None:
        ahead = task.horizons_steps.astype(np.float64)
        step = task.step_seconds
        self._ahead = ahead
        self._ahead_steps = task.horizons_steps
        self._step = step
        self._fixed = np.column_stack(
            (np.log2(ahead), np.log(ahead * step), np.full(len(ahead), np.log(step)))
        )
        spans = np.maximum(ahead[:, None] * HORIZON_SPANS, 0.5)
        self._ewma_by_horizon = _nearest_mean(spans)
        self._ewma_by_wall = _nearest_mean(np.maximum(WALL_SPANS_SECONDS / step, 0.5))
        self._extreme = np.minimum(ahead[:, None] * EXTREME_SPANS, TAIL_STEPS).astype(np.intp) - 1
        self._lags = np.column_stack(
            (np.tile([0, 1, 2, 4], (len(ahead), 1)), ahead, 2 * ahead)
        ).astype(np.intp)
        hours = np.ceil(ahead * step / HOUR_SECONDS)[:, None] + np.arange(3)
        hour_lags = hours * HOUR_SECONDS / step - ahead[:, None]
        # An hour of fewer than two steps has no inside, and its lags only repeat others.
        self._hour_lags = np.where(step * 2 <= HOUR_SECONDS, np.round(hour_lags), -1).astype(
            np.intp
        )

    def of(self, now: Situation) -> Floats:
        past, centre, scale = now.past, now.centre, now.scale
        c, s = centre[:, None], scale[:, None]

        def distance(values: Floats) -> Floats:
            return np.clip((values - c) / s, -DISTANCE_MAX, DISTANCE_MAX)

        tail = past.tail(TAIL_STEPS)
        reach = np.minimum(self._extreme, len(tail) - 1)
        top = np.maximum.accumulate(tail)[reach].astype(np.float64)
        low = np.minimum.accumulate(tail)[reach].astype(np.float64)
        level = past.ewma[LEVEL_MEAN]
        ages = np.column_stack(
            (
                np.log1p(past.measured / self._ahead),
                np.full(len(centre), np.log1p(past.measured)),
            )
        )
        tiny = 1e-9 + 1e-9 * past.peak
        sizes = np.column_stack(
            (
                np.log(scale / (np.abs(centre) + scale)),
                np.log((now.error_size[0] + 1e-3 * scale) / (now.error_size[1] + 1e-3 * scale)),
                np.log((level + tiny) / (np.abs(centre) + 0.1 * scale + tiny)),
                np.full(len(centre), past.change_product / (past.change_square + tiny)),
            )
        )
        changes = np.log((past.change[None, :] + 1e-3 * s) / s)
        lagged = past.lagged(self._lags)
        hourly = past.lagged(self._hour_lags)
        target = past.day_lags_seconds[:, None] - (self._ahead * self._step)
        days = past.binned(target).T
        level_then = past.binned(past.day_lags_seconds[[0, 3]])
        then = past.lagged(
            np.round(past.day_lags_seconds[0] / self._step - self._ahead).astype(np.intp)
        )
        raw = np.column_stack(
            (
                self._fixed,
                ages,
                sizes,
                changes,
                distance(lagged),
                distance(past.ewma[self._ewma_by_horizon]),
                distance(np.broadcast_to(past.ewma[self._ewma_by_wall], (len(centre), 5))),
                distance(top),
                distance(low),
                distance(hourly),
                distance(hourly.mean(axis=1, keepdims=True)),
                distance(days),
                distance(then[:, None]),
                np.clip((days[:, [0, 3]] - level_then) / s, -DISTANCE_MAX, DISTANCE_MAX),
                distance(now.mixture[:, [0, 2, 5, 7]]),
                distance(now.points),
                np.clip(now.rhythm.read(past, self._ahead_steps), -DISTANCE_MAX, DISTANCE_MAX),
            )
        )
        return np.where(np.isnan(raw), UNKNOWN, raw)


def _nearest_mean(spans_steps: Floats) -> Floats:
    """Which exponentially weighted mean has about these half-lives."""
    gap = np.abs(np.log2(spans_steps)[..., None] - np.log2(HALF_LIVES_STEPS))
    return gap.argmin(axis=-1)
