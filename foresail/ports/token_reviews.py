"""Asks the API server whose a bearer token is, and whether that user may read a page.

A token that the cluster issued needs no secret of ours: a TokenReview names its user, and a
SubjectAccessReview says whether a role gives the user the verb `get` on the page's path. A client
with made-up tokens costs the API server little: verdicts are kept for a while, and new questions
are limited for each address and in all. Where no verdict is to be had, nothing is shown.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
import structlog
from kubernetes_asyncio.client import ApiClient
from kubernetes_asyncio.config import ConfigException

from fleet.cluster.follow.clients import ClusterUnreachableError
from scaler.clock import Clock
from scaler.limits import Limit, exceeded

log = structlog.get_logger()

ALLOWED_SECONDS: Final = 60.0
REFUSED_SECONDS: Final = 10.0
"""How long a verdict counts; a token that is revoked is good for the first of them at most."""
VERDICTS_MAX: Final = 1024
OF_ADDRESS_PER_SECOND: Final = 1.0
IN_ALL_PER_SECOND: Final = 10.0
BURST: Final = 5
ADDRESSES_MAX: Final = 1024
TOKEN_CHARACTERS_MAX: Final = 8192
_ANSWER_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Review:
    group: str
    resource: str
    kind: str


_TOKENS: Final = _Review(group="authentication.k8s.io", resource="tokenreviews", kind="TokenReview")
_ACCESS: Final = _Review(
    group="authorization.k8s.io", resource="subjectaccessreviews", kind="SubjectAccessReview"
)


class _NotReviewedError(Exception):
    """The API server refuses to review."""


@dataclass(slots=True)
class _Allowance:
    """How much may be asked, refilled evenly up to a burst."""

    per_second: float
    left: float = BURST
    at_seconds: float = float("-inf")

    def take(self, now_seconds: float) -> bool:
        passed = max(0.0, now_seconds - self.at_seconds)
        self.left = min(BURST, self.left + passed * self.per_second)
        self.at_seconds = now_seconds
        if self.left < 1:
            return False
        self.left -= 1
        return True


@dataclass(slots=True, kw_only=True)
class TokenReviews:
    """Verdicts of the API server on tokens and paths."""

    connect: Callable[[], Awaitable[ApiClient]]
    """Called at the first question, so that a server without a cluster starts."""
    clock: Clock
    """The monotonic one."""
    _api: ApiClient | None = None
    _connecting: asyncio.Lock = field(default_factory=asyncio.Lock)
    _verdicts: OrderedDict[bytes, tuple[bool, float]] = field(default_factory=OrderedDict)
    """By digest of token and path, with the time until which each counts; oldest first."""
    _in_all: _Allowance = field(default_factory=lambda: _Allowance(IN_ALL_PER_SECOND))
    _of_address: OrderedDict[str, _Allowance] = field(default_factory=OrderedDict)

    async def may_get(self, token: str, path: str, address: str | None) -> bool | None:
        """Whether the user of this token may `get` this path.

        None where the API server does not answer, or may not be asked now.

        Args:
            address: of the client, whose questions are limited.
        """
        if not token or len(token) > TOKEN_CHARACTERS_MAX:
            return False
        key = hashlib.sha256(f"{path}\0{token}".encode(errors="surrogateescape")).digest()
        known, until_seconds = self._verdicts.get(key, (False, float("-inf")))
        if self.clock() < until_seconds:
            return known
        if not self._may_ask(address or ""):
            exceeded(Limit.REVIEWS)
            return None
        try:
            allowed = await self._review(token, path)
        except (
            *(aiohttp.ClientError, OSError, TimeoutError),
            *(ClusterUnreachableError, ConfigException, _NotReviewedError),
            *(LookupError, TypeError, AttributeError, ValueError),  # no review's answer
        ) as error:
            log.warning("token_not_reviewed", why=type(error).__name__)
            return None
        kept = ALLOWED_SECONDS if allowed else REFUSED_SECONDS
        self._verdicts[key] = allowed, self.clock() + kept
        self._verdicts.move_to_end(key)
        while len(self._verdicts) > VERDICTS_MAX:
            self._verdicts.popitem(last=False)
        return allowed

    async def close(self) -> None:
        if self._api is not None:
            await self._api.close()

    def _may_ask(self, address: str) -> bool:
        allowance = self._of_address.setdefault(address, _Allowance(OF_ADDRESS_PER_SECOND))
        self._of_address.move_to_end(address)
        while len(self._of_address) > ADDRESSES_MAX:
            self._of_address.popitem(last=False)
        now = self.clock()
        return allowance.take(now) and self._in_all.take(now)

    async def _review(self, token: str, path: str) -> bool:
        status = await self._asked(_TOKENS, {"token": token})
        user = status.get("user")
        if status.get("authenticated") is not True or not user or not user.get("username"):
            return False
        wanted = {
            "user": user["username"],
            "uid": user.get("uid"),
            "groups": user.get("groups"),
            "extra": user.get("extra"),
            "nonResourceAttributes": {"path": path, "verb": "get"},
        }
        return (await self._asked(_ACCESS, wanted)).get("allowed") is True

    async def _asked(self, review: _Review, spec: Mapping[str, object]) -> dict[str, Any]:
        """The status of a review."""
        api = await self._connected()
        response: aiohttp.ClientResponse = await api.call_api(
            f"/apis/{review.group}/v1/{review.resource}",
            "POST",
            header_params={"Accept": "application/json", "Content-Type": "application/json"},
            body={"apiVersion": f"{review.group}/v1", "kind": review.kind, "spec": spec},
            auth_settings=["BearerToken"],
            _preload_content=False,
            _request_timeout=aiohttp.ClientTimeout(total=_ANSWER_SECONDS),
        )
        async with response:
            if not response.ok:
                raise _NotReviewedError(f"HTTP {response.status}")
            status: dict[str, Any] = (await response.json())["status"]
            return status

    async def _connected(self) -> ApiClient:
        async with self._connecting:
            if self._api is None:
                self._api = await self.connect()
            return self._api
