"""The open connections of one HTTP port: how many, whose, and how long a client may take.

aiohttp and uvicorn limit neither. A client could hold any number of connections, send a byte of a
request now and then, or read nothing of its answers, each of which is kept for it.

A port that is full closes a connection of the client address that has the most, so that no client
can keep others out: of those that wait for their client, the one that has waited longest. Where the
server itself is at work for all of them, as for pages of metrics that take seconds, the newest one
of that address is closed. One whose answer is only held back counts as one that waits.
"""

import asyncio
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, cast

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload
from typing_extensions import override

from foresail.ports.limits_seen import LOG
from scaler.limits import Limit, exceeded

_PIECE_BYTES: Final = 2**16
_HEAD_BYTES_MAX: Final = 2**15
"""Of a client at a time, where no request has a body; it has four lines of aiohttp's limit."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PortLimits:
    """What the clients of one port may take."""

    connections: int = 256
    """Well below the open files of a process, with those of its sources and its other ports."""
    request_seconds: float = 15.0
    """From a connection to the head of its first request, with TLS; and from the head of any
    request to the end of its body."""
    response_seconds: float = 30.0
    """From the beginning of an answer until its client took it."""
    idle_seconds: float = 120.0
    """From an answer to the next request. Go's clients, such as API servers, close at 90 s."""


