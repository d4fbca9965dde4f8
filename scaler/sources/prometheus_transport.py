"""Sends the requests of prometheus-api-client, with limits on their time and size.

`requests` limits the wait for each part of an answer, not for the whole: a server that sends one
byte a second would keep a thread for ever. Here the event loop sends the request with one limit for
all requests of a read, closes the socket at the limit, and returns the answer to the waiting
thread.

A packed answer is unpacked by the waiting thread, because the loop must turn meanwhile. Sizes are
limited where the bytes come in, and again where they are unpacked: of one answer, and of all
answers of the source that are not read to their end yet.
"""

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import Final, TypeVar

import aiohttp
import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from typing_extensions import override
from yarl import URL

from scaler.limits import Limit, exceeded
from scaler.sources.access import Tls
from scaler.sources.connections import Connections, Parts, TooManyPartsError, parsing_seconds
from scaler.sources.held_bytes import HELD, HELD_BYTES_MAX
from scaler.sources.names import Names
from scaler.sources.packing import ENCODING, PART_BYTES, unpacked
from scaler.sources.prometheus_response import (
    CURRENT_READ,
    LARGE_BYTES,
    NoAnswerError,
    Read,
    Response,
)
from scaler.sources.refused_time import RefusedTime

ERROR_BYTES_MAX: Final = 2**16
"""Of an error page that are read; the message shows the first 256 characters."""
_BEGINNING_BYTES: Final = 2**18
"""Of an answer; that of ten pods has 300 KiB."""
_PARSING_SECONDS: Final = 0.005
"""Of the event loop, for the parts of one read's answers: over a thousand parts."""
_Answer = TypeVar("_Answer")


