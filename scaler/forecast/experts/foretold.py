"""Somebody else's forecast: the sum over clients, a pretrained model, a marketing calendar.

Whatever it is, it is one more voice: it starts with the weight of one expert among many and goes
on with what its own past errors earn.
"""

import numpy as np

from scaler.forecast.experts.port import Task
from scaler.forecast.once import once
from scaler.forecast.past import Floats, Past


class Foretold:
    names = ("foretold",)

    def __init__(self, task: Task) -> None:
        self._silent = once(np.full((len(task.horizons_steps), 1), np.nan))

    def advance(self, past: Past) -> None:
        """What is foretold comes with each sample."""

    def points(self, past: Past) -> Floats:
        if past.foretold is None or len(past.foretold) != len(self._silent):
            return self._silent
        return past.foretold[:, None]
