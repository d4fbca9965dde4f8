"""Look-ups of servers' names, in threads of the source whose servers they are.

A look-up in a zone that does not answer keeps its thread for as long as the resolver tries,
whatever the limit of the read is. asyncio has a few threads for all look-ups and for whatever else
blocks: six sources whose names hang would hold up the metrics page, the states on disk and the
look-ups of all others.
"""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult
from typing_extensions import override

_THREADS: Final = 4
"""Of one source: a name is looked up again while its last look-up hangs, by another connection."""
_NUMERIC: Final = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV


class Names(AbstractResolver):
    """The look-ups of one source, or of several that share their slots."""

    def __init__(self, owner: str) -> None:
        """Look up nothing yet.

        Args:
            owner: whose they are, for the names of threads.
        """
        self._threads = ThreadPoolExecutor(_THREADS, f"names-{owner}")

    @override
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return await self.look_up(host, port, family=family, flags=socket.AI_ADDRCONFIG)

    async def look_up(
        self, host: str, port: int, *, family: int = socket.AF_UNSPEC, flags: int = 0
    ) -> list[ResolveResult]:
        """The addresses of a name.

        Raises:
            OSError: it has none, or they cannot be had.
        """
        loop = asyncio.get_running_loop()
        try:
            future = loop.run_in_executor(self._threads, _addresses_of, host, port, family, flags)
        except RuntimeError as error:  # a read may still have begun
            raise OSError("the source is closed") from error
        return await future

    @override
    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _addresses_of(host: str, port: int, family: int, flags: int) -> list[ResolveResult]:
    """The addresses of a name. Blocks."""
    addresses = []
    found = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM, flags=flags)
    for of_family, _, proto, _, address in found:
        numeric, _ = socket.getnameinfo(address, _NUMERIC)  # with the scope of a link's address
        addresses.append(
            ResolveResult(
                hostname=host,
                host=numeric,
                port=port,
                family=of_family,
                proto=proto,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
        )
    return addresses
