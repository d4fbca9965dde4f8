"""A lock that namespaces get in turn."""

import threading
from collections import Counter


class Turns:
    """A lock; of the namespaces whose threads wait for it, the one that had it longest ago is next.

    Where one namespace has large answers without end, an answer of another waits for one of them.
    `scaler.serving.slots.InTurn` is the same for tasks of the event loop, with several slots.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held = False
        self._waiting: Counter[str | None] = Counter()
        self._last: dict[str | None, int] = {}
        """Namespace → the number of its last turn, while any thread waits."""
        self._turns = 0

    def is_held(self) -> bool:
        return self._held

    def waiting(self) -> int:
        """How many threads wait."""
        with self._changed:
            return self._waiting.total()

    def take(self, namespace: str | None, *, seconds_max: float) -> bool:
        """Wait for a turn; False if none came in time. Blocks."""
        with self._changed:
            self._waiting[namespace] += 1
            taken = self._changed.wait_for(
                lambda: not self._held and self._next() == namespace, seconds_max
            )
            self._waiting -= Counter({namespace: 1})
            if taken:
                self._held = True
                self._turns += 1
                self._last[namespace] = self._turns
            else:
                self._changed.notify_all()  # it may have been this one's turn
            return taken

    def give_back(self) -> None:
        with self._changed:
            self._held = False
            if not self._waiting:
                self._last.clear()
            self._changed.notify_all()

    def _next(self) -> str | None:
        return min(self._waiting, key=lambda one: self._last.get(one, 0))
