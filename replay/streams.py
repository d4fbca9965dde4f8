"""Running requests of all replicas, as flat arrays with places that are used again.

A stream is known by its replica's token clock: the clock when its first token came and the clock
when its last will. Nothing has to be done for it in between.
"""

import numpy as np
from numpy.typing import NDArray

from replay.traffic import Floats

Places = NDArray[np.intp]


class Streams:
    """Places for streams; one that is free ends never."""

    def __init__(self, places: int) -> None:
        self.row = np.zeros(places, dtype=np.int64)
        self.request = np.zeros(places, dtype=np.int64)
        self.first_clock = np.zeros(places)
        self.last_clock = np.full(places, np.inf)
        # A stack, so that the places in use lie below the most that ever were: `_used`.
        self._free = np.arange(places)[::-1].copy()
        self._free_count = places
        self._used = 0

    def take(self, count: int) -> Places:
        """Free places, to be filled by the caller."""
        self._free_count -= count
        assert self._free_count >= 0
        self._used = max(self._used, len(self._free) - self._free_count)
        return self._free[self._free_count : self._free_count + count]

    def seat(self, row: int, request: int, *, first_clock: float, last_clock: float) -> None:
        """One stream more."""
        place = self.take(1)
        self.row[place], self.request[place] = row, request
        self.first_clock[place], self.last_clock[place] = first_clock, last_clock

    def give_back(self, places: Places) -> None:
        """Free places that were taken."""
        self.last_clock[places] = np.inf
        self._free[self._free_count : self._free_count + len(places)] = places
        self._free_count += len(places)

    def ending_by(self, clock: Floats) -> Places:
        """Places whose stream has its last token when the rows' clocks show `clock`."""
        used = self._used
        places: Places = (self.last_clock[:used] <= clock[self.row[:used]]).nonzero()[0]
        return places

    def of_row(self, row: int) -> Places:
        """Places whose stream runs on one replica."""
        return np.flatnonzero(np.isfinite(self.last_clock) & (self.row == row))
