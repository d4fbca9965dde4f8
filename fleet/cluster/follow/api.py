"""Requests to an API server about one resource: the pages of a list, the lines of a watch.

One request, one answer or one error: nothing is asked twice here, but a list whose pages ran out
from under it. Only GET is ever sent.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Protocol

import aiohttp
from kubernetes_asyncio.client import ApiClient
from kubernetes_asyncio.config import ConfigException

from fleet.cluster.fields import Json, as_object
from fleet.cluster.follow.json_text import document_of
from fleet.cluster.kinds import Record, identity_of

GONE: Final = HTTPStatus.GONE
"""A resource version that the server no longer has."""
_IN_LOOP_BYTES: Final = 2**16
"""Of a page that is parsed in the event loop: some pods, in a millisecond."""
_MESSAGE_CHARACTERS: Final = 256
"""Of a refusal that are shown: the error page of a proxy would fill the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Timeouts and waits, in seconds."""

    connection: float = 5.0
    """For a connection: a server that is gone often does not refuse it."""
    page: float = 30.0
    """For one page of a list, and for the head of a watch's answer."""
    watch: float = 300.0
    """After which the server ends a watch: load spreads over its replicas."""
    silence: float = 150.0
    """Without a byte, after which a watch counts as broken: bookmarks come once a minute."""
    first_retry: float = 0.5
    """Doubled with each failure in a row."""
    longest_retry: float = 30.0
    absent: float = 60.0
    """Before the next request for a resource that the server does not have."""


PATIENT: Final = Patience()


class UnreadableError(Exception):
    """A resource that cannot be listed or watched; the message names it and says why."""

    def __init__(self, why: str, *, status: int = 0, retry_seconds: float = 0.0) -> None:
        super().__init__(why)
        self.status = status
        """HTTP, 401 where there are no credentials to ask with; 0 = no answer, or nonsense."""
        self.retry_seconds = retry_seconds
        """The wait that the server asks for."""

    @property
    def absent(self) -> bool:
        return self.status == HTTPStatus.NOT_FOUND


class ListBudget(Protocol):
    """Bounds what a list takes, and is told of it."""

    def received(self, count: int) -> None:
        """Count bytes that came.

        Raises:
            UnreadableError: they are too many.
        """
        ...

    def parsed(self, thread_seconds: float) -> None:
        """Count what a page took of its thread."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """What is read, and how."""

    client: ApiClient
    path: str
    """Of the collection, such as `/api/v1/nodes`."""
    label_selector: str | None = None
    page_size: int = 500
    record_of: Callable[[Json], Record | None]
    """Makes the record of an object, once, as it comes; None = the object is not wanted."""
    from_cache: bool = False
    """A list may come from the API server's cache, and lag by a second."""
    patience: Patience = PATIENT
    budget: ListBudget | None = None
    """With one, large pages of a list are parsed in a thread."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Which object it is."""

    name: str
    """With the namespace, where the object has one."""
    uid: str


@dataclass(frozen=True, slots=True)
class Change:
    """One line of a watch."""

    version: str
    """Of the collection after it."""
    record: Record | None = None
    """Of an object that is new or changed."""
    gone: Identity | None = None
    """Of an object that was deleted, or is not wanted."""


async def pages(resource: Resource) -> tuple[tuple[Record, ...], str]:
    """The records of all objects, and the version of the collection they are of.

    Raises:
        UnreadableError: refused, unreachable, or no list.
    """
    try:
        return await _paged(resource, limit=resource.page_size)
    except UnreadableError as error:
        if error.status != GONE:
            raise
        # The version of the first page was forgotten before the last: ask for all in one piece.
        return await _paged(resource, limit=None)


async def document_at(
    client: ApiClient,
    path: str,
    asked: Mapping[str, str] | None = None,
    patience: Patience = PATIENT,
) -> Json:
    """The one document at a path: an object, a list in one piece, or what a group serves.

    Args:
        client: of the API server.
        path: of the document.
        asked: the query, such as a `fieldSelector`.
        patience: how long to wait.

    Raises:
        UnreadableError: refused, unreachable, or no object.
    """
    resource = Resource(client=client, path=path, record_of=lambda _: None, patience=patience)
    text = await _whole(resource, asked or {})
    try:
        return as_object(document_of(text), "the answer")
    except ValueError as error:
        raise UnreadableError(f"{path}: the answer is no object") from error


async def changes(resource: Resource, version: str) -> AsyncGenerator[Change, None]:
    """The changes after a version, until either side ends the connection.

    Raises:
        UnreadableError: the server refuses, tells of an error, or says what makes no sense.
    """
    patience = resource.patience
    asked = {
        "watch": "1",
        "resourceVersion": version,
        "allowWatchBookmarks": "true",
        "timeoutSeconds": str(max(1, round(patience.watch))),
    }
    limits = aiohttp.ClientTimeout(
        connect=patience.page, sock_connect=patience.connection, sock_read=patience.silence
    )
    response = await _opened(resource, asked, limits)
    async with response:
        try:
            async with aclosing(_lines(response.content)) as lines:
                async for line in lines:
                    yield _change(resource, line)
        except (aiohttp.ClientError, OSError):
            return  # broken off: the next watch goes on from the last version


