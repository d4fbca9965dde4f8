"""So many requests of a port in a second, and the addresses of its clients in turn.

A port shares its event loop with what the process is for. Requests are parsed and answered in that
loop, and a few clients can send thousands in a second.
"""

import asyncio
import math
from collections.abc import Callable

from scaler.limits import Limit, exceeded
from scaler.serving.slots import InTurn


class RequestTurns:
    """Lets requests through at a limited pace."""

    def __init__(self, *, a_second: float, at_once: float) -> None:
        """Begin with all of `at_once`.

        Args:
            a_second: requests that are let through in the long run.
            at_once: requests that are let through without a wait after a quiet time.
        """
        self._a_second = a_second
        self._at_once = at_once
        self._left = at_once
        self._left_at_seconds = -math.inf
        self._turns = InTurn(1)

    async def take(self, client: str, is_gone: Callable[[], bool] = lambda: False) -> bool:
        """Wait for the turn of one request; False if its client did not wait for it.

        Args:
            client: its address; addresses that wait have turns one after the other.
            is_gone: whether the client has left; called when it is its turn.
        """
        if self._turns.locked() or self._refilled() < 1:
            exceeded(Limit.REQUESTS)
        async with self._turns.slot(client):
            if is_gone():
                return False
            short = 1 - self._refilled()
            if short > 0:
                await asyncio.sleep(short / self._a_second)
            self.spend(1)
        return True

    def spend(self, requests: float) -> None:
        """Count an answer that costs as much as so many further requests."""
        self._left = self._refilled() - requests

    def _refilled(self) -> float:
        now = asyncio.get_running_loop().time()
        more = (now - self._left_at_seconds) * self._a_second
        self._left, self._left_at_seconds = min(self._at_once, self._left + more), now
        return self._left
