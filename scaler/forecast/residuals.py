"""Rolling error quantiles of point forecasts: conformal prediction on a window.

Each kind of window keeps the last errors of one point forecast in one unit (as they are, per local
scale, per level). Its quantile at level p is the ⌈(n + 1)·p⌉-th smallest (Vovk et al. 2005), shrunk
towards a prior shape while there are few independent errors (forty errors do not determine a .99).
Sorting at every step would dominate the cost of a forecast, so quantiles are refreshed every few
steps.
"""

import numpy as np
import numpy.typing as npt

from scaler.forecast.bfloat16 import Bfloat16, from_bfloat16, to_bfloat16
from scaler.forecast.shared_constant import shared_constant

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]

WINDOW = 256
REFRESH_STEPS = 4
ERROR_MAX = 40.0
PRIOR_ERRORS_PER_TAIL = 0.6
"""The prior counts as this ÷ (1 − level) errors."""


class Windows:
    """Rolling error quantiles of shape (kinds, horizons, levels)."""

    def __init__(
        self, *, levels: Floats, prior: Floats, overlap: Floats, thinning: tuple[int, ...]
    ) -> None:
        """Start with no errors.

        Args:
            prior: shape (levels,), the error quantiles before any evidence, in local scales.
            overlap: shape (horizons,), kept errors in a row that count as one independent error.
            thinning: per kind, the stride between kept errors: longer memory at the same size.
        """
        kinds, horizons = len(thinning), len(overlap)
        self._levels = shared_constant(levels)
        self._thinning = shared_constant(np.array(thinning)[:, None])
        self._overlap = shared_constant(overlap)
        self._prior_errors = shared_constant(PRIOR_ERRORS_PER_TAIL / np.minimum(levels, 1 - levels))
        self._prior = shared_constant(prior)
        self.errors: Bfloat16 = to_bfloat16(np.full((kinds, horizons, WINDOW), np.inf))
        self.seen = np.zeros(horizons, np.int64)
        self.measured: Singles = np.zeros((kinds, horizons, len(levels)), np.float32)
        self.age = 0

    def learn(self, due: Indices, errors: Floats) -> None:
        """Add errors of shape (kinds, due) of the horizons `due`."""
        place, skipped = np.divmod(self.seen[due], self._thinning)
        kind, column = np.nonzero(skipped == 0)
        at = place[kind, column] % WINDOW
        self.errors[kind, due[column], at] = to_bfloat16(errors[kind, column])
        self.seen[due] += 1
        self.age += 1
        # The last (longest) horizon has the fewest errors.
        if self.age >= REFRESH_STEPS or self.seen[-1] < WINDOW // 8:
            self.age = 0
            self._refresh()

    def quantiles(self, unit: Floats) -> Floats:
        """Error quantiles, shape (kinds, horizons, levels).

        Args:
            unit: one local scale in each kind's unit, shape (kinds, horizons).
        """
        prior = self._prior * unit[:, :, None]
        kept = np.minimum(-(-self.seen // self._thinning), WINDOW)
        # Neighbours in a thinned window are further apart and so less correlated.
        independent = (kept / np.maximum(1.0, self._overlap / self._thinning))[:, :, None]
        trust = independent / (independent + self._prior_errors)
        blended: Floats = prior + trust * (self.measured - prior)
        return blended

    def _refresh(self) -> None:
        ordered = np.sort(from_bfloat16(self.errors), axis=2)
        kept = np.minimum(-(-self.seen // self._thinning), WINDOW)[:, :, None]
        top = np.maximum(kept - 1, 0)
        rank = np.clip((kept + 1) * self._levels - 1, 0, top)
        low = rank.astype(np.intp)
        # Empty slots are infinite and sort last; an empty window yields 0 with weight 0.
        ordered[:, :, 0] = np.where(kept[:, :, 0] > 0, ordered[:, :, 0], 0.0)
        below = np.take_along_axis(ordered, low, axis=2)
        above = np.take_along_axis(ordered, np.minimum(low + 1, top), axis=2)
        self.measured = (below + (rank - low) * (above - below)).astype(np.float32)
