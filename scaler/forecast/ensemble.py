"""From many opinions to calibrated quantiles, for all horizons of one series at once.

1. Point experts are mixed to a centre, per horizon, by their absolute loss.
2. The last value's and the centre's rolling errors, in several units, make quantile experts, which
   are mixed per horizon and level by their pinball loss. So far nothing is known but this series.
3. The prior, trees grown once on many families of traffic and shipped with the program, corrects
   that mixture; so do the same trees with leaves that this workload has moved. All are mixed
   again by their loss: whoever does not earn its place here is not listened to here.

A step first judges what was said of it, then remembers it, then says what comes next. Nothing
looks at a value before it is due, so the whole is causal by construction and tested to be.
"""

import numpy as np

from scaler.forecast.adapted import Adapted
from scaler.forecast.experts.port import PointExpert, Task
from scaler.forecast.experts.roster import ROSTER
from scaler.forecast.features import Situation, features
from scaler.forecast.hedge import Hedge
from scaler.forecast.levels import LEVELS, Q90
from scaler.forecast.once import once
from scaler.forecast.own import OwnErrors
from scaler.forecast.past import DAY_SECONDS, Floats, Indices, Past, ew_rates
from scaler.forecast.pending import Pending
from scaler.forecast.rhythm import Rhythm
from scaler.forecast.trees import Trees

FINAL = ("own-past", "prior", "prior-adapted", "last")
FINAL_PRIOR = np.array([0.2, 0.5, 0.25, 0.05])
SHOWN_TO_PRIOR = (
    "last", "holt-0.8-0.2-0.8", "holt-0.5-0.1-0.9", "holt-0.3-0.1-0.95",
    "day-1", "day-8", "week-1", "yesterday",
)  # fmt: skip
FORETOLD_PRIOR = 0.25
"""Whoever bothers to say what comes is believed by a quarter at first; where nobody does, this
weighs nothing."""
DISTANCE_MAX = 60_000.0
"""In local scales; nearly all that float16 can hold."""
SKILL_HALF_LIVES_DAYS = np.array([0.5, 3.5])


