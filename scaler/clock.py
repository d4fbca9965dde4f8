"""Time, handed to the rooms; the demo and the tests hand in their own.

Pace, time-outs and ages run on the monotonic clock. Wall time only labels: the time of a query, the
grid of the forecast's series, the time of a decision. The wall clock is set back and forward, by
NTP, by people, and after a virtual machine was suspended, so every label may move. `WallTime` sees
that, and nothing else looks for it.
"""

from typing import Final, Protocol

STEP_SECONDS_MIN: Final = 1.0
"""NTP slews at most 0.5 ms a second, 8 ms between two looks; what moves further was set."""


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
        """How often it was set so far."""

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
