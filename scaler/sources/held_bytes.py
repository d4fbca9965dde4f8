"""The memory that answers take while they are read: counted in the whole process."""

import threading
from collections import Counter
from typing import Final

HELD_BYTES_MAX: Final = 96 * 2**20
"""Of the answers of all sources, without the beginning of each."""


class HeldBytes:
    """The bytes of answers that are not read to their end yet, in the whole process.

    Where they are too many, those are refused that hold more than their fair share, so that the
    sources of one tenant take no memory from the others'.
    """

    def __init__(self) -> None:
        self._by_owner: Counter[str] = Counter()
        self._lock = threading.Lock()

    def take(self, owner: str, count: int) -> bool:
        """Count bytes of an owner; whether it may hold them."""
        with self._lock:
            self._by_owner[owner] += count
            if self._by_owner.total() <= HELD_BYTES_MAX:
                return True
            return self._by_owner[owner] <= HELD_BYTES_MAX / len(self._by_owner)

    def give_back(self, owner: str, count: int) -> None:
        with self._lock:
            self._by_owner[owner] -= count
            if not self._by_owner[owner]:
                del self._by_owner[owner]


HELD: Final = HeldBytes()