class OpenConnections:
    """The connections of one port, each from its acceptance to its end."""

    def __init__(self, limits: PortLimits, *, takes_bodies: bool) -> None:
        self.limits = limits
        self.takes_bodies = takes_bodies
        self._open: dict[Connection, None] = {}
        """In the order in which they came."""
        self._by_transport: dict[asyncio.BaseTransport, Connection] = {}

    def accepting(
        self, handler: Callable[[], asyncio.Protocol], tls: ssl.SSLContext | None
    ) -> Callable[[], asyncio.Protocol]:
        """What makes the protocol of a new connection.

        Args:
            handler: makes that of HTTP.
            tls: is done by us, so that connections count before it, too.
        """
        return lambda: self.accepted(handler(), tls)

    def accepted(
        self, handler: asyncio.Protocol, tls: ssl.SSLContext | None = None
    ) -> "Connection":
        """The protocol of one new connection."""
        return Connection(self, handler, tls)

    async def answered(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The answer to a request, sent; as the outermost middleware."""
        connection = self._by_transport.get(cast("asyncio.BaseTransport", request.transport))
        if connection is None:  # it was closed meanwhile
            return await handler(request)
        request[_CONNECTION] = connection
        connection.await_nothing()
        if request.body_exists and not self.takes_bodies:
            return await self._refused_body(request, connection)
        if request.body_exists:
            connection.await_client(self.limits.request_seconds, Limit.REQUEST_SECONDS)
            connection.receives = request
            request.content.on_eof(lambda: connection.body_is_there(request))
        try:
            response = await handler(request)
        except web.HTTPException as response_raised:
            await self._sent(response_raised, request, connection)
            raise
        except BaseException:
            connection.await_next()
            raise
        await self._sent(response, request, connection)
        return response

    async def _refused_body(
        self, request: web.Request, connection: "Connection"
    ) -> web.StreamResponse:
        """Told so, and closed: aiohttp would read on, and parse a million chunks of one byte."""
        _note(Limit.REQUEST_BYTES)
        response = web.Response(status=413, text="nothing here takes a body\n")
        response.force_close()
        await self._sent(response, request, connection)
        if request.transport is not None:
            request.transport.close()
        return response

    async def _sent(
        self, response: web.StreamResponse, request: web.Request, connection: "Connection"
    ) -> None:
        connection.await_client(self.limits.response_seconds, Limit.RESPONSE_SECONDS)
        try:
            if not response.prepared:
                _in_pieces(response)
                await response.prepare(request)
                await response.write_eof()
        except ConnectionError:
            pass  # the client has left; aiohttp would log it with a traceback for each
        finally:
            connection.await_next()

    def close(self) -> None:
        """End those whose TLS is not done; aiohttp ends the others."""
        for one in tuple(self._open):
            if not one.begun:
                one.abort()

    # Called by connections.

    def opened(self, connection: "Connection") -> None:
        self._open[connection] = None
        if len(self._open) <= self.limits.connections:
            return
        _note(Limit.CONNECTIONS)
        counts = Counter(one.peer for one in self._open)
        most = max(counts.values())
        of_most = [one for one in self._open if counts[one.peer] == most]
        waiting = [one for one in of_most if one.waits_since is not None and one is not connection]
        if waiting:
            min(waiting, key=lambda one: one.waits_since or 0.0).abort()
        else:
            of_most[-1].abort()

    def begun(self, connection: "Connection", transport: asyncio.BaseTransport) -> None:
        self._by_transport[transport] = connection

    def ended(self, connection: "Connection", transport: asyncio.BaseTransport | None) -> None:
        self._open.pop(connection, None)
        if transport is not None:
            self._by_transport.pop(transport, None)


class Connection(asyncio.Protocol):
    """One connection: HTTP's protocol behind TLS, and the time that its client has."""

    def __init__(
        self, port: OpenConnections, handler: asyncio.Protocol, tls: ssl.SSLContext | None
    ) -> None:
        self.port = port
        self.handler = handler
        """HTTP's, or what a request of HTTP became."""
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._accepted: asyncio.Transport | None = None
        self._transport: asyncio.BaseTransport | None = None
        """That of HTTP, once TLS is done."""
        self._securing: asyncio.Task[None] | None = None
        self._early = bytearray()
        """What came with the end of the handshake."""
        self._timer: asyncio.TimerHandle | None = None
        self.peer = ""
        self.receives: web.Request | None = None
        """The request whose body the handler may wait for."""
        self.waits_since: float | None = None
        """Since when the client has to do something; None = the server has."""
        self.ended = False

    @property
    def begun(self) -> bool:
        return self._transport is not None

    def body_is_there(self, request: web.Request) -> None:
        """The body of a request has come, perhaps after its answer."""
        if self.receives is request:
            self.await_nothing()

    def await_client(self, seconds: float, limit: Limit) -> None:
        """Close the connection unless the client does its part within this time.

        Nothing where the connection has ended: an application may learn of that later.
        """
        if self.ended:
            return
        self._stop_timer()
        self.receives = None
        self.waits_since = self._loop.time()
        self._timer = self._loop.call_later(seconds, self._is_late, limit)

    def await_nothing(self) -> None:
        """The client has done its part."""
        self._stop_timer()
        self.waits_since = None

    def await_next(self) -> None:
        """Wait for the next request, for as long as aiohttp does."""
        self._stop_timer()
        self.receives = None
        self.waits_since = self._loop.time()

    def abort(self) -> None:
        self._end()
        if self._accepted is not None:
            self._accepted.abort()

    # asyncio's side.

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        accepted = self._accepted = cast("asyncio.Transport", transport)
        address = accepted.get_extra_info("peername")
        self.peer = str(address[0]) if address else ""
        self.await_client(self.port.limits.request_seconds, Limit.REQUEST_SECONDS)
        self.port.opened(self)
        if accepted.is_closing():
            return
        if self._tls is None:
            self._begin(transport)
        else:
            accepted.pause_reading()
            self._securing = self._loop.create_task(self._secure(accepted, self._tls))

    async def _secure(self, accepted: asyncio.Transport, tls: ssl.SSLContext) -> None:
        try:
            secured = await self._loop.start_tls(accepted, self, tls, server_side=True)
        except (OSError, EOFError):  # no TLS, a certificate that is refused, or an abort of ours
            self._end()
            return
        if secured is None or secured.is_closing():
            self._end()
            return
        self._begin(secured)
        if self._early:
            self.handler.data_received(bytes(self._early))
            self._early.clear()

    def _begin(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self.port.begun(self, transport)
        self.handler.connection_made(transport)

    @override
    def data_received(self, data: bytes) -> None:
        if len(data) > _HEAD_BYTES_MAX and not self.port.takes_bodies:
            _note(Limit.REQUEST_BYTES)
            self.abort()
        elif self._transport is None:
            self._early += data
        else:
            self.handler.data_received(data)

    @override
    def eof_received(self) -> bool | None:
        return None if self._transport is None else self.handler.eof_received()

    @override
    def pause_writing(self) -> None:
        self.handler.pause_writing()

    @override
    def resume_writing(self) -> None:
        self.handler.resume_writing()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._end()
        if self._transport is not None:
            self.handler.connection_lost(exc)

    def _is_late(self, limit: Limit) -> None:
        _note(limit)
        self.abort()

    def _end(self) -> None:
        self.ended = True
        self._stop_timer()
        self.port.ended(self, self._transport)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


_CONNECTION: Final = web.RequestKey("connection", Connection)


@contextmanager
def held_back(request: web.Request) -> Iterator[None]:
    """While an answer is held back, the server is not at work for its connection.

    A full port may close it then, so that a client that asks too often keeps nobody of its own
    address out, such as the kubelet of its node.
    """
    connection = request.get(_CONNECTION)
    if connection is None or connection.waits_since is not None:
        yield
        return
    connection.waits_since = asyncio.get_running_loop().time()
    try:
        yield
    finally:
        connection.await_nothing()


def _note(limit: Limit) -> None:
    exceeded(limit)
    LOG.name_new()


def _in_pieces(response: web.StreamResponse) -> None:
    """Let a long body be sent in pieces, so that one piece at a time is copied for a slow reader.

    asyncio keeps a copy of its own of all that it is given at once.
    """
    if (
        isinstance(response, web.Response)
        and isinstance(response.body, bytes)
        and len(response.body) > _PIECE_BYTES
    ):
        response.body = _Pieces(response.body)


class _Pieces(Payload):
    """A body that all its readers share. aiohttp's own for `BytesIO` copies it for each of them."""

    def __init__(self, body: bytes) -> None:
        super().__init__(b"")
        self._whole = body
        self._size = len(body)

    @override
    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return self._whole.decode(encoding, errors)

    @override
    async def write(self, writer: AbstractStreamWriter) -> None:
        try:
            for begin in range(0, len(self._whole), _PIECE_BYTES):
                await writer.write(self._whole[begin : begin + _PIECE_BYTES])
                await asyncio.sleep(0)  # a fast reader would keep the loop from all others
        finally:
            self._whole = b""  # a reader that left leaves a traceback with us, which may live long
