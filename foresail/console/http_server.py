"""The console's HTTP server: uvicorn in a thread of its own, within the limits of every HTTP port.

uvicorn lets a class of its protocol be named, and passes the state of the application on to each
request. A connection is counted and timed as the protocol, and found again in that state.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from threading import Thread
from typing import Any, Final, cast

import uvicorn
from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from foresail.console.guard import Application, Message, Receive, Scope, Send
from foresail.ports.open_connections import Connection, OpenConnections, PortLimits
from scaler.errors import ForesailError
from scaler.limits import Limit

_CONNECTION: Final = "connection"
_STOP_SECONDS: Final = 2
_POLL_SECONDS: Final = 0.02


@asynccontextmanager
async def served(
    app: Application, listening: socket.socket, address: str, limits: PortLimits
) -> AsyncIterator[None]:
    """Serve an application while a context is open.

    Args:
        app: what answers.
        listening: a socket; it is closed at the end.
        address: that it listens on, as the user gave it.
        limits: of the clients.

    Raises:
        ForesailError: it did not start.
    """
    server = _limited(app, limits)
    # A daemon: a thread that hangs must not keep the program from its end.
    thread = Thread(target=_run, args=(server, listening), name="console", daemon=True)
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise ForesailError(f"the console on {address} did not start")
            await asyncio.sleep(_POLL_SECONDS)
        yield
    finally:
        server.should_exit = True
        await asyncio.to_thread(thread.join, 2 * _STOP_SECONDS)
        listening.close()


def _run(server: uvicorn.Server, listening: socket.socket) -> None:
    asyncio.run(server.serve(sockets=[listening]))


def _limited(app: Application, limits: PortLimits) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            _Timed(app),
            http=cast(
                "type[asyncio.Protocol]", _protocols(OpenConnections(limits, takes_bodies=True))
            ),
            lifespan="on",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=_STOP_SECONDS,
        )
    )


def _protocols(connections: OpenConnections) -> Callable[..., asyncio.Protocol]:
    """What makes the protocol of a new connection, with uvicorn's arguments."""

    def protocol(
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> asyncio.Protocol:
        own_state = dict(app_state)
        http = _Http(config, server_state, own_state, _loop)
        own_state[_CONNECTION] = connection = connections.accepted(http)
        return connection

    return protocol


class _Http(HttpToolsProtocol):
    """uvicorn's protocol of HTTP, on a connection of ours."""

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        kept = _KeptTransport(transport, self.app_state[_CONNECTION])
        super().connection_made(cast("asyncio.Transport", kept))


@dataclass(frozen=True, slots=True)
class _KeptTransport:
    """A transport on which a WebSocket takes the place of HTTP, not of our connection."""

    transport: asyncio.Transport
    connection: Connection

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.connection.handler = cast("asyncio.Protocol", protocol)

    def __getattr__(self, name: str) -> object:
        return getattr(self.transport, name)


@dataclass(frozen=True, slots=True)
class _Timed:
    """An application, each of whose answers is to be read in time."""

    app: Application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or serve a WebSocket until it ends."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        connection: Connection = scope["state"].pop(_CONNECTION)

        def await_reader() -> None:
            seconds = connection.port.limits.response_seconds
            connection.await_client(seconds, Limit.RESPONSE_SECONDS)

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                await_reader()
            await send(message)

        connection.await_nothing()
        try:
            await self.app(scope, receive, sent)
        finally:
            # uvicorn has written all: the client reads it, and asks again or is closed.
            await_reader()
