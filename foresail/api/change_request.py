"""One request for one change, and what its refusal says."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import aiohttp
from kubernetes_asyncio.client import ApiClient
from kubernetes_asyncio.config import ConfigException

from policies.levers.change import MANAGER, Change, Verb

_CONTENT_TYPES: Final = {
    Verb.APPLY: "application/apply-patch+yaml",
    Verb.PATCH: "application/json-patch+json",
    Verb.DELETE: "application/json",
}
_MESSAGE_CHARACTERS: Final = 512
_REMEDIES: Final = {
    HTTPStatus.UNAUTHORIZED: "the service account's token is not taken",
    HTTPStatus.FORBIDDEN: "the role of this account must allow it",
    HTTPStatus.NOT_FOUND: "is the kind served, and does the namespace exist?",
}


class RefusalError(Exception):
    """A request that the server, or the way to it, refused."""

    def __init__(self, change: Change, status: int, words: str) -> None:
        what = f"{change.verb.value} {change.address}"
        super().__init__(f"{what}: {f'HTTP {status}: ' if status else ''}{words}")
        self.status = status
        self.words = words
        self.retry_seconds = 0.0
        self.managers: tuple[str, ...] = ()
        """Whose fields were in the way."""


async def send(client: ApiClient, change: Change, timeout_seconds: float) -> None:
    """Make one change.

    Raises:
        RefusalError: it was refused, or there is no answer.
    """
    path = change.address.path + (f"/{change.subresource}" if change.subresource else "")
    manager = {} if change.verb is Verb.DELETE else {"fieldManager": MANAGER}
    try:
        response: aiohttp.ClientResponse = await client.call_api(
            path,
            "DELETE" if change.verb is Verb.DELETE else "PATCH",
            query_params=list(manager.items()),
            header_params={
                "Accept": "application/json",
                "Content-Type": _CONTENT_TYPES[change.verb],
            },
            body=_body(change),
            auth_settings=["BearerToken"],
            _preload_content=False,
            _request_timeout=aiohttp.ClientTimeout(total=timeout_seconds),
        )
        async with response:
            text = await response.text(errors="replace")
    except ConfigException as error:
        raise RefusalError(change, HTTPStatus.UNAUTHORIZED, str(error)) from error
    except (aiohttp.ClientError, OSError) as error:
        raise RefusalError(change, 0, str(error) or type(error).__name__) from error
    if not response.ok:
        raise _refusal(change, response, text)


def _body(change: Change) -> object:
    if change.verb is not Verb.DELETE:
        return list(change.body) if change.verb is Verb.PATCH else change.body  # type: ignore[arg-type]
    return {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {"uid": change.uid, **_unchanged(change)},
        "propagationPolicy": "Background",
    }


def _unchanged(change: Change) -> dict[str, str]:
    claim = change.start_of
    return {} if claim is None or not claim.version else {"resourceVersion": claim.version}


def _refusal(change: Change, response: aiohttp.ClientResponse, text: str) -> RefusalError:
    try:
        status: Any = json.loads(text)
    except (ValueError, RecursionError):
        status = {}
    if not isinstance(status, Mapping):
        status = {}
    words = " ".join(str(status.get("message") or response.reason or "").split())
    remedy = _REMEDIES.get(HTTPStatus(response.status)) if _known(response.status) else None
    shown = words[:_MESSAGE_CHARACTERS] + (f" ({remedy})" if remedy else "")
    error = RefusalError(change, response.status, shown)
    after = response.headers.get("Retry-After", "")
    error.retry_seconds = float(after) if after.isdecimal() else 0.0
    details = status.get("details")
    causes = details.get("causes") if isinstance(details, Mapping) else None
    error.managers = tuple(
        str(one.get("message"))
        for one in (causes if isinstance(causes, list) else ())
        if isinstance(one, Mapping) and one.get("reason") == "FieldManagerConflict"
    )
    return error


def _known(status: int) -> bool:
    return status in {one.value for one in HTTPStatus}
