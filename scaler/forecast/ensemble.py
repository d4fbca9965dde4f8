"""From many opinions to calibrated quantiles, for all horizons of one series at once.

1. Point experts are mixed to a centre, per horizon, by their absolute loss.
2. The centre's and the last value's rolling errors, in several units, make quantile experts;
   the prior, learnt once over many families of traffic and shipped with the program, makes one
   more, which needs no history of this workload.
3. Quantile experts are mixed per horizon and level by their pinball loss; levels are then put in
   order.

A step first judges what was said of it, then remembers it, then says what comes next. Nothing
looks at a value before it is due, so the whole is causal by construction and tested to be.
"""

import numpy as np

from scaler.forecast.experts.port import PointExpert, Task
from scaler.forecast.experts.roster import ROSTER
from scaler.forecast.hedge import Hedge
from scaler.forecast.past import DAY_SECONDS, Floats, Past, ew_rates
from scaler.forecast.pending import Pending
from scaler.forecast.rhythm import Rhythm
from scaler.forecast.residuals import ERROR_MAX, Windows

LEVELS = np.array([0.05, 0.25, 0.5, 0.7, 0.83, 0.9, 0.95, 0.99, 0.995])
"""Levels worked with inside; those asked for are read off between them."""
PRIOR_ERRORS = np.array([-2.0, -0.7, 0.0, 0.5, 1.05, 1.55, 2.2, 4.2, 5.5])
"""Error quantiles in mean absolute errors before a workload has shown its own: near Laplace's."""
MEDIAN, Q90 = 2, 5
WINDOW_KINDS = ("last", "centre", "centre-scaled", "centre-scaled-long", "centre-level")
THINNING = (1, 1, 1, 8, 1)
NEED_STEPS = 2


