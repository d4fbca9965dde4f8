"""What a point expert is: something that says where demand will be at each horizon.

An expert sees only the past. It is never asked how sure it is: its rolling errors say that.
"""

from dataclasses import dataclass
from typing import Protocol

from scaler.forecast.past import Floats, Indices, Past


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What has to be forecast."""

    step_seconds: float
    horizons_steps: Indices


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
