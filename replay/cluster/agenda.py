"""What happens next: events in the order of their time."""

from collections.abc import Callable
from enum import IntEnum
from heapq import heappop, heappush


class Turn(IntEnum):
    """Which of several events at one moment comes first."""

    NODE = 0
    DEMAND = 1
    KARPENTER = 2
    ROUND = 3
    """A policy decides on what all others have left."""


Action = Callable[[float], None]


class Agenda:
    """Events that are still to come. An event that became void is ignored by its own action."""

    def __init__(self) -> None:
        self._events: list[tuple[float, int, int, Action]] = []
        self._count = 0

    def add(self, at_seconds: float, turn: Turn, action: Action) -> None:
        self._count += 1
        heappush(self._events, (at_seconds, turn, self._count, action))

    def run(self, until_seconds: float) -> None:
        """Let all events before a moment happen; one at that very moment stays."""
        events = self._events
        while events and events[0][0] < until_seconds:
            at_seconds, _, _, action = heappop(events)
            action(at_seconds)
