"""The prior adapted to one workload: the shipped trees keep their splits, the leaves learn online.

The trees were trained on public traffic. Their splits ("a burst has just begun, at a minute of the
hour when bursts begin") also separate this workload's situations. So the structure stays, and each
outcome moves the leaf values by a stochastic gradient step on the pinball loss, with a rate that
falls with the visits of the leaf (Zinkevich 2003; Duchi et al. 2011). This replaces a daily refit
of boosted trees and needs neither a history nor a worker.

A workload visits a fraction of all leaves. Only visited leaves get a row, up to `ROWS_MAX`.
"""

import numpy as np
import numpy.typing as npt

from scaler.forecast.levels import LEVELS
from scaler.forecast.past import Floats, Indices, Singles
from scaler.forecast.shared_constant import shared_constant
from scaler.forecast.trees import Bytes, Trees

RATE = 1.0
VISITS_PRIOR = 10.0
ROWS_MORE = 48
ROWS_MAX = 384
"""Half of all leaves; leaves visited first after these keep the prior's value."""
LEVEL_STEP = np.array([1.5, 1.0, 1.0, 1.0, 1.3, 1.6, 2.2, 4.0, 6.0])
"""Errors at the outer quantile levels are rare and large, so their steps are larger."""


class Adapted:
    """Corrections of shape (trees, leaves, levels), in local scales."""

    GROWING = ("correction", "visits")
    TREES = 24
    """The first trees carry the coarsest splits; adapting more trees improves little."""

    def __init__(self, trees: Trees, overlap: Floats) -> None:
        count = min(self.TREES, len(trees.leaf))
        self._caution = shared_constant(1.0 / np.sqrt(overlap))
        self._count = count
        leaves = trees.leaf.shape[1]
        self._first = shared_constant(np.arange(count) * leaves)
        self.row_of: npt.NDArray[np.uint16] = np.zeros(count * leaves, np.uint16)
        self.rows = 1
        """Rows in use; row 0 stands for all leaves without a row and stays 0."""
        self.correction: Singles = np.zeros((ROWS_MORE, len(LEVELS)), np.float32)
        self.visits: Singles = np.zeros(ROWS_MORE, np.float32)

    def sum_at(self, leaves: Bytes) -> Floats:
        """The workload's corrections summed over leaves (rows, trees); shape (rows, levels)."""
        at = self.row_of[leaves[:, : self._count] + self._first]
        mean: Floats = np.take(self.correction, at, axis=0).sum(axis=1) / self._count
        return mean

    def learn(self, due: Indices, leaves: Bytes, is_below: npt.NDArray[np.bool_]) -> None:
        """Take in outcomes.

        Args:
            due: the horizons judged, shape (n,).
            leaves: where their forecasts had stood, shape (n, trees).
            is_below: where the outcome was below this expert's quantile, shape (n, levels).
        """
        at = self._rows_for(leaves[:, : self._count] + self._first)
        caution = self._caution[due][:, None]
        step = RATE * (LEVELS - is_below) * LEVEL_STEP
        # Horizons that share a leaf must each count, hence no fancy assignment.
        np.add.at(self.visits, at, caution.astype(np.float32))
        rate = caution / np.sqrt(self.visits[at] + VISITS_PRIOR)
        np.add.at(self.correction, at, (rate[:, :, None] * step[:, None, :]).astype(np.float32))
        self.visits[0] = 0.0
        self.correction[0] = 0.0

    def _rows_for(self, leaves: Indices) -> npt.NDArray[np.uint16]:
        at = self.row_of[leaves]
        new = np.unique(leaves[at == 0])[: ROWS_MAX - self.rows]
        if not len(new):
            return at
        first, self.rows = self.rows, self.rows + len(new)
        missing = self.rows - len(self.visits)
        if missing > 0:
            more = min(max(missing, ROWS_MORE), ROWS_MAX - len(self.visits))
            self.visits = np.pad(self.visits, (0, more))
            self.correction = np.pad(self.correction, ((0, more), (0, 0)))
        self.row_of[new] = np.arange(first, self.rows)
        return self.row_of[leaves]
