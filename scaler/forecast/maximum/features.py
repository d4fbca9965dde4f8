"""Scale-free features of a pool's situation: the inputs of the shipped prior.

One row for each window and threshold: what the pool's own past says of it, whether and when that
value was last reached, what followed at the same time on other days, and how demand has moved.
Demand is measured in the past's scale, so that what was learned on one pool transfers to another.
An unknown feature is `UNKNOWN`, never 0.
"""

import numpy as np

from scaler.forecast.clip import clip
from scaler.forecast.features import UNKNOWN
from scaler.forecast.maximum.wanted_past import UNKNOWN as UNKNOWN_EXCESS
from scaler.forecast.maximum.wanted_past import WantedPast
from scaler.forecast.past import DAY_LAGS, DAY_SECONDS, Floats, Indices

DISTANCE_MAX = 30.0
LOGIT_MAX = 7.0
MINUTE_SECONDS = 60.0
TREND_MINUTES = (2, 4, 6, 10, 16, 30, 60, 120, 240)
SPAN_MINUTES = (10, 30, 60, 120, 360, 1440)
MEAN_MINUTES = (30, 120, 720)
RISE_MINUTES = (30, 120, 720, 1440)
REACHED_MINUTES = (30, 120, 360, 1440, 4320)
WIDENED_MINUTES = 10


class Features:
    """Fills shape (windows × thresholds, features), thresholds varying fastest."""

    def __init__(self, *, step_seconds: float, windows_steps: Indices) -> None:
        def steps(minutes: tuple[int, ...]) -> tuple[int, ...]:
            return tuple(max(1, round(m * MINUTE_SECONDS / step_seconds)) for m in minutes)

        self._windows = windows_steps
        self._log_windows = np.log(windows_steps * step_seconds / MINUTE_SECONDS)
        self._trends = np.array(steps(TREND_MINUTES))
        self._spans = np.array(steps(SPAN_MINUTES))
        self._means = np.array(steps(MEAN_MINUTES))
        self._rises = np.array(steps(RISE_MINUTES))
        self._reached = np.array(steps(REACHED_MINUTES))
        self._widened = steps((WIDENED_MINUTES,))[0]
        self._longest = int(max(self._reached.max(), self._spans.max()))
        self._day_steps = np.round(np.array(DAY_LAGS) * DAY_SECONDS / step_seconds).astype(np.intp)

    def of(self, past: WantedPast, thresholds: Floats, own: Floats, mixture: Floats) -> Floats:
        """The inputs of the prior.

        Args:
            own: probabilities by kernel, shape (windows, thresholds, kernels).
            mixture: of them, shape (windows, thresholds).
        """
        windows, count = mixture.shape
        newest = past.latest(self._longest + 1)[::-1]
        highest = np.maximum.accumulate(newest)
        value = past.last + thresholds
        by_step = self._step_features(past, newest, highest)
        by_threshold = np.concatenate((
            (np.log(thresholds / past.scale), np.log(thresholds)),
            (highest[self._reached, None] - value) / past.scale,
            (_age_of(past, value),),
        ))  # fmt: skip
        seasonal = self._seasonal(past, value)
        size = by_step.size, by_threshold.shape[0], seasonal.shape[2]
        rows = np.empty((windows, count, 1 + own.shape[2] + 1 + sum(size)))
        rows[:, :, 0] = self._log_windows[:, None]
        at = 1
        rows[:, :, at : at + own.shape[2]] = logit(own)
        at += own.shape[2]
        rows[:, :, at] = logit(mixture)
        at += 1
        rows[:, :, at : at + size[0]] = by_step
        at += size[0]
        rows[:, :, at : at + size[1]] = by_threshold.T
        at += size[1]
        rows[:, :, at:] = seasonal
        flat = clip(rows.reshape(windows * count, -1), DISTANCE_MAX)
        np.copyto(flat, UNKNOWN, where=np.isnan(flat))
        return flat

    def _step_features(self, past: WantedPast, newest: Floats, highest: Floats) -> Floats:
        last, scale = past.last, past.scale
        lowest = np.minimum.accumulate(newest)
        total = np.cumsum(newest)
        change = newest[:-1] - newest[1:]
        rises = np.cumsum(change > 0)
        height = np.cumsum(np.maximum(change, 0.0))
        far = [_first(change != 0), _first(change > 0), _first(change < 0)]
        day = self._spans[-1]
        spread = newest[:day].std(), newest[: self._spans[2]].std()
        return np.concatenate((
            (np.log(scale), np.log1p(last), np.log((last + 0.5) / (past.level + 0.5))),
            (np.log1p(past.measured),),
            (last - newest[self._trends]) / scale,
            (highest[self._spans] - last) / scale,
            (last - lowest[self._spans]) / scale,
            (total[self._means - 1] / self._means - last) / scale,
            np.log1p(far),
            np.log1p(rises[self._rises - 1]),
            (height[self._rises - 1] / np.maximum(rises[self._rises - 1], 1) / scale),
            np.array(spread) / scale,
        ))  # fmt: skip

    def _seasonal(self, past: WantedPast, value: Floats) -> Floats:
        """Shape (windows, thresholds, features): the same time on other days."""
        scale, length, wanted = past.scale, past.length, past.wanted
        days = len(self._day_steps)
        top = np.full((len(self._windows), days), np.nan)
        wide = np.full_like(top, np.nan)
        excess = np.full_like(top, np.nan)
        level = np.full(days, np.nan)
        for column, lag in enumerate(self._day_steps.tolist()):
            at = length - 1 - lag
            if at < 0:
                continue
            level[column] = wanted[at]
            seen = past.excess[:, at]
            excess[:, column] = np.where(seen == UNKNOWN_EXCESS, np.nan, seen)
            top[:, column] = excess[:, column] + wanted[at]
            begin = max(0, at - self._widened)
            for row, steps in enumerate(self._windows.tolist()):
                wide[row, column] = wanted[begin : at + steps + self._widened].max()
        known = ~np.isnan(wide)
        mean = np.where(known, wide, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
        mean[~known.any(axis=1)] = np.nan
        rows = np.empty((len(top), len(value), 4 * days + 1))
        rows[:, :, :days] = (top[:, None, :] - value[:, None]) / scale
        rows[:, :, days : 2 * days] = (wide[:, None, :] - value[:, None]) / scale
        above = value - past.last
        rows[:, :, 2 * days : 3 * days] = (excess[:, None, :] - above[:, None]) / scale
        rows[:, :, 3 * days : 4 * days] = (level - past.last) / scale
        rows[:, :, 4 * days] = (mean[:, None] - value) / scale
        return rows


def logit(probability: Floats) -> Floats:
    inside = np.clip(probability, 1e-9, 1 - 1e-9)
    return clip(np.log(inside / (1 - inside)), LOGIT_MAX)


def _first(true: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> int:
    """Position of the first; the length where there is none."""
    at = int(true.argmax())
    return at if true[at] else len(true)


def _age_of(past: WantedPast, values: Floats) -> Floats:
    """Logarithm of the steps since demand was at each value or above; NaN = never."""
    newest = past.wanted[: past.length][::-1]
    highest = np.maximum.accumulate(np.where(np.isnan(newest), -1.0, newest))
    at = np.searchsorted(highest, values.astype(np.float32))
    return np.where(at < past.length, np.log1p(at), np.nan)
