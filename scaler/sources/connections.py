"""HTTP connections of one source, with its TLS and without cookies or redirects."""

from collections.abc import Mapping
from typing import Final

import aiohttp
from yarl import URL

from scaler.sources.access import Tls, TlsContexts
from scaler.sources.names import Names

CHUNK_BYTES: Final = 2**16
"""Part of a body read at once."""


class Connections:
    """Opened at the first request, in the event loop that makes it."""

    def __init__(
        self, tls: Tls, *, owner: str, server_name: str | None = None, names: Names | None = None
    ) -> None:
        """Open nothing yet.

        Args:
            owner: the source, for the names of threads.
            server_name: in the servers' certificates; None = that of the address.
            names: look up the servers' names, and are not closed here; None = its own.
        """
        self._has_own_names = names is None
        self._names = names or Names(owner)
        self._tls = TlsContexts(tls)
        self._server_name = server_name
        self._session: aiohttp.ClientSession | None = None

    def request(
        self,
        method: str,
        url: str | URL,
        *,
        headers: Mapping[str, str],
        body: bytes | str | None = None,
    ) -> "aiohttp.client._RequestContextManager":
        """The answer, as an asynchronous context manager; the caller limits its time.

        A body that was sent packed is left so. A `URL` is sent as it is encoded.

        Raises:
            SourceMisconfiguredError: a TLS file cannot be used.
        """
        if self._session is None:
            self._session = aiohttp.ClientSession(
                # The callers set limits; a common one would let hung servers starve others.
                connector=aiohttp.TCPConnector(limit=0, resolver=self._names),
                cookie_jar=aiohttp.DummyCookieJar(),
                # It would be done in the event loop, which has others to serve.
                auto_decompress=False,
            )
        return self._session.request(
            method,
            url,
            data=body,
            headers=headers,
            ssl=self._tls.current() if str(url).startswith("https") else True,
            server_hostname=self._server_name,
            # A redirect to a login page counts as a refusal.
            allow_redirects=False,
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
        if self._has_own_names:
            await self._names.close()