async def _paged(resource: Resource, *, limit: int | None) -> tuple[tuple[Record, ...], str]:
    records: list[Record] = []
    asked = {} if limit is None else {"limit": str(limit)}
    if resource.from_cache:
        asked["resourceVersion"] = "0"
    while True:
        page = await _page(resource, asked)
        records += page.records
        if not page.more:
            return tuple(records), page.version
        asked["continue"] = page.more


@dataclass(frozen=True, slots=True)
class _Page:
    version: str
    more: str | None
    records: list[Record]


async def _page(resource: Resource, asked: Mapping[str, str]) -> _Page:
    text = await _whole(resource, asked)
    budget = resource.budget
    if budget is None or len(text) <= _IN_LOOP_BYTES:
        return _parsed(resource, text)

    def parsed() -> _Page:
        begun = time.thread_time()
        try:
            return _parsed(resource, text)
        finally:
            budget.parsed(time.thread_time() - begun)

    return await asyncio.to_thread(parsed)


def _parsed(resource: Resource, text: bytes) -> _Page:
    try:
        page: Any = document_of(text)
        metadata = page["metadata"]
        version, more = str(metadata["resourceVersion"]), metadata.get("continue")
        items = [as_object(one, "an item") for one in page["items"] or ()]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UnreadableError(f"{resource.path}: the answer is no list of objects") from error
    made = map(resource.record_of, items)
    return _Page(version, more, [record for record in made if record is not None])


async def _whole(resource: Resource, asked: Mapping[str, str]) -> bytes:
    patience = resource.patience
    limits = aiohttp.ClientTimeout(total=patience.page, sock_connect=patience.connection)
    response = await _opened(resource, asked, limits)
    try:
        async with response:
            if resource.budget is None:
                return await response.read()
            text = bytearray()
            async for part in response.content.iter_any():
                resource.budget.received(len(part))
                text += part
            return bytes(text)
    except (aiohttp.ClientError, OSError) as error:
        raise UnreadableError(f"{resource.path}: {_said(error)}") from error


async def _lines(content: aiohttp.StreamReader) -> AsyncGenerator[bytes, None]:
    """Complete lines of any length; one that is cut off at the end is dropped."""
    rest = b""
    async for chunk in content.iter_any():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line


def _change(resource: Resource, line: bytes) -> Change:
    try:
        event: Any = document_of(line)
        kind, document = event["type"], event["object"]
        if kind == "ERROR":
            raise _refusal(resource, int(document.get("code") or 500), document)
        version = str(document["metadata"]["resourceVersion"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UnreadableError(f"{resource.path}: a line of the watch is no event") from error
    if kind == "BOOKMARK":
        return Change(version)
    record = None if kind == "DELETED" else resource.record_of(document)
    if record is None:
        return Change(version, gone=Identity(*identity_of(document)))
    return Change(version, record)


async def _opened(
    resource: Resource, asked: Mapping[str, str], limits: aiohttp.ClientTimeout
) -> aiohttp.ClientResponse:
    """The answer to a GET, its body unread.

    Raises:
        UnreadableError: no answer, a refusal, or no credentials to ask with.
    """
    query = dict(asked)
    if resource.label_selector:
        query["labelSelector"] = resource.label_selector
    try:
        response: aiohttp.ClientResponse = await resource.client.call_api(
            resource.path,
            "GET",
            query_params=list(query.items()),
            header_params={"Accept": "application/json"},
            auth_settings=["BearerToken"],
            _preload_content=False,
            _request_timeout=limits,
        )
        if response.ok:
            return response
        async with response:
            text = await response.text(errors="replace")
    except ConfigException as error:
        raise UnreadableError(
            f"{resource.path}: no credentials: {error}", status=HTTPStatus.UNAUTHORIZED
        ) from error
    except (aiohttp.ClientError, OSError) as error:
        raise UnreadableError(f"{resource.path}: {_said(error)}") from error
    try:
        status = json.loads(text)
    except (ValueError, RecursionError):
        status = {"message": text}
    after = response.headers.get("Retry-After", "")
    raise _refusal(
        resource, response.status, status, retry_seconds=float(after) if after.isdecimal() else 0.0
    )


def _refusal(
    resource: Resource, code: int, status: object, *, retry_seconds: float = 0.0
) -> UnreadableError:
    """The error of a refusal, with the message of the server where it has one."""
    said = status.get("message") if isinstance(status, dict) else None
    words = " ".join(str(said or "").split())[:_MESSAGE_CHARACTERS]
    why = f"{resource.path}: HTTP {code}{': ' if words else ''}{words}"
    match code:
        case HTTPStatus.NOT_FOUND:
            why = f"{resource.path}: the cluster has no such resource"
        case HTTPStatus.UNAUTHORIZED:
            why += "; the credentials are not, or no longer, good"
        case HTTPStatus.FORBIDDEN:
            why += "; grant list and watch on it"
        case _:
            pass
    return UnreadableError(
        why, status=code, retry_seconds=min(retry_seconds, resource.patience.absent)
    )


def _said(error: BaseException) -> str:
    # What a timeout says is nothing, and its name is enough.
    return str(error) or type(error).__name__