class Transport(BaseAdapter):
    """Sends the requests of one source's threads, over the loop that started their work."""

    def __init__(
        self,
        tls: Tls,
        *,
        body_bytes_max: int,
        owner: str,
        refused_time: RefusedTime,
        names: Names | None = None,
    ) -> None:
        super().__init__()
        self._connections = Connections(tls, owner=owner, names=names)
        self._body_bytes_max = body_bytes_max
        self._owner = owner
        self._refused_time = refused_time
        self._held_bytes = 0
        self._held_lock = threading.Lock()
        self.ended = False

    def bound(
        self,
        work: Callable[[], _Answer],
        loop: asyncio.AbstractEventLoop,
        limit: float,
        namespace: str | None,
    ) -> Callable[[], _Answer]:
        """The work, with all its requests sent over this loop and ended at this deadline."""
        context = contextvars.copy_context()

        def within_limit() -> _Answer:
            with self._reading(Read(loop, limit, namespace)):
                return work()

        return lambda: context.run(within_limit)

    @override
    def send(self, request: requests.PreparedRequest, **_: object) -> requests.Response:  # type: ignore[override]
        """Send a request and wait for the answer. Blocks.

        Raises:
            aiohttp.ClientError: no answer.
            TimeoutError: not the whole answer before the limit.
            NoAnswerError: the answer exceeds a limit, or the source is closed.
        """
        read = CURRENT_READ.get()
        read.end_turn()
        try:
            coroutine = self._answer(request, read)
            response = asyncio.run_coroutine_threadsafe(coroutine, read.loop).result()
        except CancelledError as error:
            raise NoAnswerError("the source is closed") from error
        except RuntimeError as error:  # aiohttp's, where a part of the answer was there already
            if not self.ended:
                raise
            raise NoAnswerError("the source is closed") from error
        encoding = response.headers.get("Content-Encoding", "")
        if encoding == ENCODING:
            response.body = self._unpacked(response, read)
        elif encoding not in {"", "identity"}:
            raise NoAnswerError(f"Content-Encoding {encoding!r}, which was not asked for")
        return response

    @override
    def close(self) -> None:
        """Does nothing: `end` closes the connections, in their own loop."""

    async def end(self) -> None:
        self.ended = True
        await self._connections.close()

    @contextmanager
    def _reading(self, read: Read) -> Iterator[None]:
        """Give back at its end what the read holds, and count what it took if it was in vain."""
        _ = CURRENT_READ.set(read)
        begun = time.thread_time()
        try:
            yield
        except Exception:
            read.has_failed = True
            raise
        finally:
            with self._held_lock:
                self._held_bytes -= read.held_bytes
            if read.shared_bytes:
                HELD.give_back(self._owner, read.shared_bytes)
            read.end_turn()
            self._charge(read, time.thread_time() - begun)

    def _charge(self, read: Read, thread_seconds: float) -> None:
        """Count what the read took in vain, and parts that took the loop longer than usual."""
        spent = read.parsing_seconds if read.parsing_seconds > _PARSING_SECONDS else 0.0
        received = 0
        is_large = max(read.held_bytes, read.received_bytes) > LARGE_BYTES
        if read.is_oversized or (read.has_failed and is_large):
            spent += thread_seconds
            received = read.received_bytes
        if spent:
            now = read.loop.time()
            self._refused_time.add(read.namespace, spent, received, now_seconds=now)

    async def _answer(self, request: requests.PreparedRequest, read: Read) -> Response:
        if self.ended:
            raise NoAnswerError("the source is closed")
        try:
            return await self._received(request, read)
        except aiohttp.ClientError as error:
            read.parsing_seconds += parsing_seconds(error)
            raise

    async def _received(self, request: requests.PreparedRequest, read: Read) -> Response:
        url = str(request.url)
        async with (
            asyncio.timeout_at(read.limit),
            self._connections.request(
                str(request.method),
                URL(url, encoded=True),  # a signature is of these very bytes
                headers=request.headers,
                body=request.body,
            ) as answer,
        ):
            body = bytearray()
            try:
                await self._receive(answer, read, body)
            except BaseException:
                body.clear()  # the error's traceback may live long, and holds it
                raise
            response = Response(body)
            response.status_code = answer.status
            response.headers = CaseInsensitiveDict(answer.headers)
            response.encoding = "utf-8"
            response.url = url
            response.request = request
            return response

    async def _receive(self, answer: aiohttp.ClientResponse, read: Read, body: bytearray) -> None:
        """Add the parts of an answer to the body, within the limits."""
        refused = answer.status != requests.codes.ok
        parts = Parts()
        try:
            async for part in parts.of(answer.content):
                read.received_bytes += len(part)
                if not self._added(part, read, body, refused=refused):
                    return
        except TooManyPartsError:
            read.is_oversized = True
            raise
        finally:
            read.parsing_seconds += parts.seconds

    def _unpacked(self, response: Response, read: Read) -> bytearray:
        """The body of a packed answer; of a large one once no other is at work. Blocks."""
        packed, body = response.body, bytearray()
        refused = response.status_code != requests.codes.ok
        try:
            for part in unpacked(self._given_back(packed, read)):
                if len(body) > LARGE_BYTES:
                    read.wait_for_turn()
                if not self._added(part, read, body, refused=refused):
                    break
                read.check_time()
        except ValueError as error:
            if not refused:
                raise NoAnswerError(f"an answer whose {ENCODING} is {error}") from None
        except BaseException:
            body.clear()  # as above
            packed.clear()
            raise
        return body

    def _given_back(self, packed: bytearray, read: Read) -> Iterator[bytes]:
        """The parts of a packed body, each held no more once it is taken."""
        while packed:
            part = bytes(packed[:PART_BYTES])
            del packed[:PART_BYTES]
            self._let_go(read, len(part))
            read.check_time()
            yield part

    def _added(self, part: bytes, read: Read, body: bytearray, *, refused: bool) -> bool:
        """Add a part to a body, within the limits; False = no more of it is wanted."""
        if not refused and len(body) + len(part) > self._body_bytes_max:
            what = f"an answer of over {self._body_bytes_max} bytes"
            raise read.oversized(Limit.ANSWER_BYTES, what)
        self._hold(read, len(part))
        body += part
        if refused and len(body) > ERROR_BYTES_MAX:
            exceeded(Limit.ERROR_PAGE)
            return False
        return True

    def _hold(self, read: Read, count: int) -> None:
        """Count bytes of an answer that is not read to its end yet."""
        most = 2 * self._body_bytes_max
        with self._held_lock:
            self._held_bytes += count
            read.held_bytes += count
            if self._held_bytes > most:
                exceeded(Limit.ANSWERS_AT_ONCE)
                raise NoAnswerError(f"answers of over {most} bytes at a time")
            more = read.held_bytes - _BEGINNING_BYTES - read.shared_bytes
            if more > 0:
                read.shared_bytes += more
                if not HELD.take(self._owner, more):
                    exceeded(Limit.ANSWERS_OF_ALL)
                    message = f"answers of all sources of over {HELD_BYTES_MAX} bytes at a time"
                    raise NoAnswerError(message)

    def _let_go(self, read: Read, count: int) -> None:
        """Give back bytes that are held no more, before the read ends."""
        with self._held_lock:
            self._held_bytes -= count
            read.held_bytes -= count
            shared = max(0, read.held_bytes - _BEGINNING_BYTES)
            if shared < read.shared_bytes:
                HELD.give_back(self._owner, read.shared_bytes - shared)
                read.shared_bytes = shared
