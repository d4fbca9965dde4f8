"""So many requests of each client address in a second.

A port shares its event loop with what the process is for. Requests are parsed and answered in that
loop, and a few clients can send thousands in a second. Each address has a token bucket of its own,
so a client that asks without end delays and owes nothing but its own requests. Nobody waits in a
queue: a request beyond the pace is refused, and its refusal held back for a second, so that a
connection that stays open asks once a second.
"""

import asyncio
from typing import Final

from scaler.limits import Limit, exceeded
from scaler.outstanding import Outstanding

A_SECOND: Final = 10.0
"""Requests of one address that are let in, in the long run."""
AT_ONCE: Final = 50.0
"""Requests of one address that are let in together after a quiet time."""
DEBT_SECONDS_MAX: Final = 3.0
"""After answers that cost more than the tokens there were, requests are refused for so long."""
REFUSED_AFTER_SECONDS: Final = 1.0
"""How long a refusal is held back."""
SLOWED_SECONDS: Final = 0.5
"""How long an answer is held back that nobody may be refused: half of what the kubelet waits."""
HELD_BACK_MAX: Final = 256
"""Requests that are held back together: as many as the port has connections. Clients that left
before theirs came can be more; further ones are not held back."""
ADDRESSES_MAX: Final = 256
"""Addresses with a bucket of their own; further ones share one."""
_FORGET_SECONDS: Final = 1.0
"""At most so often a full table is searched for addresses that can be forgotten."""
_OTHERS: Final = ""
"""The key of all addresses without a bucket of their own; no address is empty."""


class RequestPace:
    """Lets the requests of each address in at a limited pace."""

    def __init__(self, *, a_second: float = A_SECOND, at_once: float = AT_ONCE) -> None:
        """Begin with a full bucket for every address.

        Args:
            a_second: requests of an address that are let in, in the long run.
            at_once: requests of an address that are let in together after a quiet time.
        """
        self._at_once = at_once
        self._most = at_once - 1 + a_second * DEBT_SECONDS_MAX
        self._requests = Outstanding[str](a_second=a_second)
        self._forgot_at_seconds = float("-inf")
        self._held_back = 0

    async def admit(self, address: str, requests: float = 1.0) -> bool:
        """Whether a request is let in; False a second after one that is beyond the pace.

        Args:
            address: of the client.
            requests: as how many it counts if it is let in, by the answer that it will get. It is
                let in as long as there is a token for one.
        """
        if self._let_in(address, requests):
            return True
        await self._hold_back(REFUSED_AFTER_SECONDS)
        return False

    async def slow_down(self, address: str) -> None:
        """Wait, if a request is beyond the pace: it is answered all the same, but late."""
        if not self._let_in(address, 1.0):
            await self._hold_back(SLOWED_SECONDS)

    def _let_in(self, address: str, requests: float) -> bool:
        """Whether a request is within the pace, and counts."""
        if self._requests.of(self._key(address), now_seconds=_now()) > self._at_once - 1:
            exceeded(Limit.REQUESTS)
            return False
        self.charge(address, requests)
        return True

    async def _hold_back(self, seconds: float) -> None:
        if self._held_back < HELD_BACK_MAX:
            self._held_back += 1
            try:
                await asyncio.sleep(seconds)
            finally:
                self._held_back -= 1

    def charge(self, address: str, requests: float) -> None:
        """Count an answer to this address that cost as much as so many further requests."""
        key = self._key(address)
        self._requests.add(key, requests, now_seconds=_now(), most=self._most)

    def _key(self, address: str) -> str:
        """The address, or where the table is full the key of all without a bucket of their own."""
        if address not in self._requests and len(self._requests) >= ADDRESSES_MAX:
            self._forget_full()
            if len(self._requests) >= ADDRESSES_MAX:
                return _OTHERS
        return address

    def _forget_full(self) -> None:
        """Let go of full buckets: a new one is the same."""
        now = _now()
        if now - self._forgot_at_seconds >= _FORGET_SECONDS:
            self._forgot_at_seconds = now
            self._requests.forget_settled(now_seconds=now)


def _now() -> float:
    return asyncio.get_running_loop().time()
