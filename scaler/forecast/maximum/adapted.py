"""The prior adapted to one pool: the shipped trees keep their splits, the leaves learn online.

As in `scaler.forecast.adapted`, for probabilities: the splits also separate this pool's situations,
and each outcome moves the logits of the leaves where its forecast stood, by a stochastic gradient
step on the logarithmic loss with a rate that falls with the visits of the leaf.
"""

import numpy as np

from scaler.forecast.past import Floats, Indices, Singles
from scaler.forecast.shared_constant import shared_constant
from scaler.forecast.trees import Bytes, Trees

RATE = 1.0
VISITS_PRIOR = 10.0
TREES = 80
"""Adapted; further ones keep the prior's leaves."""
CORRECTION_MAX = 4.0


class AdaptedLeaves:
    """Corrections of logits, shape (trees × leaves)."""

    def __init__(self, trees: Trees, overlap: Floats) -> None:
        self._count = min(TREES, len(trees.leaf))
        leaves = trees.leaf.shape[1]
        self._first = shared_constant(np.arange(self._count) * leaves)
        self._caution = shared_constant(1.0 / np.sqrt(overlap))
        self.correction: Singles = np.zeros(self._count * leaves, np.float32)
        self.visits: Singles = np.zeros(self._count * leaves, np.float32)

    def sum_at(self, leaves: Bytes) -> Floats:
        """What to add to the logits of rows that stand in these leaves (rows, trees)."""
        at = leaves[:, : self._count] + self._first
        mean: Floats = self.correction[at].mean(axis=1).astype(np.float64)
        return mean

    def learn(self, due: Indices, leaves: Bytes, probability: Singles, reached: Singles) -> None:
        """Update with outcomes.

        Args:
            due: the windows whose outcome is known now, shape (n,).
            leaves: where their forecasts stood, shape (n, thresholds, trees).
            probability: what was forecast with the corrections of then, shape (n, thresholds).
            reached: 1 where the threshold was reached, else 0, of the same shape.
        """
        at = leaves[:, :, : self._count] + self._first
        # All thresholds of a window share their outcome: together they count as one.
        weight = (self._caution[due] / np.sqrt(leaves.shape[1]))[:, None, None]
        error = (reached - probability)[:, :, None]
        np.add.at(self.visits, at, np.broadcast_to(weight, at.shape).astype(np.float32))
        step = RATE * weight * error / np.sqrt(self.visits[at] + VISITS_PRIOR)
        np.add.at(self.correction, at, step.astype(np.float32))
        np.clip(self.correction, -CORRECTION_MAX, CORRECTION_MAX, out=self.correction)
