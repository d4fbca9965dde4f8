"""Asking another process of this installation for feeds' states, over messages that cross.

The answering process asks its planner on behalf of a peer, and the planner asks the answering one,
which asks the peers. Both sides ask for keys, and hear of each key once: a state, or that there is
none.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

REQUEST_SECONDS_MAX = 10.0
"""For all the states of one request; what did not come by then is left out."""


@dataclass(slots=True, eq=False)
class _Request:
    missing: set[str]
    arrived: "asyncio.Queue[bytes | None]" = field(default_factory=asyncio.Queue)


class FeedRequests:
    """The requests of this side that wait for the other one."""

    def __init__(self, send: Callable[[tuple[str, ...]], None]) -> None:
        """Ask through `send`, which hands keys to the other side."""
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
        """Hear of one key."""
        for request in self._waiting:
            if key in request.missing:
                request.missing.discard(key)
                request.arrived.put_nowait(payload)
