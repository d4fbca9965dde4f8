"""The edge: requests to a server that meters tokens, within one time for all of them.

A server that says 429 is asked again after its `Retry-After`, where the time allows that. The keys
are in headers alone; an error page that repeats them is shown without them.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

import aiohttp

from fleet.bounded_body import body_of
from fleet.documents import Json, is_object
from scaler.message_text import printable
from scaler.sources.pause import retry_after_seconds

TOTAL_SECONDS: Final = 30.0
"""For all requests to one server."""
_ANSWER_BYTES_MAX: Final = 8 * 2**20
_TRIES: Final = 3
_WAIT_SECONDS: Final = 2.0
"""Where a 429 does not say how long."""
_MESSAGE_CHARACTERS: Final = 256
_OK: Final = 200
_UNKNOWN_KEY: Final = 401
_FORBIDDEN: Final = 403
_NOT_FOUND: Final = 404
_TOO_OFTEN: Final = 429


class MeterError(Exception):
    """The server did not answer, or refused; the message says what to do."""


class NoSuchPathError(MeterError):
    """The server has no such API."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Where a server is, and as whom it is asked."""

    title: str
    """Of the server, in messages: its kind and its address."""
    url: str
    headers: Mapping[str, str] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    """That no message may show."""
    key_option: str
    """That names the file with the key."""


@dataclass(slots=True, kw_only=True)
class Conversation:
    """With one server; its time begins when it is opened."""

    access: Access
    total_seconds: float = TOTAL_SECONDS
    _session: aiohttp.ClientSession = field(init=False)
    _end_seconds: float = field(init=False)

    async def __aenter__(self) -> Self:
        """Open it."""
        self._session = aiohttp.ClientSession(headers=self.access.headers)
        self._end_seconds = asyncio.get_running_loop().time() + self.total_seconds
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self._session.close()

    async def asked(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, object] | None = None,
    ) -> Json:
        """The answer to one question.

        Raises:
            NoSuchPathError: there is no such API.
            MeterError: no answer in time, or a refusal.
        """
        title = self.access.title
        try:
            async with asyncio.timeout_at(self._end_seconds):
                for _ in range(_TRIES):
                    answer = await self._tried(method, path, params, body)
                    if not isinstance(answer, float):
                        return answer
                    await self._waited(answer)
        except TimeoutError as error:
            raise MeterError(f"{title}: no whole answer within {self.total_seconds:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError, RecursionError) as error:
            why = error.strerror if isinstance(error, OSError) else None
            raise MeterError(f"{title}: {self._shown(why or str(error))}") from error
        raise MeterError(f"{title}: asked too often (429), {_TRIES} times: ask less often")

    async def _tried(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        body: Mapping[str, object] | None,
    ) -> Json | float:
        """The answer, or the seconds after which to ask again."""
        url = f"{self.access.url.rstrip('/')}/{path}"
        async with self._session.request(
            # A redirect would carry the keys to another server.
            method, url, params=params, json=body, allow_redirects=False
        ) as response:  # fmt: skip
            if response.status == _TOO_OFTEN:
                asked = retry_after_seconds(response.headers)
                return _WAIT_SECONDS if asked is None else asked
            content = await body_of(response.content, _ANSWER_BYTES_MAX)
            if response.status != _OK:
                raise self._refusal(path, response.status, content or b"")
        if content is None:
            raise MeterError(f"{self.access.title}: an answer of over {_ANSWER_BYTES_MAX} bytes")
        answer: object = json.loads(content)
        if not is_object(answer):
            raise MeterError(f"{self.access.title}: {path}: no answer of its API")
        return answer

    async def _waited(self, seconds: float) -> None:
        left = self._end_seconds - asyncio.get_running_loop().time()
        if seconds >= left:
            raise MeterError(
                f"{self.access.title}: asked too often (429): it may be asked again in "
                f"{seconds:.0f} s"
            )
        await asyncio.sleep(seconds)

    def _refusal(self, path: str, status: int, content: bytes) -> MeterError:
        title = self.access.title
        if status in {_UNKNOWN_KEY, _FORBIDDEN}:  # nothing of the page, which may repeat the key
            why = "does not know the key" if status == _UNKNOWN_KEY else "refuses the key"
            return MeterError(f"{title} {why} ({status}): check {self.access.key_option}")
        said = self._shown(content[:2000].decode("utf-8", errors="replace"))
        kind = NoSuchPathError if status == _NOT_FOUND else MeterError
        return kind(f"{title}: {path}: {status} {said}".rstrip())

    def _shown(self, text: str) -> str:
        for secret in self.access.secrets:
            text = text.replace(secret, "…")
        return printable(" ".join(text.split())[:_MESSAGE_CHARACTERS])