class Ensemble:
    def __init__(self, task: Task, past: Past, trees: Trees) -> None:
        self.task, self.past = task, past
        ahead = task.horizons_steps
        self.experts: list[PointExpert] = [make(task) for make in ROSTER]
        self.point_names = tuple(name for expert in self.experts for name in expert.names)
        self._shown = once(np.array([self.point_names.index(name) for name in SHOWN_TO_PRIOR]))
        self.rhythm = Rhythm(task.step_seconds)
        self._trees = trees
        self._features = features(task.step_seconds, tuple(task.horizons_steps.tolist()))
        width = len(LEVELS)
        self.pending = Pending(
            ahead,
            (
                (len(self.point_names), np.float16),
                (width * OwnErrors.COUNT, np.float16),
                (3, np.float32),
                (width * len(FINAL), np.float16),
                (Adapted.TREES, np.uint8),
            ),
        )
        stride = self.pending.stride
        overlap = ahead / stride
        half_life = _half_life_steps(task) / stride
        self.point_hedge = Hedge(
            levels=np.array([0.5]),
            prior=_point_prior(self.point_names),
            half_life_steps=half_life,
            overlap=overlap,
        )
        self.own = OwnErrors(task, stride, half_life)
        self.adapted = Adapted(trees, overlap)
        self.hedge = Hedge(
            levels=LEVELS, prior=FINAL_PRIOR, half_life_steps=half_life, overlap=overlap
        )
        self._skill_rates = once(
            ew_rates(SKILL_HALF_LIVES_DAYS[:, None] * DAY_SECONDS / task.step_seconds / stride)
        )
        self.loss = np.zeros((2, 2, len(ahead)))
        """Discounted 0.9 pinball loss: (day, week) x (forecast, last value) x horizon."""
        self.quantiles = np.zeros((len(ahead), width))
        self.situation: Situation | None = None
        """The newest step's, as the prior was shown it."""

    def step(self, value: float) -> None:
        """One step on; NaN is a gap."""
        measured = value == value  # noqa: PLR0124 - the fastest test for NaN, on the hot path
        if measured:
            self._judge(value)
            self.rhythm.learn(self.past, value)
        self.past.advance(value)
        if measured:
            for expert in self.experts:
                expert.advance(self.past)
        if self.past.measured:
            self._say()

    def _judge(self, value: float) -> None:
        due, (points, own, basis, final, leaves) = self.pending.due(self.past.step + 1)
        if not len(due):
            return
        outcome = _distances(np.full((len(due), 1), value), basis)
        final = final.reshape(len(due), len(LEVELS), len(FINAL))
        self._record_skill(due, final, outcome, basis[:, 1])
        self.point_hedge.learn(due, points[:, None, :], outcome[:, 0])
        self.own.learn(due, own, basis, points[:, 0], outcome[:, 0])
        self.adapted.learn(due, leaves.astype(np.intp), outcome < final[:, :, 2])
        self.hedge.learn(due, final, outcome[:, 0])

    def _record_skill(self, due: Indices, final: Floats, outcome: Floats, scale: Floats) -> None:
        ours = np.einsum("hk,hk->h", self.hedge.weights(due)[:, Q90], final[:, Q90])
        error = scale * (outcome[:, 0] - np.stack((ours, final[:, Q90, 3])))
        pinball = np.maximum(LEVELS[Q90] * error, (LEVELS[Q90] - 1) * error)
        rates = np.maximum(self._skill_rates[:, due], 1.0 / self.own.judged[due].clip(1))
        self.loss[:, :, due] += rates[:, None, :] * (pinball - self.loss[:, :, due])

    def _say(self) -> None:
        past = self.past
        points = self._filled(np.concatenate([e.points(past) for e in self.experts], axis=1))
        centre = self.point_hedge.mix(points[:, None, :])[:, 0]
        basis, own = self.own.say(past, points[:, 0], centre)
        mixture = np.sort(self.own.hedge.mix(own), axis=1)
        scale = basis[:, 1]
        self.situation = Situation(
            past=past,
            rhythm=self.rhythm,
            centre=centre,
            scale=scale,
            error_size=self.own.error_size,
            mixture=mixture,
            points=points[:, self._shown],
        )
        leaves = self._trees.leaves(self._features.of(self.situation))
        prior = mixture + scale[:, None] * self._trees.sum_at(leaves)
        adapted = prior + scale[:, None] * self.adapted.sum_at(leaves)
        final = np.stack((mixture, prior, adapted, own[:, :, 0]), axis=2)
        final = np.maximum(np.sort(final, axis=1), 0.0)
        self.quantiles = np.sort(self.hedge.mix(final), axis=1)
        count = len(centre)
        self.pending.keep(
            past.step,
            [
                _distances(points, basis),
                _distances(own.reshape(count, -1), basis),
                basis,
                _distances(final.reshape(count, -1), basis),
                leaves[:, : Adapted.TREES].astype(np.float64),
            ],
        )

    def _filled(self, points: Floats) -> Floats:
        """Who has nothing to say repeats the others' mixture: no gain, no regret."""
        unknown = np.isnan(points)
        if not unknown.any():
            return points
        weights = np.where(unknown, 0.0, self.point_hedge.weights()[:, 0])
        mixture = (weights * np.where(unknown, 0.0, points)).sum(axis=1) / weights.sum(axis=1)
        return np.where(unknown, mixture[:, None], points)


def _distances(numbers: Floats, basis: Floats) -> Floats:
    """(rows, n) as distances from the centre in local scales, rounded as `Pending` keeps them.

    The outcome is rounded alike: what was equal stays equal, and a quantile of 0 is not exceeded
    by a demand of 0.
    """
    far = (numbers - basis[:, :1]) / basis[:, 1:2]
    return np.clip(far, -DISTANCE_MAX, DISTANCE_MAX).astype(np.float16).astype(np.float64)


def _point_prior(names: tuple[str, ...]) -> Floats:
    # A leader says one thing in several ways, and may not run ahead at all: one voice's share.
    leaders = sum(name.startswith("leading") for name in names)
    share = np.array([1.0 / leaders if name.startswith("leading") else 1.0 for name in names])
    foretold = np.array([name == "foretold" for name in names])
    share *= (1.0 - FORETOLD_PRIOR) / share[~foretold].sum()
    return np.where(foretold, FORETOLD_PRIOR, share)


def _half_life_steps(task: Task) -> Floats:
    """How long evidence counts: nine times max(40 h, a span by the step's length).

    The facts have three times; with fewer voices to weigh, longer evidence was a little better.
    """
    known = 1800.0, 28_800.0, 172_800.0
    span_seconds = known[int(np.searchsorted([20.0, 120.0], task.step_seconds))]
    steps: Floats = 9.0 * np.maximum(40.0 * task.horizons_steps, span_seconds / task.step_seconds)
    return steps
