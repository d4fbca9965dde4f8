"""Sends the requests of prometheus-api-client, with limits on their time and size.

`requests` limits the wait for each part of an answer, not for the whole: a server that sends one
byte a second would keep a thread for ever. Here the event loop sends the request with one limit for
all requests of a read, closes the socket at the limit, and returns the answer to the waiting
thread.

A packed answer is unpacked by the waiting thread, because the loop must turn meanwhile. Sizes are
limited where the bytes come in, and again where they are unpacked: of one answer, of all answers of
the source that are not read to their end yet, and of the values in an answer, because a value takes
many times its bytes in memory. Large answers are made into objects one after the other, in the
whole process.
"""

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import aiohttp
import orjson
import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from typing_extensions import override
from yarl import URL

from fleet.answer_notes import notes_of
from fleet.documents import is_object
from scaler.limits import Limit, exceeded
from scaler.message_text import printable
from scaler.sources.access import Tls
from scaler.sources.connections import CHUNK_BYTES, Connections
from scaler.sources.held_bytes import HELD, HELD_BYTES_MAX
from scaler.sources.packing import ENCODING, unpacked
from scaler.sources.refused_time import RefusedTime
from scaler.sources.turns import Turns

SERIES_MAX: Final = 100_000
"""In one answer: 500 pods have 55,000."""
_OBJECTS_AROUND: Final = 100
VALUES_MAX: Final = 2_500_000
"""In one answer: 500 pods with 110 series each and 8 samples of each have 2 million."""
ERROR_BYTES_MAX: Final = 2**16
"""Of an error page that are read; the message shows the first 256 characters."""
_BEGINNING_BYTES: Final = 2**18
"""Of an answer; that of ten pods has 300 KiB."""
_LARGE_BYTES: Final = 2**20
_LARGE: Final = Turns()
"""Held while a large answer is made into objects, which take several times its size."""
_Answer = TypeVar("_Answer")


@dataclass(slots=True, eq=False)
class _Read:
    """One read: its requests, and what it holds until it ends."""

    loop: asyncio.AbstractEventLoop
    """Sends for the thread of the read."""
    limit: float
    """The deadline, by the clock of the loop."""
    namespace: str | None
    """That it is made for."""
    received_bytes: int = 0
    """As they were sent."""
    is_oversized: bool = False
    """An answer of it was refused for its size."""
    held_bytes: int = 0
    """Of answers that came for it."""
    shared_bytes: int = 0
    """Of these, counted in the process too."""
    holds_large: bool = False
    remarks: list[str] = field(default_factory=list)
    """Warnings and infos of its answers."""


_READ: Final[contextvars.ContextVar[_Read]] = contextvars.ContextVar("read")
"""The read of the current thread."""


class NoAnswerError(Exception):
    """The answer exceeds a limit, a part of it is missing, or the source is closed."""


