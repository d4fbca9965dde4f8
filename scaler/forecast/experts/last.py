"""The last value: the implicit forecast of every reactive autoscaler."""

import numpy as np

from scaler.forecast.experts.port import Task
from scaler.forecast.past import Floats, Past


class Last:
    names = ("last",)

    def __init__(self, task: Task) -> None:
        self._shape = (len(task.horizons_steps), 1)

    def advance(self, past: Past) -> None:
        """Nothing to do: `Past` keeps the last value."""

    def points(self, past: Past) -> Floats:
        return np.full(self._shape, past.last)
