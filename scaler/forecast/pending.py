"""Forecasts waiting for their outcome.

A forecast h steps ahead is judged h steps later, so what was said must be kept until then. Long
horizons are kept every h ÷ 9 steps only: neighbours that overlap almost whole are wrong together
and teach nothing twice, and memory stays the same for any horizon and step. The rings of all
horizons lie one after the other, for a short horizon needs only a short one.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from scaler.forecast.once import once
from scaler.forecast.past import Indices

Numbers = npt.NDArray[Any]

SLOTS = 9


class Pending:
    """A ring of forecasts for each horizon."""

    def __init__(self, horizons_steps: Indices, parts: tuple[tuple[int, type], ...]) -> None:
        """Start with nothing said.

        Args:
            parts: how many numbers each part of a forecast has per horizon, and their type.
        """
        self._ahead = once(horizons_steps)
        self._stride = once(np.maximum(1, -(-horizons_steps // SLOTS)))
        self._slots = once(horizons_steps // self._stride + 1)
        ends = np.cumsum(self._slots)
        self._first = once(ends - self._slots)
        self.parts: list[Numbers] = [np.zeros((ends[-1], width), kind) for width, kind in parts]
        self.made_step: npt.NDArray[np.int64] = np.full(ends[-1], -1, np.int64)

    @property
    def stride(self) -> Indices:
        """Every how many-th step a forecast of each horizon is kept, shape (horizons,)."""
        return self._stride

    def keep(self, step: int, parts: tuple[Numbers, ...]) -> None:
        """Remember what was said at `step`; every part has shape (horizons, width)."""
        due = np.flatnonzero(step % self._stride == 0)
        slot = self._first[due] + step // self._stride[due] % self._slots[due]
        self.made_step[slot] = step
        for rings, part in zip(self.parts, parts, strict=True):
            rings[slot] = part[due]

    def due(self, step: int) -> tuple[Indices, list[Numbers]]:
        """The horizons whose forecast was for `step`, and what was said of them then."""
        made = step - self._ahead
        slot = self._first + made // self._stride % self._slots
        held = (made >= 0) & (made % self._stride == 0) & (self.made_step[slot] == made)
        due = np.flatnonzero(held)
        return due, [rings[slot[due]] for rings in self.parts]
