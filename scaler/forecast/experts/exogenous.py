"""An exogenous forecast: the sum over clients, a pretrained model, a calendar of events.

It starts with the weight `EXOGENOUS_PRIOR` and then gets the weight that its own errors earn.
"""

import numpy as np

from scaler.forecast.experts.port import Task
from scaler.forecast.past import Floats, Past
from scaler.forecast.shared_constant import shared_constant


class Exogenous:
    names = ("exogenous",)

    def __init__(self, task: Task) -> None:
        self._silent = shared_constant(np.full((len(task.horizons_steps), 1), np.nan))

    def advance(self, past: Past) -> None:
        """Nothing to do: the forecast comes with each sample."""

    def points(self, past: Past) -> Floats:
        if past.exogenous is None or len(past.exogenous) != len(self._silent):
            return self._silent
        return past.exogenous[:, None]
