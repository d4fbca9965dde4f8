"""Of the steps that are older than a day every second one is enough, and stands for two."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from scaler.forecast.maximum.wanted_past import WantedPast
from scaler.forecast.past import DAY_SECONDS, Singles

Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Thinned:
    """Which steps of a past are counted, the oldest first."""

    old: slice
    recent: slice

    def of(self, rows: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
        """The counted steps of rows whose last axis are the steps of the past."""
        return np.concatenate((rows[..., self.old], rows[..., self.recent]), axis=-1)

    def weighted(self, rows: Singles) -> Singles:
        """The same, each times the steps that it stands for."""
        return np.concatenate((2 * rows[..., self.old], rows[..., self.recent]), axis=-1)


def thinned(past: WantedPast) -> Thinned:
    """The same steps again after the next one, as long as they are old."""
    begin = max(0, past.length - round(DAY_SECONDS / past.step_seconds))
    first = (past.step - past.length + 1) % 2
    return Thinned(slice(first, begin, 2), slice(begin, past.length))
