"""What a point expert is: something that says where demand will be at each horizon.

An expert sees only the past. It is never asked how sure it is: its rolling errors say that.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from scaler.forecast.once import once
from scaler.forecast.past import Floats, Indices, Past


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What has to be forecast."""

    step_seconds: float
    horizons_steps: Indices

    @property
    def from_now_seconds(self) -> Floats:
        """Now and each horizon, in seconds from now."""
        return once(np.concatenate(([0.0], self.horizons_steps * self.step_seconds)))


class PointExpert(Protocol):
    """One or several point forecasts of one kind."""

    @property
    def names(self) -> tuple[str, ...]: ...

    def advance(self, past: Past) -> None:
        """Learn from the value that `past` has just measured."""
        ...

    def points(self, past: Past) -> Floats:
        """Shape (horizons, names); NaN where there is nothing to say yet."""
        ...
