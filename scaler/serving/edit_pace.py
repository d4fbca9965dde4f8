"""How many edits of its objects a namespace may have read.

An edit makes a new trigger, which costs far more than a question about a known one: its metadata is
parsed, its source opened, its feed looked at apart from others, its past read. New objects need no
pace, because their number is limited and each keeps its place for an hour; edits have no end.
"""

from collections.abc import Callable
from typing import Final

from scaler.clock import Clock
from scaler.outstanding import Outstanding

A_MINUTE: Final = 60.0
"""Of each namespace, beside as many as it may have objects, which may all be edited at once."""


class EditPace:
    """Counts the edits of each namespace."""

    def __init__(self, most: Callable[[str], float], clock: Clock) -> None:
        """Begin with none.

        Args:
            most: objects that a namespace may have.
            clock: the monotonic one.
        """
        self._most = most
        self._clock = clock
        self._edits = Outstanding[str](a_second=A_MINUTE / 60)

    def wait_seconds(self, namespace: str) -> float:
        """How long no further edit is taken; 0 = one may be."""
        edits = self._edits.of(namespace, now_seconds=self._clock())
        beyond = edits + 1 - self._most(namespace) - A_MINUTE
        return max(0.0, beyond * 60 / A_MINUTE)

    def add(self, namespace: str) -> None:
        """Count an edit."""
        self._edits.add(namespace, 1, now_seconds=self._clock())

    def forget_old(self) -> None:
        """Let go of the namespaces whose edits are long ago."""
        self._edits.forget_settled(now_seconds=self._clock())
