"""How many triggers of a namespace may begin.

A new trigger costs far more than a question about a known one: its metadata is parsed, its source
opened, its feed looked at apart from others, its past read. Each edit of an object is a new one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from scaler.clock import Clock

A_MINUTE: Final = 60.0
"""Of each namespace, beside as many as it may have, which may all begin at once."""


@dataclass(slots=True)
class _Begun:
    triggers: float
    at_seconds: float


class NewTriggers:
    """Counts the triggers that began lately, by namespace."""

    def __init__(self, most: Callable[[str], float], clock: Clock) -> None:
        """Begin with none.

        Args:
            most: triggers that a namespace may have. After a start KEDA asks about all of them.
            clock: the monotonic one.
        """
        self._most = most
        self._clock = clock
        self._begun: dict[str, _Begun] = {}

    def wait_seconds(self, namespace: str) -> float:
        """How long no trigger of the namespace may begin; 0 = one may."""
        beyond = self._left(namespace) + 1 - self._most(namespace) - A_MINUTE
        return max(0.0, beyond * 60 / A_MINUTE)

    def add(self, namespace: str) -> None:
        """Count a trigger that begins."""
        self._begun[namespace] = _Begun(self._left(namespace) + 1, self._clock())

    def forget_old(self) -> None:
        """Let go of the namespaces whose triggers began long ago."""
        for namespace in [one for one in self._begun if not self._left(one)]:
            del self._begun[namespace]

    def _left(self, namespace: str) -> float:
        """The triggers that began, less those that the time since has made up for."""
        begun = self._begun.get(namespace)
        if begun is None:
            return 0.0
        made_up_for = (self._clock() - begun.at_seconds) * A_MINUTE / 60
        return max(0.0, begun.triggers - made_up_for)
