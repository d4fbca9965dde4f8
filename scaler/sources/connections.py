"""HTTP connections of one source, with its TLS and without cookies or redirects.

HTTP is parsed in the event loop, part by part: a body of one byte a part costs it two seconds a
megabyte, and interim answers (1xx) cost it as much and never end. Both have a limit here.
"""

from collections.abc import AsyncIterator, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any, Final, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from typing_extensions import override
from yarl import URL

from scaler.limits import Limit, exceeded
from scaler.sources.access import Tls, TlsContexts
from scaler.sources.names import Names

PARTS_MAX: Final = 4096
"""Of one body, and one more for each `PART_BYTES`. Servers send some kilobytes a part, and an
exporter that writes each line by itself about a hundred bytes."""
PART_BYTES: Final = 64
_PART_SECONDS: Final = 4e-6
"""Of the event loop: measured are 3 to 5."""
_INTERIM_MAX: Final = 16
_INTERIM_SECONDS: Final = 0.1
"""Of the event loop, for those that came at once: 256 KiB of them."""


class TooManyPartsError(aiohttp.ClientPayloadError):
    """A body in parts that are too small."""


class TooManyInterimError(aiohttp.ClientPayloadError):
    """Interim answers without end in place of the answer."""


class Parts:
    """The body of an answer, in the parts that its server made of it."""

    def __init__(self) -> None:
        self.seconds = 0.0
        """That the event loop took to take them apart, about."""

    async def of(self, content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
        """The parts one by one.

        Raises:
            TooManyPartsError: they are too small.
        """
        most = float(PARTS_MAX)
        count = 0
        async for part, _ in content.iter_chunks():
            count += 1
            most += len(part) / PART_BYTES
            if count > most:
                exceeded(Limit.PARTS)
                # What was taken apart and is not read yet may have a byte a part.
                self.seconds = _PART_SECONDS * max(count, content.total_bytes)
                raise TooManyPartsError(f"a body in over {count - 1} parts for its size")
            self.seconds = _PART_SECONDS * count
            yield part


def parsing_seconds(error: BaseException) -> float:
    """What the loop took for an answer that came to nothing before its body, about."""
    return _INTERIM_SECONDS if isinstance(error, TooManyInterimError) else 0.0


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
                connector=_Connector(limit=0, resolver=self._names),
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


class _Connector(aiohttp.TCPConnector):
    """Makes connections that end interim answers without end."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._factory = cast("partial[ResponseHandler]", partial(_Handler, loop=self._loop))


class _Handler(ResponseHandler):
    """One connection."""

    _interim = 0

    @override
    def feed_data(self, data: tuple[Any, Any], size: int = 0) -> None:
        message, _ = data
        is_interim = message.code < HTTPStatus.OK
        self._interim = self._interim + 1 if is_interim else 0
        if self._interim <= _INTERIM_MAX:
            super().feed_data(data, size)
        elif self._interim == _INTERIM_MAX + 1:
            exceeded(Limit.PARTS)
            self.close()
            self.set_exception(TooManyInterimError(f"over {_INTERIM_MAX} interim answers (1xx)"))
