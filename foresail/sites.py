"""HTTP applications on their addresses, and the certificates that one may prove itself with."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from aiohttp import web

from scaler.errors import ForesailError
from scaler.reloaded import reloading_server_context

_STOP_SECONDS: Final = 2.0


@dataclass(slots=True)
class Sites:
    """Applications on their addresses, all closed at the end."""

    _runners: list[web.AppRunner] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for runner in reversed(self._runners):
            await runner.cleanup()

    async def add(
        self, application: web.Application, address: str, tls: ssl.SSLContext | None = None
    ) -> int:
        """Serve an application; the port.

        Raises:
            ForesailError: the address is none, or taken.
        """
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal():
            raise ForesailError(f"{address!r} is not host:port, such as 127.0.0.1:8888")
        runner = web.AppRunner(
            application,
            access_log=None,
            shutdown_timeout=_STOP_SECONDS,
            # aiohttp would inflate a body before its size is looked at; nobody sends us such.
            auto_decompress=False,
        )
        await runner.setup()
        self._runners.append(runner)
        try:
            await web.TCPSite(runner, host.strip("[]"), int(port), ssl_context=tls).start()
        except (OSError, OverflowError) as error:
            raise ForesailError(f"cannot listen on {address}: {error}") from error
        return int(runner.addresses[0][1])


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
