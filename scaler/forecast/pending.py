"""Forecasts waiting for their outcome.

A forecast h steps ahead is judged h steps later, so what was said must be kept until then. Long
horizons are kept every h ÷ 12 steps only: neighbours that overlap almost whole are wrong together
and teach nothing twice, and memory stays the same for any horizon and step.
"""

import numpy as np
import numpy.typing as npt

from scaler.forecast.past import Floats, Indices

SLOTS = 12


class Pending:
    """A ring of forecasts for each horizon."""

    def __init__(self, horizons_steps: Indices, parts: tuple[tuple[int, type], ...]) -> None:
        """Start with nothing said.

        Args:
            parts: how many numbers each part of a forecast has per horizon, and their type.
        """
        self._ahead = horizons_steps
        self.stride = np.maximum(1, -(-horizons_steps // SLOTS))
        self._slots = horizons_steps // self.stride + 1
        size = int(self._slots.max())
        self.parts: list[npt.NDArray[np.generic]] = [
            np.zeros((len(horizons_steps), size, width), kind) for width, kind in parts
        ]
        self.made_step: npt.NDArray[np.int64] = np.full((len(horizons_steps), size), -1, np.int64)

    def keep(self, step: int, parts: list[Floats]) -> None:
        """Remember what was said at `step`; every part has shape (horizons, width)."""
        due = np.flatnonzero(step % self.stride == 0)
        slot = step // self.stride[due] % self._slots[due]
        self.made_step[due, slot] = step
        for ring, part in zip(self.parts, parts, strict=True):
            ring[due, slot] = part[due]

    def due(self, step: int) -> tuple[Indices, list[Floats]]:
        """The horizons whose forecast was for `step`, and what was said of them then."""
        made = step - self._ahead
        slot = made // self.stride % self._slots
        rows = np.arange(len(made))
        held = (made >= 0) & (made % self.stride == 0) & (self.made_step[rows, slot] == made)
        due = np.flatnonzero(held)
        return due, [ring[due, slot[due]].astype(np.float64) for ring in self.parts]
