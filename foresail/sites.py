"""HTTP applications on their addresses, and the certificates that one may prove itself with."""

import asyncio
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import structlog
from aiohttp import web

from scaler.errors import ForesailError

log = structlog.get_logger()

_STOP_SECONDS: Final = 2.0
_LOOK_SECONDS: Final = 10.0


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
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=_STOP_SECONDS)
        await runner.setup()
        self._runners.append(runner)
        try:
            await web.TCPSite(runner, host.strip("[]"), int(port), ssl_context=tls).start()
        except (OSError, OverflowError) as error:
            raise ForesailError(f"cannot listen on {address}: {error}") from error
        return int(runner.addresses[0][1])


def certificates(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """What a server proves itself with; None = no files were named.

    Raises:
        ForesailError: one of the two was named alone, or they are no pair.
    """
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise ForesailError("--tls-certificate and --tls-key go together")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise ForesailError(f"{certificate}, {key}: {error}") from error
    return context


async def keep_current(context: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    """Take a rotated pair at the next handshake; half a pair leaves the old one in use."""
    before = None
    while True:
        with suppress(OSError):
            stamp = certificate.stat().st_mtime_ns  # noqa: ASYNC240 - local, and short
            if before not in {None, stamp}:
                context.load_cert_chain(certificate, key)
                log.info("certificates_reloaded", certificate=str(certificate))
            before = stamp
        await asyncio.sleep(_LOOK_SECONDS)
