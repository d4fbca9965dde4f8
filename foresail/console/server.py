"""The console's server: the pages behind their guard, on an address, while a context is open.

The UI library keeps its application in the process, so a process has one console.
"""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

from fastapi import FastAPI
from fastapi.middleware.gzip import GZipMiddleware
from nicegui import ui

from foresail.console.guard import Guard
from foresail.console.http_server import served
from foresail.console.pages import add_pages
from foresail.console.records import ConsoleSource
from foresail.ports.loopback import is_loopback
from foresail.ports.open_connections import PortLimits
from scaler.errors import ForesailError

_BACKLOG: Final = 128


@asynccontextmanager
async def serving(
    source: ConsoleSource, address: str, token_file: Path | None = None
) -> AsyncIterator[int]:
    """Serve the console in a thread of its own; the port.

    Pages so come at once while the program computes, and a page that takes long delays nobody.

    Args:
        source: what the pages show; it is asked in that thread.
        address: `host:port`; a host that is not loopback needs a token.
        token_file: of the token that others must show.

    Raises:
        ForesailError: the address is none, taken, or open to others without a token.
    """
    listening = _listening(address, token_file)
    guarded = Guard(_application(source), token_file)
    async with served(guarded, listening, address, PortLimits()):
        yield int(listening.getsockname()[1])


def _application(source: ConsoleSource) -> FastAPI:
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    add_pages(source)
    ui.run_with(
        app,
        title="Foresail",
        dark=None,
        tailwind=False,
        show_welcome_message=False,
        language="en-US",
        # Most readers sit on this machine or behind a port-forward: strong compression costs more
        # time than it saves.
        gzip_middleware_factory=partial(GZipMiddleware, compresslevel=1),
    )
    return app


def _listening(address: str, token_file: Path | None) -> socket.socket:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isdecimal():
        raise ForesailError(f"console: {address!r} is not host:port, such as 127.0.0.1:8081")
    if not is_loopback(host) and token_file is None:
        raise ForesailError(
            f"console: {host} is not this machine alone, and the pages show tenants' traffic: "
            "listen on 127.0.0.1, or name a file with a token"
        )
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, int(port)), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError) as error:
        raise ForesailError(f"console: cannot listen on {address}: {error}") from error
