"""The console's server: the pages behind their guard, on an address, while a context is open.

The UI library keeps its application in the process, so a process has one console.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Final

import uvicorn
from fastapi import FastAPI
from fastapi.middleware.gzip import GZipMiddleware
from nicegui import ui

from foresail.console.guard import Guard
from foresail.console.pages import add_pages
from foresail.console.records import ConsoleSource
from foresail.loopback import is_loopback
from scaler.errors import ForesailError

_STOP_SECONDS: Final = 2
_POLL_SECONDS: Final = 0.02
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
    server = uvicorn.Server(
        uvicorn.Config(
            Guard(_application(source), token_file),
            lifespan="on",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=_STOP_SECONDS,
        )
    )
    # A daemon: a thread that hangs must not keep the program from its end.
    thread = Thread(target=_run, args=(server, listening), name="console", daemon=True)
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise ForesailError(f"the console on {address} did not start")
            await asyncio.sleep(_POLL_SECONDS)
        yield int(listening.getsockname()[1])
    finally:
        server.should_exit = True
        await asyncio.to_thread(thread.join, 2 * _STOP_SECONDS)
        listening.close()


def _run(server: uvicorn.Server, listening: socket.socket) -> None:
    asyncio.run(server.serve(sockets=[listening]))


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
