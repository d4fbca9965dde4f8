"""Quantile experts from one series alone: last value and centre plus their own rolling errors.

How noise grows with the level differs between series, so errors are kept in several units: as they
are, per local scale (short and long memory), and per level. The weights choose between them.
"""

import numpy as np

from scaler.forecast.clip import clip
from scaler.forecast.experts.port import Task
from scaler.forecast.hedge import Hedge
from scaler.forecast.levels import LEVELS, USUAL_ERRORS
from scaler.forecast.past import DAY_SECONDS, Floats, Indices, Past, Singles, ew_rates
from scaler.forecast.residuals import ERROR_MAX, Windows
from scaler.forecast.shared_constant import shared_constant

NAMES = ("last", "centre", "centre-scaled", "centre-scaled-long", "centre-level")
THINNING = (4, 1, 1, 8, 4)
SHORT_SECONDS = 1800.0
LEVEL_MEAN = 8
GUESS_ERRORS = 2.0
"""Weight of the prior guess of the error size, in independent errors."""


class OwnErrors:
    COUNT = len(NAMES)

    def __init__(self, task: Task, stride: Indices, half_life_steps: Floats) -> None:
        ahead = task.horizons_steps
        self._overlap = shared_constant(ahead / stride)
        self._ahead = ahead
        self.hedge = Hedge(
            levels=LEVELS,
            prior=np.full(self.COUNT, 1.0 / self.COUNT),
            half_life_steps=half_life_steps,
            overlap=self._overlap,
        )
        self.windows = Windows(
            levels=LEVELS, prior=USUAL_ERRORS, overlap=self._overlap, thinning=THINNING
        )
        step = task.step_seconds
        memory = np.column_stack((
            np.maximum(4.0 * ahead, SHORT_SECONDS / step),
            np.maximum(40.0 * ahead, DAY_SECONDS / step),
        ))  # fmt: skip
        self._error_rates = shared_constant(ew_rates(memory / stride[:, None]))
        self.error_size = np.zeros((len(ahead), 2))
        self.judged = np.zeros(len(ahead))

    def learn(
        self, due: Indices, predictions: Singles, basis: Floats, last: Singles, outcome: Singles
    ) -> None:
        """Update with an outcome.

        Args:
            predictions: `predict`'s quantiles, shape (n, levels, COUNT), as distances from the
                centre in local scales, as are `last` and `outcome`: last and measured value.
            basis: as `predict` gave it then.
        """
        _, scale, level = basis.T
        self.hedge.learn(due, predictions, outcome)
        scaled = clip(outcome, ERROR_MAX)
        error = scaled * scale
        from_last = clip(outcome - last, ERROR_MAX) * scale
        self.windows.learn(due, np.array((from_last, error, scaled, scaled, error / level)))
        self.judged[due] += 1
        rates = np.maximum(self._error_rates[due], 1.0 / self.judged[due, None])
        size = self.error_size[due]
        self.error_size[due] = size + rates * (np.abs(error)[:, None] - size)

    def predict(self, past: Past, last: Floats, centre: Floats) -> tuple[Floats, Floats]:
        """Centre, scale and level, shape (horizons, 3), and quantiles (horizons, levels, COUNT)."""
        scale = self._scale(past)
        level = np.maximum(0.5 * (np.abs(centre) + past.ewma[LEVEL_MEAN]), 1e-3 * past.peak) + 1e-9
        ones = np.ones_like(scale)
        errors = self.windows.quantiles(np.array((scale, scale, ones, ones, scale / level)))
        unit = np.array((ones, ones, scale, scale, level))
        around = np.array((last, centre, centre, centre, centre))
        quantiles = (around[:, :, None] + errors * unit[:, :, None]).transpose(1, 2, 0)
        # Rounded to float32 as `Pending` keeps it, so that distances match on the way back.
        basis = np.array((centre, scale, level)).T.astype(np.float32).astype(np.float64)
        return basis, np.maximum(quantiles, 0.0)

    def _scale(self, past: Past) -> Floats:
        """The current size of a typical error."""
        level = past.ewma[LEVEL_MEAN]
        guess = past.change[3] * np.sqrt(np.minimum(self._ahead, 16)) + 0.02 * level
        independent = self.judged / self._overlap
        trust = independent / (independent + GUESS_ERRORS)
        usual = 0.5 * (self.error_size[:, 0] + self.error_size[:, 1])
        floor = 1e-3 * level + 1e-6 * past.peak + 1e-9
        scale: Floats = trust * usual + (1 - trust) * guess + floor
        return scale
