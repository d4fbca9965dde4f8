"""Clocks, passed in as arguments; the demo and the tests pass their own.

Pace, time-outs and ages use the monotonic clock. Wall time is only a label: the time of a query,
the grid of the forecast's series, the time of a decision. NTP, an administrator or a resumed
virtual machine can set the wall clock back or forward. Only `WallTime` detects that.
"""

from typing import Final, Protocol

STEP_SECONDS_MIN: Final = 1.0
"""NTP slews at most 0.5 ms a second, 8 ms between two looks; a larger step means a set clock."""


class Clock(Protocol):
    """Seconds: of Unix time for a wall clock, since some moment for a monotonic one."""

    def __call__(self) -> float: ...


class WallTime:
    """The wall clock beside the monotonic one."""

    def __init__(self, wall: Clock, steady: Clock) -> None:
        self._wall = wall
        self._steady = steady
        self._apart = wall() - steady()
        self.steps = 0
        """How often the wall clock was set so far."""

    def now(self) -> float:
        """Unix time in seconds."""
        return self._wall()

    def step(self) -> float:
        """By how many seconds the wall clock was set since the last call; 0.0 if it was not."""
        before, self._apart = self._apart, self._wall() - self._steady()
        moved = self._apart - before
        if abs(moved) < STEP_SECONDS_MIN:
            return 0.0
        self.steps += 1
        return moved
