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
import numpy.typing as npt

from scaler.forecast.adapted import Adapted
from scaler.forecast.experts.port import PointExpert, Task
from scaler.forecast.experts.roster import ROSTER
from scaler.forecast.features import Situation, features
from scaler.forecast.hedge import Hedge
from scaler.forecast.levels import LEVELS, Q90
from scaler.forecast.once import once
from scaler.forecast.own import OwnErrors
from scaler.forecast.past import DAY_SECONDS, Floats, Indices, Past, Singles, ew_rates
from scaler.forecast.pending import Pending
from scaler.forecast.rhythm import Rhythm
from scaler.forecast.trees import Trees
from scaler.forecast.within import within

FINAL = ("own-past", "prior", "prior-adapted", "last")
FINAL_PRIOR = np.array([0.1, 0.5, 0.35, 0.05])
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
        # Where everybody's numbers lie in a row of what was said.
        self._own = slice(len(self.point_names), len(self.point_names) + width * OwnErrors.COUNT)
        self._final = slice(self._own.stop, self._own.stop + width * len(FINAL))
        self.pending = Pending(
            ahead,
            ((self._final.stop, np.float16), (3, np.float32), (Adapted.TREES, np.uint8)),
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
        half_lives_steps = SKILL_HALF_LIVES_DAYS * DAY_SECONDS / task.step_seconds
        self._skill_rates = once(ew_rates(half_lives_steps / stride[:, None]))
        self.loss = np.zeros((len(ahead), 2, 2))
        """Discounted 0.9 pinball loss: horizon x (day, week) x (forecast, last value)."""
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
        due, (said, basis, leaves) = self.pending.due(self.past.step + 1)
        if not len(due):
            return
        said, basis = said.astype(np.float32), basis.astype(np.float64)
        outcome = _as_kept((value - basis[:, 0]) / basis[:, 1]).astype(np.float32)
        own = said[:, self._own].reshape(len(due), len(LEVELS), OwnErrors.COUNT)
        final = said[:, self._final].reshape(len(due), len(LEVELS), len(FINAL))
        self.point_hedge.learn(due, said[:, None, : self._own.start], outcome)
        self.own.learn(due, own, basis, said[:, 0], outcome)
        self.adapted.learn(due, leaves, outcome[:, None] < final[:, :, 2])
        judged = self.hedge.learn(due, final, outcome)
        self._record_skill(due, judged[:, Q90], final[:, Q90, 3], outcome, basis[:, 1])

    def _record_skill(
        self, due: Indices, ours: Singles, last: Singles, outcome: Singles, scale: Floats
    ) -> None:
        error = (scale * (outcome - np.array((ours, last)))).T
        pinball = np.maximum(LEVELS[Q90] * error, (LEVELS[Q90] - 1) * error)
        rates = np.maximum(self._skill_rates[due], 1.0 / self.own.judged[due, None])
        loss = self.loss[due]
        self.loss[due] = loss + rates[:, :, None] * (pinball[:, None] - loss)

    def _say(self) -> None:
        past = self.past
        points, centre = self._centre(
            np.concatenate([expert.points(past) for expert in self.experts], axis=1)
        )
        basis, own = self.own.say(past, points[:, 0], centre)
        mixture = self.own.hedge.mix(own)
        mixture.sort(axis=1)
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
        final = np.empty((*mixture.shape, len(FINAL)))
        final[:, :, 0] = mixture
        final[:, :, 1] = mixture + scale[:, None] * self._trees.sum_at(leaves)
        final[:, :, 2] = final[:, :, 1] + scale[:, None] * self.adapted.sum_at(leaves)
        final[:, :, 3] = own[:, :, 0]
        final.sort(axis=1)
        np.maximum(final, 0.0, out=final)
        self.quantiles = self.hedge.mix(final)
        self.quantiles.sort(axis=1)
        count = len(centre)
        said = np.concatenate((points, own.reshape(count, -1), final.reshape(count, -1)), axis=1)
        said = _as_kept((said - basis[:, :1]) / basis[:, 1:2])
        self.pending.keep(past.step, (said, basis, leaves[:, : Adapted.TREES]))

    def _centre(self, points: Floats) -> tuple[Floats, Floats]:
        """The points' mixture, and the points where those with nothing to say repeat it.

        Who repeats the mixture has no gain and no regret.
        """
        known = ~np.isnan(points)
        weights = self.point_hedge.weights[:, 0] * known
        points = np.where(known, points, 0.0)
        centre = np.einsum("hk,hk->h", weights, points) / np.add.reduce(weights, axis=1)
        return np.where(known, points, centre[:, None]), centre


def _as_kept(distances: Floats) -> npt.NDArray[np.float16]:
    """Distances from the centre in local scales, as `Pending` keeps them.

    The outcome is rounded like what was said of it: what was equal stays equal, and a quantile of
    0 is not exceeded by a demand of 0.
    """
    return within(distances, DISTANCE_MAX).astype(np.float16)


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
