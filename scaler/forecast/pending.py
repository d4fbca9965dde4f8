"""Predictions that wait for their outcome.

A prediction h steps ahead is scored h steps later and kept until then. For long horizons only every
(h ÷ 9)-th is kept: the errors of overlapping predictions are correlated and add little evidence,
and memory is then the same for any horizon and step. The rings of all horizons are stored one after
the other, each as long as its horizon needs.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from scaler.forecast.past import Indices
from scaler.forecast.shared_constant import shared_constant

Numbers = npt.NDArray[Any]

SLOTS = 9


class Pending:
    """A ring of predictions for each horizon."""

    def __init__(self, horizons_steps: Indices, parts: tuple[tuple[int, type], ...]) -> None:
        """Start empty.

        Args:
            parts: width per horizon and type of each part of a prediction.
        """
        self._ahead = shared_constant(horizons_steps)
        self._stride = shared_constant(np.maximum(1, -(-horizons_steps // SLOTS)))
        self._slots = shared_constant(horizons_steps // self._stride + 1)
        ends = np.cumsum(self._slots)
        self._first = shared_constant(ends - self._slots)
        self.parts: list[Numbers] = [np.zeros((ends[-1], width), kind) for width, kind in parts]
        self.made_step: npt.NDArray[np.int64] = np.full(ends[-1], -1, np.int64)

    @property
    def stride(self) -> Indices:
        """The stride in steps between kept predictions of each horizon, shape (horizons,)."""
        return self._stride

    def keep(self, step: int, parts: tuple[Numbers, ...]) -> None:
        """Keep the predictions made at `step`; every part has shape (horizons, width)."""
        due = np.flatnonzero(step % self._stride == 0)
        slot = self._first[due] + step // self._stride[due] % self._slots[due]
        self.made_step[slot] = step
        for rings, part in zip(self.parts, parts, strict=True):
            rings[slot] = part[due]

    def due(self, step: int) -> tuple[Indices, list[Numbers]]:
        """The horizons with a kept prediction for `step`, and these predictions."""
        made = step - self._ahead
        slot = self._first + made // self._stride % self._slots
        held = (made >= 0) & (made % self._stride == 0) & (self.made_step[slot] == made)
        due = np.flatnonzero(held)
        return due, [rings[slot[due]] for rings in self.parts]

    def drop_after(self, step: int) -> None:
        """Drop the predictions made after this step."""
        self.made_step[self.made_step > step] = -1