class Transport(BaseAdapter):
    """Sends the requests of one source's threads, over the loop that started their work."""

    def __init__(
        self, tls: Tls, *, body_bytes_max: int, owner: str, refused_time: RefusedTime
    ) -> None:
        super().__init__()
        self._connections = Connections(tls)
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
            with self._reading(_Read(loop, limit, namespace)):
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
        read = _READ.get()
        try:
            coroutine = self._answer(request, read)
            response = asyncio.run_coroutine_threadsafe(coroutine, read.loop).result()
        except CancelledError as error:
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
    def _reading(self, read: _Read) -> Iterator[None]:
        """Give back at its end what the read holds, and count what it took if it was in vain."""
        _ = _READ.set(read)
        begun, in_vain = time.thread_time(), False
        try:
            yield
        except Exception:
            in_vain = read.is_oversized or read.held_bytes > _LARGE_BYTES
            raise
        finally:
            with self._held_lock:
                self._held_bytes -= read.held_bytes
            if read.shared_bytes:
                HELD.give_back(self._owner, read.shared_bytes)
            if read.holds_large:
                _LARGE.give_back()
            if in_vain:
                spent, now = time.thread_time() - begun, read.loop.time()
                self._refused_time.add(read.namespace, spent, read.received_bytes, now_seconds=now)

    async def _answer(self, request: requests.PreparedRequest, read: _Read) -> "_Response":
        if self.ended:
            raise NoAnswerError("the source is closed")
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
            response = _Response(body)
            response.status_code = answer.status
            response.headers = CaseInsensitiveDict(answer.headers)
            response.encoding = "utf-8"
            response.url = url
            response.request = request
            return response

    async def _receive(self, answer: aiohttp.ClientResponse, read: _Read, body: bytearray) -> None:
        """Add the parts of an answer to the body, within the limits."""
        refused = answer.status != requests.codes.ok
        async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
            read.received_bytes += len(chunk)
            if not self._added(chunk, read, body, refused=refused):
                return

    def _unpacked(self, response: "_Response", read: _Read) -> bytearray:
        """The body of a packed answer. Blocks."""
        packed, body = response.body, bytearray()
        refused = response.status_code != requests.codes.ok
        try:
            for part in unpacked(packed):
                if not self._added(part, read, body, refused=refused):
                    break
                _check_time(read)
        except ValueError as error:
            if not refused:
                raise NoAnswerError(f"an answer whose {ENCODING} is {error}") from None
        except BaseException:
            body.clear()  # as above
            packed.clear()
            raise
        self._let_go(read, len(packed))
        return body

    def _added(self, part: bytes, read: _Read, body: bytearray, *, refused: bool) -> bool:
        """Add a part to a body, within the limits; False = no more of it is wanted."""
        if not refused and len(body) + len(part) > self._body_bytes_max:
            what = f"an answer of over {self._body_bytes_max} bytes"
            raise _oversized(read, Limit.ANSWER_BYTES, what)
        self._hold(read, len(part))
        body += part
        if refused and len(body) > ERROR_BYTES_MAX:
            exceeded(Limit.ERROR_PAGE)
            return False
        return True

    def _hold(self, read: _Read, count: int) -> None:
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

    def _let_go(self, read: _Read, count: int) -> None:
        """Give back bytes that are held no more, before the read ends."""
        with self._held_lock:
            self._held_bytes -= count
            read.held_bytes -= count
            shared = max(0, read.held_bytes - _BEGINNING_BYTES)
            if shared < read.shared_bytes:
                HELD.give_back(self._owner, read.shared_bytes - shared)
                read.shared_bytes = shared


class _Response(requests.Response):
    """An answer whose body is there."""

    def __init__(self, body: bytearray) -> None:
        super().__init__()
        self.body = body

    @property
    @override
    def content(self) -> bytes:
        return bytes(self.body)

    @override
    def json(self, **_: Any) -> Any:
        """The body as JSON; a large one once no other is at work. Blocks.

        Raises:
            ValueError: it is no JSON, or nested deeper than 1,024 levels.
            NoAnswerError: it has too many values, or a part of the data is missing.
            TimeoutError: others were at work until the limit.
        """
        # Each series has two objects, itself and its labels; objects take most of the memory.
        if self.body.count(b"{") > 2 * SERIES_MAX + _OBJECTS_AROUND:
            what = f"an answer of over {SERIES_MAX} series"
            raise _oversized(_READ.get(), Limit.ANSWER_SERIES, what)
        values = sum(map(self.body.count, (b",", b"[", b"{")))
        if values > VALUES_MAX:
            what = f"an answer of over {VALUES_MAX} values"
            raise _oversized(_READ.get(), Limit.ANSWER_VALUES, what)
        if len(self.body) > _LARGE_BYTES:
            _wait_for_turn(_READ.get())
        answer = orjson.loads(self.body)
        if self.status_code == requests.codes.ok and is_object(answer):
            notes = notes_of(answer)
            if notes.missing is not None:
                raise NoAnswerError(printable(notes.missing))
            _READ.get().remarks += map(printable, notes.remarks)
        return answer


def remarks() -> tuple[str, ...]:
    """Warnings and infos of the answers of the current read, each once."""
    return tuple(dict.fromkeys(_READ.get().remarks))


def _oversized(read: _Read, limit: Limit, what: str) -> NoAnswerError:
    """The refusal of an answer for its size, counted."""
    exceeded(limit)
    read.is_oversized = True
    return NoAnswerError(what)


def _check_time(read: _Read) -> None:
    if read.loop.time() > read.limit:
        raise TimeoutError


def _wait_for_turn(read: _Read) -> None:
    if read.holds_large:
        return
    seconds = read.limit - read.loop.time()
    if _LARGE.is_held():
        exceeded(Limit.LARGE_ANSWERS)
    if not _LARGE.take(read.namespace, seconds_max=max(0.0, seconds)):
        raise TimeoutError("other large answers were read until the limit")
    read.holds_large = True
