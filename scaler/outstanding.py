"""What each key has used of an allowance that comes back at a steady pace (a leaky bucket)."""

import math
from dataclasses import dataclass
from typing import Generic, TypeVar

_Key = TypeVar("_Key")


@dataclass(slots=True)
class _Used:
    amount: float
    at_seconds: float


class Outstanding(Generic[_Key]):
    """Counts by key; what is not outstanding any more takes no room once it is forgotten."""

    def __init__(self, *, a_second: float) -> None:
        """Begin with nothing.

        Args:
            a_second: what comes back in a second, for each key.
        """
        self._a_second = a_second
        self._used: dict[_Key, _Used] = {}

    def __contains__(self, key: _Key) -> bool:
        return key in self._used

    def __len__(self) -> int:
        return len(self._used)

    def of(self, key: _Key, *, now_seconds: float) -> float:
        """What was counted, less what the time since has made up for."""
        used = self._used.get(key)
        if used is None:
            return 0.0
        return max(0.0, used.amount - self._a_second * (now_seconds - used.at_seconds))

    def add(self, key: _Key, amount: float, *, now_seconds: float, most: float = math.inf) -> None:
        """Count so much more; no more than `most` is outstanding then."""
        amount = min(most, self.of(key, now_seconds=now_seconds) + amount)
        self._used[key] = _Used(amount, now_seconds)

    def forget_settled(self, *, now_seconds: float) -> None:
        """Let go of the keys of which nothing is outstanding."""
        for key in [one for one in self._used if not self.of(one, now_seconds=now_seconds)]:
            del self._used[key]
