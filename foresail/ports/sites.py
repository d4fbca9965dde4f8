"""HTTP applications on their addresses, and the certificates that one may prove itself with."""

import asyncio
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from aiohttp import web

from foresail.ports.open_connections import Handler, OpenConnections, PortLimits
from scaler.errors import ForesailError
from scaler.reloaded import reloading_server_context

_STOP_SECONDS: Final = 2.0


@dataclass(slots=True)
class Sites:
    """Applications on their addresses, all closed at the end."""

    limits: PortLimits = field(default_factory=PortLimits)
    """Of the clients of each."""
    _runners: list[web.AppRunner] = field(default_factory=list)
    _listening: list[tuple[asyncio.Server, OpenConnections]] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for server, connections in self._listening:
            server.close()
            connections.close()
        for runner in reversed(self._runners):
            await runner.cleanup()

    async def add(
        self,
        application: web.Application,
        address: str,
        tls: ssl.SSLContext | None = None,
        *,
        takes_bodies: bool = False,
    ) -> int:
        """Serve an application; the port.

        Args:
            application: what to serve.
            address: `host:port`; port 0 = any free one.
            tls: None = plain text.
            takes_bodies: whether a request of it may have a body; else the connection of one that
                has is closed.

        Raises:
            ForesailError: the address is none, or taken.
        """
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal():
            raise ForesailError(f"{address!r} is not host:port, such as 127.0.0.1:8888")
        connections = OpenConnections(self.limits, takes_bodies=takes_bodies)

        @web.middleware
        async def within_limits(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await connections.answered(request, handler)

        application.middlewares.insert(0, within_limits)
        runner = web.AppRunner(
            application,
            access_log=None,
            shutdown_timeout=_STOP_SECONDS,
            keepalive_timeout=self.limits.idle_seconds,
            # aiohttp would inflate a body before its size is looked at; nobody sends us such.
            auto_decompress=False,
        )
        await runner.setup()
        self._runners.append(runner)
        assert runner.server is not None
        try:
            server = await asyncio.get_running_loop().create_server(
                connections.accepting(runner.server, tls), host.strip("[]"), int(port)
            )
        except (OSError, OverflowError) as error:
            raise ForesailError(f"cannot listen on {address}: {error}") from error
        self._listening.append((server, connections))
        return int(server.sockets[0].getsockname()[1])


def certificates(certificate: Path, key: Path, client_ca: Path | None = None) -> ssl.SSLContext:
    """A server's TLS, its files read again as they change.

    Args:
        certificate: PEM, with the chain.
        key: of the certificate.
        client_ca: PEM; a client must then show a certificate that it signed.

    Raises:
        ForesailError: a file cannot be read, or certificate and key are no pair.
    """
    try:
        return reloading_server_context(certificate, key, client_ca)
    except OSError as error:
        files = ", ".join(str(one) for one in (certificate, key, client_ca) if one is not None)
        raise ForesailError(f"{files}: {error}") from error
