"""How many edits of its objects a namespace may have read.

An edit makes a new trigger, which costs far more than a question about a known one: its metadata is
parsed, its source opened, its feed looked at apart from others, its past read. New objects need no
pace, because their number is limited and each keeps its place for an hour; edits have no end.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from scaler.clock import Clock

A_MINUTE: Final = 60.0
"""Of each namespace, beside as many as it may have objects, which may all be edited at once."""


@dataclass(slots=True)
class _Lately:
    edits: float
    at_seconds: float


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
        self._lately: dict[str, _Lately] = {}

    def wait_seconds(self, namespace: str) -> float:
        """How long no further edit is taken; 0 = one may be."""
        beyond = self._outstanding(namespace) + 1 - self._most(namespace) - A_MINUTE
        return max(0.0, beyond * 60 / A_MINUTE)

    def add(self, namespace: str) -> None:
        """Count an edit."""
        self._lately[namespace] = _Lately(self._outstanding(namespace) + 1, self._clock())

    def forget_old(self) -> None:
        """Let go of the namespaces whose edits are long ago."""
        for namespace in [one for one in self._lately if not self._outstanding(one)]:
            del self._lately[namespace]

    def _outstanding(self, namespace: str) -> float:
        """The edits, less those that the time since has made up for."""
        lately = self._lately.get(namespace)
        if lately is None:
            return 0.0
        made_up_for = (self._clock() - lately.at_seconds) * A_MINUTE / 60
        return max(0.0, lately.edits - made_up_for)
