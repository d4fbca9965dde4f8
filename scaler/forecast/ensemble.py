"""The ensemble: from point experts to calibrated quantiles, for all horizons of one series.

1. Point experts are combined into a centre, per horizon, weighted by their absolute loss.
2. The rolling errors of the last value and of the centre, in several units, form quantile experts.
   They are combined per horizon and level, weighted by their pinball loss. Up to here only this
   series is used.
3. The prior (trees trained on many families of traffic and shipped with the program) corrects that
   mixture, and so do the same trees with leaves adapted to this workload.
4. What followed the same minute of past hours makes one more expert. These are combined once more
   by their pinball loss, so that an expert without skill on this series loses its weight.

A step scores the predictions that were made for it, then updates the state, then predicts. No value
is read before it is due, so the ensemble is causal by construction; `test_causality` checks it.
"""

import numpy as np
import numpy.typing as npt

from scaler.forecast.adapted import Adapted
from scaler.forecast.clip import clip
from scaler.forecast.experts.port import PointExpert, Task
from scaler.forecast.experts.roster import ROSTER
from scaler.forecast.features import Situation, features
from scaler.forecast.hedge import Hedge
from scaler.forecast.levels import LEVELS, UPPER
from scaler.forecast.own_errors import OwnErrors
from scaler.forecast.past import DAY_SECONDS, Floats, Indices, Past, Singles, ew_rates
from scaler.forecast.pending import Pending
from scaler.forecast.rhythm import Rhythm
from scaler.forecast.same_minute import SameMinute
from scaler.forecast.shared_constant import shared_constant
from scaler.forecast.trees import Trees

FINAL = ("own-past", "prior", "prior-adapted", "last", "same-minute")
FINAL_PRIOR = np.array([0.1, 0.36, 0.29, 0.05, 0.2])
PRIOR_INPUTS = (
    "last", "holt-0.8-0.2-0.8", "holt-0.5-0.1-0.9", "holt-0.3-0.1-0.95",
    "day-1", "day-8", "week-1", "yesterday",
)  # fmt: skip
EXOGENOUS_PRIOR = 0.25
"""Initial weight of an exogenous forecast; without one this weight is not used."""
DISTANCE_MAX = 60_000.0
"""In local scales; nearly all that float16 can hold."""
SKILL_HALF_LIVES_DAYS = np.array([0.5, 3.5])


