"""The interface of a point expert: a predicted level of demand at each horizon.

An expert reads only the past. It states no uncertainty: that comes from its rolling errors.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from scaler.forecast.past import Floats, Indices, Past
from scaler.forecast.shared_constant import shared_constant


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """The forecasting task: step and horizons."""

    step_seconds: float
    horizons_steps: Indices

    @property
    def from_now_seconds(self) -> Floats:
        """Now and each horizon, in seconds from now."""
        return shared_constant(np.concatenate(([0.0], self.horizons_steps * self.step_seconds)))


class PointExpert(Protocol):
    """One or several point forecasts of one kind."""

    @property
    def names(self) -> tuple[str, ...]: ...

    def advance(self, past: Past) -> None:
        """Update with the value just added to `past`."""
        ...

    def points(self, past: Past) -> Floats:
        """Shape (horizons, names); NaN where no prediction is possible yet."""
        ...
