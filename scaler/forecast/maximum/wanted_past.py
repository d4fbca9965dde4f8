"""The past of a pool's demand, and what the maximum of each window then was.

The last eight days are kept step by step. For each past step and window the *excess* is kept too:
how far the maximum over the window exceeded the demand at its start. Both lie in arrays whose
newest step is the last one in use, so that a slice is a span of time. When an array is full, its
oldest quarter of a day is dropped.
"""

import math

import numpy as np
import numpy.typing as npt

from scaler.forecast.past import DAY_SECONDS, Floats, Indices, Singles

DAYS = 8
UNKNOWN = -1
"""An excess that is not known, or not yet."""
EXCESS_MAX = 32_000
HELD_STEPS = 5
"""So many missing steps repeat the last value; after more, the demand is unknown."""
LEVEL_HALF_LIFE_SECONDS = 43_200.0
MEAN_OF_SCALE = 8.0
"""A pool that wants so many GPUs on average changes by steps of about one."""


class WantedPast:
    """Demand and excess of one pool; `advance` costs the same after any length of history."""

    def __init__(self, *, step_seconds: float, windows_steps: Indices) -> None:
        self.step_seconds = step_seconds
        self._windows = windows_steps
        day = DAY_SECONDS / step_seconds
        self._dropped = max(1, math.ceil(day / 4))
        # The same time seven days ago, its neighbourhood, and the windows that began then.
        kept = math.ceil(DAYS * day) + int(windows_steps[-1])
        self._level_rate = 1.0 - 2.0 ** (-step_seconds / LEVEL_HALF_LIFE_SECONDS)
        self.step = -1
        self.measured = 0
        self.missing = 0
        """Steps since the newest measured one."""
        self.last = 0.0
        self.level = 0.0
        self.length = 0
        """Steps kept."""
        self.wanted: Singles = np.full(kept + self._dropped, np.nan, np.float32)
        """NaN = unknown."""
        shape = len(windows_steps), kept + self._dropped
        self.excess: npt.NDArray[np.int16] = np.full(shape, UNKNOWN, np.int16)
        """[window][step], in whole GPUs."""

    @property
    def capacity(self) -> int:
        return len(self.wanted)

    @property
    def scale(self) -> float:
        """A usual change, in GPUs: an eighth of the usual demand, at least one."""
        return max(1.0, self.level / MEAN_OF_SCALE)

    @property
    def highest(self) -> float:
        kept = self.wanted[: self.length]
        known = kept[~np.isnan(kept)]
        return float(known.max()) if len(known) else 0.0

    def advance(self, value: float) -> None:
        """Advance one step; NaN is a gap."""
        self.step += 1
        if math.isnan(value):
            self.missing += 1
        else:
            self.measured += 1
            self.missing = 0
            self.last = value
            self.level += max(self._level_rate, 1 / self.measured) * (value - self.level)
        if self.length == self.capacity:
            self._drop_oldest()
        known = self.measured > 0 and self.missing <= HELD_STEPS
        self.wanted[self.length] = self.last if known else np.nan
        self.length += 1
        for window, steps in enumerate(self._windows.tolist()):
            begin = self.length - 1 - steps
            if begin >= 0:
                # The maximum of a span with an unknown step is NaN.
                above = float(self.wanted[begin : self.length].max() - self.wanted[begin])
                if not math.isnan(above):
                    self.excess[window, begin] = min(math.floor(above), EXCESS_MAX)

    def skip(self, steps: int) -> None:
        """Advance over many gaps; longer than all that is kept changes nothing more."""
        walked = min(steps, self.capacity)
        self.step += steps - walked
        self.missing += steps - walked
        for _ in range(walked):
            self.advance(math.nan)

    def latest(self, steps: int) -> Floats:
        """The newest steps, newest last; the oldest repeats where there are fewer."""
        reach = max(1, min(steps, self.length))
        newest = self.wanted[max(0, self.length - reach) : self.length].astype(np.float64)
        known = np.where(np.isnan(newest), self.last, newest)
        return np.concatenate((np.full(steps - len(known), known[0]), known))

    def outcomes(self, windows: Indices) -> npt.NDArray[np.int16]:
        """The excess of those windows that end at the newest step."""
        begin = self.length - 1 - self._windows[windows]
        known: npt.NDArray[np.int16] = np.where(begin >= 0, self.excess[windows, begin], UNKNOWN)
        return known

    def _drop_oldest(self) -> None:
        count = self._dropped
        self.length -= count
        for rows, unknown in ((self.wanted, np.nan), (self.excess, UNKNOWN)):
            rows[..., : self.length] = rows[..., count:]
            rows[..., self.length :] = unknown
