"""Requests for feeds' states between the two processes of this installation.

The answering process asks its planner on behalf of a peer, and the planner asks the answering one,
which asks the peers. Each side asks for keys and gets one message for each key, with a state or
without one.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

REQUEST_SECONDS_MAX = 10.0
"""Timeout for all the states of one request; later ones are left out."""


@dataclass(slots=True, eq=False)
class _Request:
    missing: set[str]
    arrived: "asyncio.Queue[bytes | None]" = field(default_factory=asyncio.Queue)


class FeedRequests:
    """The requests of this side that wait for the other side."""

    def __init__(self, send: Callable[[tuple[str, ...]], None]) -> None:
        """Ask through `send`, which sends keys to the other side."""
        self._send = send
        self._waiting: set[_Request] = set()

    async def read(self, keys: Sequence[str]) -> AsyncGenerator[bytes]:
        """States as they come, in any order; one that does not come in time is left out."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + REQUEST_SECONDS_MAX
        request = _Request(missing=set(keys))
        self._waiting.add(request)
        try:
            if keys:
                self._send(tuple(keys))
            for _ in set(keys):
                try:
                    payload = await asyncio.wait_for(request.arrived.get(), deadline - loop.time())
                except TimeoutError:
                    return
                if payload is not None:
                    yield payload
        finally:
            self._waiting.discard(request)

    async def one(self, key: str) -> bytes | None:
        """One state; None where there is none, or not in time."""
        async with aclosing(self.read([key])) as found:
            async for payload in found:
                return payload
        return None

    def found(self, key: str, payload: bytes | None) -> None:
        """Take the reply for one key."""
        for request in self._waiting:
            if key in request.missing:
                request.missing.discard(key)
                request.arrived.put_nowait(payload)
