"""The memory that what is read takes, counted in the whole process by the tenant it is for."""

import threading
from collections import Counter, deque
from typing import Final

HELD_BYTES_MAX: Final = 64 * 2**20
"""Of the answers of all sources, without the beginning of each."""


class HeldBytes:
    """The bytes that are held for each owner.

    Where they are too many, those are refused that hold more than their fair share, so that one
    tenant takes no memory from the others. Nobody who holds less than another is refused before
    it: a share is what is left of the most, once all who hold less have theirs (max-min fairness).
    """

    def __init__(self, bytes_max: int = HELD_BYTES_MAX) -> None:
        self.bytes_max = bytes_max
        self._by_owner: Counter[str] = Counter()
        self._abandoned: deque[tuple[str, int]] = deque()
        self._lock = threading.Lock()

    def take(self, owner: str, count: int) -> bool:
        """Count bytes of an owner; whether it may hold them."""
        with self._lock:
            while self._abandoned:
                self._give_back(*self._abandoned.popleft())
            self._by_owner[owner] += count
            if self._by_owner.total() <= self.bytes_max:
                return True
            return self._by_owner[owner] <= self._share()

    def give_back(self, owner: str, count: int) -> None:
        with self._lock:
            self._give_back(owner, count)

    def abandon(self, owner: str, count: int) -> None:
        """Give back without waiting for a lock, as a finalizer must: it may run at any point."""
        self._abandoned.append((owner, count))

    def _give_back(self, owner: str, count: int) -> None:
        self._by_owner[owner] -= count
        if not self._by_owner[owner]:
            del self._by_owner[owner]

    def _share(self) -> float:
        """The most that one owner may hold where all of them hold too much."""
        room, owners = float(self.bytes_max), len(self._by_owner)
        for held in sorted(self._by_owner.values()):
            if held * owners > room:
                return room / owners
            room -= held
            owners -= 1
        return room


HELD: Final = HeldBytes()
