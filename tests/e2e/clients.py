"""Clients of a bed's API server whose connections are closed when they are left.

aiohttp closes connections with TLS after it says so: each waits for the other side's farewell, and
one that is open when its loop ends fails whatever test runs when it is collected.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from kubernetes_asyncio.client import ApiClient

from fleet.cluster.follow.clients import connected

_CLOSED_SECONDS_MAX = 60.0
_sockets_before: list[int] = []
"""Of the loop, at the begin of each client that is open."""


@asynccontextmanager
async def api_client(kubeconfig: Path) -> AsyncIterator[ApiClient]:
    """A client of the bed; after the last one of several the loop has as few sockets as before."""
    _sockets_before.append(_sockets())
    try:
        async with await connected("bed", kubeconfig) as client:
            yield client
    finally:
        before = _sockets_before.pop()
        if not _sockets_before:
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSED_SECONDS_MAX):
                    while _sockets() > before:
                        await asyncio.sleep(0.01)


def _sockets() -> int:
    """That the running loop watches."""
    return len(asyncio.get_running_loop()._selector.get_map())  # type: ignore[attr-defined]