class Ensemble:
    def __init__(self, task: Task, past: Past, trees: Trees) -> None:
        self.task, self.past = task, past
        ahead = task.horizons_steps
        self.experts: list[PointExpert] = [make(task) for make in ROSTER]
        self.point_names = tuple(name for expert in self.experts for name in expert.names)
        self._prior_inputs = shared_constant(
            np.array([self.point_names.index(name) for name in PRIOR_INPUTS])
        )
        self.rhythm = Rhythm(task.step_seconds)
        self._trees = trees
        self._features = features(task.step_seconds, tuple(task.horizons_steps.tolist()))
        self._same_minute = SameMinute(task)
        width = len(LEVELS)
        # Columns of a row of predictions, by kind of expert.
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
        self._skill_rates = shared_constant(ew_rates(half_lives_steps / stride[:, None]))
        self.loss = np.zeros((len(ahead), 2, 2))
        """Discounted pinball loss at `UPPER`: horizon x (day, week) x (forecast, last value)."""
        self.quantiles = np.zeros((len(ahead), width))
        self.situation: Situation | None = None
        """The newest step's inputs of the prior."""

    def step(self, value: float) -> None:
        """One step on; NaN is a gap."""
        measured = value == value  # noqa: PLR0124 - the fastest test for NaN, on the hot path
        if measured:
            self._score(value)
            self.rhythm.learn(self.past, value)
        self.past.advance(value)
        if measured:
            for expert in self.experts:
                expert.advance(self.past)
        if self.past.measured:
            self._predict()

    def close_gap(self, after: int, steps: int) -> None:
        """Take out the steps after `after`; predictions made in them or later are not judged."""
        self.past.close_gap(after, steps)
        self.rhythm.close_gap(after, steps)
        self.pending.drop_after(after)

    def _score(self, value: float) -> None:
        due, (predictions, basis, leaves) = self.pending.due(self.past.step + 1)
        if not len(due):
            return
        predictions, basis = predictions.astype(np.float32), basis.astype(np.float64)
        outcome = _to_float16((value - basis[:, 0]) / basis[:, 1]).astype(np.float32)
        own = predictions[:, self._own].reshape(len(due), len(LEVELS), OwnErrors.COUNT)
        final = predictions[:, self._final].reshape(len(due), len(LEVELS), len(FINAL))
        self.point_hedge.learn(due, predictions[:, None, : self._own.start], outcome)
        self.own.learn(due, own, basis, predictions[:, 0], outcome)
        self.adapted.learn(due, leaves, outcome[:, None] < final[:, :, 2])
        judged = self.hedge.learn(due, final, outcome)
        self._record_skill(due, judged[:, UPPER], final[:, UPPER, 3], outcome, basis[:, 1])

    def _record_skill(
        self, due: Indices, ours: Singles, last: Singles, outcome: Singles, scale: Floats
    ) -> None:
        error = scale[:, None, None] * (outcome[:, None, None] - np.stack((ours, last), axis=1))
        levels = LEVELS[UPPER]
        pinball = np.add.reduce(np.maximum(levels * error, (levels - 1) * error), axis=2)
        rates = np.maximum(self._skill_rates[due], 1.0 / self.own.judged[due, None])
        loss = self.loss[due]
        self.loss[due] = loss + rates[:, :, None] * (pinball[:, None] - loss)

    def _predict(self) -> None:
        past = self.past
        points, centre = self._centre(
            np.concatenate([expert.points(past) for expert in self.experts], axis=1)
        )
        basis, own = self.own.predict(past, points[:, 0], centre)
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
            points=points[:, self._prior_inputs],
        )
        leaves = self._trees.leaves(self._features.of(self.situation))
        final = np.empty((*mixture.shape, len(FINAL)))
        final[:, :, 0] = mixture
        final[:, :, 1] = mixture + scale[:, None] * self._trees.sum_at(leaves)
        final[:, :, 2] = final[:, :, 1] + scale[:, None] * self.adapted.sum_at(leaves)
        final[:, :, 3] = own[:, :, 0]
        final[:, :, 4] = self._same_minute.quantiles(past, final[:, :, 2])
        final.sort(axis=1)
        np.maximum(final, 0.0, out=final)
        self.quantiles = self.hedge.mix(final)
        self.quantiles.sort(axis=1)
        count = len(centre)
        predictions = np.concatenate(
            (points, own.reshape(count, -1), final.reshape(count, -1)), axis=1
        )
        predictions = _to_float16((predictions - basis[:, :1]) / basis[:, 1:2])
        self.pending.keep(past.step, (predictions, basis, leaves[:, : Adapted.TREES]))

    def _centre(self, points: Floats) -> tuple[Floats, Floats]:
        """The experts' points with gaps filled by their mixture, and the mixture.

        An expert without a prediction takes the mixture's value, which gives it no regret.
        """
        known = ~np.isnan(points)
        weights = self.point_hedge.weights[:, 0] * known
        points = np.where(known, points, 0.0)
        centre = np.einsum("hk,hk->h", weights, points) / np.add.reduce(weights, axis=1)
        return np.where(known, points, centre[:, None]), centre


def _to_float16(distances: Floats) -> npt.NDArray[np.float16]:
    """Distances from the centre in local scales, as `Pending` keeps them.

    The outcome is rounded like the predictions: equal numbers stay equal, so a demand of 0 does not
    exceed a quantile of 0.
    """
    return clip(distances, DISTANCE_MAX).astype(np.float16)


def _point_prior(names: tuple[str, ...]) -> Floats:
    # The leading-indicator experts are variants of one idea: together they get one expert's share.
    leaders = sum(name.startswith("leading") for name in names)
    share = np.array([1.0 / leaders if name.startswith("leading") else 1.0 for name in names])
    exogenous = np.array([name == "exogenous" for name in names])
    share *= (1.0 - EXOGENOUS_PRIOR) / share[~exogenous].sum()
    return np.where(exogenous, EXOGENOUS_PRIOR, share)


def _half_life_steps(task: Task) -> Floats:
    """Half-life of the evidence: nine times max(40 horizons, a span by the step's length).

    Three times was best with more experts; with this roster nine times lost slightly less.
    """
    known = 1800.0, 28_800.0, 172_800.0
    span_seconds = known[int(np.searchsorted([20.0, 120.0], task.step_seconds))]
    steps: Floats = 9.0 * np.maximum(40.0 * task.horizons_steps, span_seconds / task.step_seconds)
    return steps
