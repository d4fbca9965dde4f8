"""Exponentially weighted means: demand is noise about a level.

Brown, Smoothing, Forecasting and Prediction, 1963. One mean per half-life, from half a step to a
thousand: the weights per horizon are learned.
"""

from scaler.forecast.experts.port import Task
from scaler.forecast.past import HALF_LIVES_STEPS, Floats, Past

BANK = slice(0, 12)
NAMES = tuple(f"ewma-{half_life:g}" for half_life in HALF_LIVES_STEPS[BANK])


class Ewma:
    names = NAMES

    def __init__(self, task: Task) -> None:
        self._horizons = len(task.horizons_steps)

    def advance(self, past: Past) -> None:
        """Nothing to do: `Past` keeps the means."""

    def points(self, past: Past) -> Floats:
        return past.ewma[None, BANK].repeat(self._horizons, axis=0)