class Ensemble:
    def __init__(self, task: Task, past: Past) -> None:
        self.task, self.past = task, past
        ahead = task.horizons_steps
        count = len(ahead)
        self.experts: list[PointExpert] = [make(task) for make in ROSTER]
        self.names = WINDOW_KINDS
        self.rhythm = Rhythm(task.step_seconds)
        points = sum(len(expert.names) for expert in self.experts)
        self.pending = Pending(ahead, (points, len(LEVELS) * len(self.names), 3, len(LEVELS)))
        stride = self.pending.stride
        overlap = ahead / stride
        step = task.step_seconds
        memory_seconds = 1800.0 if step <= 20 else 28_800.0 if step <= 120 else 172_800.0
        half_life = 3.0 * np.maximum(40.0 * ahead, memory_seconds / step) / stride
        self.point_hedge = Hedge(
            levels=np.array([0.5]),
            prior=np.full(points, 1.0 / points),
            half_life_steps=half_life,
            overlap=overlap,
        )
        self.hedge = Hedge(
            levels=LEVELS,
            prior=np.full(len(self.names), 1.0 / len(self.names)),
            half_life_steps=half_life,
            overlap=overlap,
        )
        self.windows = Windows(
            levels=LEVELS, prior=PRIOR_ERRORS, overlap=overlap, thinning=THINNING
        )
        self._error_rates = np.stack(
            (
                ew_rates(np.maximum(4.0 * ahead, 1800.0 / step) / stride),
                ew_rates(np.maximum(40.0 * ahead, DAY_SECONDS / step) / stride),
            )
        )
        self.error_size = np.zeros((2, count))
        self.judged = np.zeros(count)
        self._skill_rates = ew_rates(np.array([0.5, 3.5])[:, None] * DAY_SECONDS / step / stride)
        self.loss = np.zeros((2, 2, count))
        """Discounted 0.9 pinball loss: (day, week) × (forecast, last value) × horizon."""
        self.mixture = np.zeros((count, len(LEVELS)))
        self.centre, self.scale = np.zeros(count), np.ones(count)
        self.points = np.zeros((count, points))

    def step(self, value: float) -> None:
        """One step on; NaN is a gap."""
        measured = value == value  # noqa: PLR0124 - the fastest test for NaN, on the hot path
        if measured:
            self._judge(value)
        if measured:
            self.rhythm.learn(self.past, value)
        self.past.advance(value)
        if measured:
            for expert in self.experts:
                expert.advance(self.past)
        if self.past.measured:
            self._say()

    def _judge(self, value: float) -> None:
        due, (points, advice, meta, said) = self.pending.due(self.past.step + 1)
        if not len(due):
            return
        centre, scale, level = meta.T
        self.point_hedge.learn(due, points[:, None, :], value, scale)
        advice = advice.reshape(len(due), len(LEVELS), len(self.names))
        self.hedge.learn(due, advice, value, scale)
        error = value - centre
        self.windows.learn(due, self._in_units(value - points[:, 0], error, scale, level))
        self.judged[due] += 1
        rates = np.maximum(self._error_rates[:, due], 1.0 / self.judged[due])
        bounded = np.minimum(np.abs(error), ERROR_MAX * scale)
        self.error_size[:, due] += rates * (bounded - self.error_size[:, due])
        pair = np.stack((said[:, Q90], advice[:, Q90, 0]))
        pinball = np.maximum(LEVELS[Q90] * (value - pair), (LEVELS[Q90] - 1) * (value - pair))
        rates = np.maximum(self._skill_rates[:, due], 1.0 / self.judged[due])
        self.loss[:, :, due] += rates[:, None, :] * (pinball - self.loss[:, :, due])

    def _in_units(self, last_error: Floats, error: Floats, scale: Floats, level: Floats) -> Floats:
        scaled = np.clip(error / scale, -ERROR_MAX, ERROR_MAX)
        bound = ERROR_MAX * scale
        return np.stack(
            (
                np.clip(last_error, -bound, bound),
                np.clip(error, -bound, bound),
                scaled,
                scaled,
                np.clip(error, -bound, bound) / level,
            )
        )

    def _say(self) -> None:
        past = self.past
        points = np.concatenate([expert.points(past) for expert in self.experts], axis=1)
        points = self._filled(points)
        centre = self.point_hedge.mix(points[:, None, :])[:, 0]
        scale = self._scale()
        level = np.maximum(0.5 * (np.abs(centre) + past.ewma[8]), 1e-3 * past.peak) + 1e-9
        ones = np.ones_like(scale)
        errors = self.windows.quantiles(np.stack((scale, scale, ones, ones, scale / level)))
        unit = np.stack((ones, ones, scale, scale, level))
        around = np.stack((points[:, 0], centre, centre, centre, centre))
        advice = around[:, :, None] + errors * unit[:, :, None]
        advice = np.maximum(advice, 0.0).transpose(1, 2, 0)
        self.mixture = np.sort(self.hedge.mix(advice), axis=1)
        self.centre, self.scale, self.points = centre, scale, points
        meta = np.column_stack((centre, scale, level))
        flat = advice.reshape(len(centre), -1)
        self.pending.keep(past.step, [points, flat, meta, self.mixture])

    def _filled(self, points: Floats) -> Floats:
        """Who has nothing to say repeats the others' mixture: no gain, no regret."""
        unknown = np.isnan(points)
        if not unknown.any():
            return points
        weights = np.where(unknown, 0.0, self.point_hedge.weights[:, 0])
        mixture = (weights * np.where(unknown, 0.0, points)).sum(axis=1) / weights.sum(axis=1)
        return np.where(unknown, mixture[:, None], points)

    def _scale(self) -> Floats:
        past = self.past
        ahead = self.task.horizons_steps
        guess = past.change[3] * np.sqrt(np.minimum(ahead, 16)) + 0.02 * past.ewma[8]
        independent = self.judged / (ahead / self.pending.stride)
        trust = independent / (independent + 2.0)
        usual = 0.5 * (self.error_size[0] + self.error_size[1])
        floor = 1e-3 * past.ewma[8] + 1e-6 * past.peak + 1e-9
        scale: Floats = trust * usual + (1 - trust) * guess + floor
        return scale
