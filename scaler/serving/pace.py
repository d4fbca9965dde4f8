"""The pace of the cycle: one grid of moments, multiples of the period in wall time.

Every replica of Foresail has the same moments and so reads the same samples. The monotonic clock
sets the pace: setting the wall clock changes the labels of the moments and delays none of them.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from scaler.clock import Clock, WallTime

_PERIODS_LATE_MAX: Final = 3


class Pace:
    """Waits for one moment after the other."""

    def __init__(
        self,
        period_seconds: float,
        *,
        wall: WallTime,
        steady: Clock,
        absorb_clock_step: Callable[[], None],
    ) -> None:
        """Begin now.

        Args:
            absorb_clock_step: called after each wait, before the moment is used.
        """
        self._period_seconds = period_seconds
        self._wall = wall
        self._steady = steady
        self._absorb_clock_step = absorb_clock_step
        self._moment = 0.0
        self._reached_at = steady()

    async def next_moment(self) -> float:
        """Wait for the next moment of the grid, and return its label.

        Moments that passed while the process was stopped are skipped.
        """
        period = self._period_seconds
        now, clock_steps = self._wall.now(), self._wall.steps
        # A slewed wall clock may be some milliseconds before the last moment.
        moment = max((now // period + 1) * period, self._moment + period)
        # At most two periods, even if the wall clock was set between the two lines above.
        deadline = self._steady() + min(moment - now, 2 * period)
        await asyncio.sleep(deadline - self._steady())
        moment += max(0.0, self._steady() - deadline) // period * period
        self._absorb_clock_step()
        if clock_steps != self._wall.steps:  # set during the wait; a look may have noticed it first
            moment = self._wall.now() // period * period
        self._moment, self._reached_at = moment, self._steady()
        return moment

    def overdue_seconds(self) -> float:
        """How long ago a moment should have been reached; 0 while the event loop runs."""
        allowed = _PERIODS_LATE_MAX * self._period_seconds
        return max(0.0, self._steady() - self._reached_at - allowed)
