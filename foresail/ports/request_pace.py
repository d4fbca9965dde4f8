"""So many requests of each client address in a second.

A port shares its event loop with what the process is for. Requests are parsed and answered in that
loop, and a few clients can send thousands in a second. Each address has a token bucket of its own,
so a client that asks without end delays and owes nothing but its own requests. Nobody waits in a
queue: a request beyond the pace is refused, and its refusal held back for a second, so that a
connection that stays open asks once a second.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

from scaler.limits import Limit, exceeded

A_SECOND: Final = 10.0
"""Requests of one address that are let in, in the long run."""
AT_ONCE: Final = 50.0
"""Requests of one address that are let in together after a quiet time."""
DEBT_SECONDS_MAX: Final = 3.0
"""After answers that cost more than the tokens there were, requests are refused for so long."""
REFUSED_AFTER_SECONDS: Final = 1.0
"""How long a refusal is held back."""
HELD_BACK_MAX: Final = 256
"""Refusals that are held back together: as many as the port has connections. Clients that left
before theirs came can be more; further ones are not held back."""
ADDRESSES_MAX: Final = 256
"""Addresses with a bucket of their own; further ones share one."""
_FORGET_SECONDS: Final = 1.0
"""At most so often a full table is searched for addresses that can be forgotten."""
_OTHERS: Final = ""
"""The key of all addresses without a bucket of their own; no address is empty."""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at_seconds: float


class RequestPace:
    """Lets the requests of each address in at a limited pace."""

    def __init__(self, *, a_second: float = A_SECOND, at_once: float = AT_ONCE) -> None:
        """Begin with a full bucket for every address.

        Args:
            a_second: requests of an address that are let in, in the long run.
            at_once: requests of an address that are let in together after a quiet time.
        """
        self._a_second = a_second
        self._at_once = at_once
        self._buckets: dict[str, _Bucket] = {}
        """Those that are not full."""
        self._forgot_at_seconds = float("-inf")
        self._held_back = 0

    async def admit(self, address: str, requests: float = 1.0) -> bool:
        """Whether a request is let in; False a second after one that is beyond the pace.

        Args:
            address: of the client.
            requests: as how many it counts if it is let in, by the answer that it will get. It is
                let in as long as there is a token for one.
        """
        if self._bucket(address).tokens >= 1:
            self.charge(address, requests)
            return True
        exceeded(Limit.REQUESTS)
        if self._held_back < HELD_BACK_MAX:
            self._held_back += 1
            try:
                await asyncio.sleep(REFUSED_AFTER_SECONDS)
            finally:
                self._held_back -= 1
        return False

    def charge(self, address: str, requests: float) -> None:
        """Count an answer to this address that cost as much as so many further requests."""
        bucket = self._bucket(address)
        floor = 1 - self._a_second * DEBT_SECONDS_MAX
        bucket.tokens = max(floor, bucket.tokens - requests)

    def _bucket(self, address: str) -> _Bucket:
        """The bucket as of now."""
        now = asyncio.get_running_loop().time()
        if address not in self._buckets and len(self._buckets) >= ADDRESSES_MAX:
            self._forget_full(now)
            if len(self._buckets) >= ADDRESSES_MAX:
                address = _OTHERS
        bucket = self._buckets.setdefault(address, _Bucket(self._at_once, now))
        bucket.tokens, bucket.at_seconds = self._tokens(bucket, now), now
        return bucket

    def _tokens(self, bucket: _Bucket, now: float) -> float:
        more = (now - bucket.at_seconds) * self._a_second
        return min(self._at_once, bucket.tokens + more)

    def _forget_full(self, now: float) -> None:
        """Let go of full buckets: a new one is the same."""
        if now - self._forgot_at_seconds < _FORGET_SECONDS:
            return
        self._forgot_at_seconds = now
        for address, bucket in tuple(self._buckets.items()):
            if self._tokens(bucket, now) >= self._at_once:
                del self._buckets[address]
