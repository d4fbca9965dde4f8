"""The last value: what every autoscaler without a forecast assumes."""

import numpy as np

from scaler.forecast.experts.port import Task
from scaler.forecast.past import Floats, Past


class Last:
    names = ("last",)

    def __init__(self, task: Task) -> None:
        self._shape = (len(task.horizons_steps), 1)

    def advance(self, past: Past) -> None:
        """The last value is the past's own."""

    def points(self, past: Past) -> Floats:
        return np.full(self._shape, past.last)
