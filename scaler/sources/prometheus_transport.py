"""Sends the requests of prometheus-api-client, with limits on their time and size.

`requests` limits the wait for each part of an answer, not for the whole: a server that sends one
byte a second would keep a thread for ever. Here the event loop sends the request with one limit for
all requests of a read, closes the socket at the limit, and returns the answer to the waiting
thread.
"""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import CancelledError
from io import BytesIO
from typing import Final, TypeVar

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from typing_extensions import override

from scaler.sources.access import Tls
from scaler.sources.connections import CHUNK_BYTES, Connections

_Answer = TypeVar("_Answer")
_Limit = tuple[asyncio.AbstractEventLoop, float]
_LIMIT: Final[contextvars.ContextVar[_Limit]] = contextvars.ContextVar("limit")
"""The loop that sends for the current thread, and the deadline by its clock."""


class NoAnswerError(Exception):
    """The answer exceeds the limit of size, or the source is closed."""


class Transport(BaseAdapter):
    """Sends the requests of one source's threads, over the loop that started their work."""

    def __init__(self, tls: Tls, *, body_bytes_max: int) -> None:
        super().__init__()
        self._connections = Connections(tls)
        self._body_bytes_max = body_bytes_max
        self.ended = False

    def bound(
        self, work: Callable[[], _Answer], loop: asyncio.AbstractEventLoop, limit: float
    ) -> Callable[[], _Answer]:
        """The work, with all its requests sent over this loop and ended at this deadline."""
        context = contextvars.copy_context()

        def within_limit() -> _Answer:
            _ = _LIMIT.set((loop, limit))
            return work()

        return lambda: context.run(within_limit)

    @override
    def send(self, request: requests.PreparedRequest, **_: object) -> requests.Response:  # type: ignore[override]
        """Send a request and wait for the answer. Blocks.

        Raises:
            aiohttp.ClientError: no answer.
            TimeoutError: not the whole answer before the limit.
            NoAnswerError: the answer is too long, or the source is closed.
        """
        loop, limit = _LIMIT.get()
        try:
            return asyncio.run_coroutine_threadsafe(self._answer(request, limit), loop).result()
        except CancelledError as error:
            raise NoAnswerError("the source is closed") from error

    @override
    def close(self) -> None:
        """Does nothing: `end` closes the connections, in their own loop."""

    async def end(self) -> None:
        self.ended = True
        await self._connections.close()

    async def _answer(self, request: requests.PreparedRequest, limit: float) -> requests.Response:
        if self.ended:
            raise NoAnswerError("the source is closed")
        url = str(request.url)
        async with (
            asyncio.timeout_at(limit),
            self._connections.request(
                str(request.method), url, headers=request.headers, body=request.body
            ) as answer,
        ):
            body = bytearray()
            async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
                body += chunk
                if len(body) > self._body_bytes_max:
                    raise NoAnswerError(f"an answer of over {self._body_bytes_max} bytes")
            response = requests.Response()
            response.status_code = answer.status
            response.headers = CaseInsensitiveDict(answer.headers)
            response.raw = BytesIO(body)
            response.encoding = "utf-8"
            response.url = url
            response.request = request
            return response
