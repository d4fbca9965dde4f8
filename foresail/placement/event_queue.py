"""Events of Kubernetes that wait to be posted, one after the other, and never too many."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

import structlog
from aiohttp import ClientError
from kubernetes_asyncio.client import ApiClient, ApiException
from kubernetes_asyncio.config import ConfigException
from prometheus_client import Counter

log = structlog.get_logger()

WAITING_MAX: Final = 64
PAUSE_SECONDS: Final = 1.0
POST_SECONDS_MAX: Final = 10.0
NOTE_BYTES_MAX: Final = 1024
"""The API server's limit."""
_EVENTS: Final = "/apis/events.k8s.io/v1/namespaces/{namespace}/events"

Event: TypeAlias = Mapping[str, Any]
Post: TypeAlias = Callable[[Event], Awaitable[None]]
"""Creates an Event."""


class EventQueue:
    """Takes Events without waiting, and posts one a second at most."""

    def __init__(
        self, post: Post, outcomes: Counter, failed: Callable[[Event], None] = lambda _: None
    ) -> None:
        """Begin empty.

        Args:
            post: creates one.
            outcomes: counts those `posted`, `failed` and `dropped` by its label.
            failed: is told of one that was not posted, which may then be posted again.
        """
        self._post = post
        self._outcomes = outcomes
        self._failed = failed
        self._waiting: asyncio.Queue[Event] = asyncio.Queue(WAITING_MAX)

    def put(self, event: Event) -> bool:
        """Post it later; False = too many wait, and it is dropped."""
        if self._waiting.full():
            self._outcomes.labels("dropped").inc()
            return False
        self._waiting.put_nowait(event)
        return True

    @property
    def full(self) -> bool:
        """Whether the next one would be dropped."""
        return self._waiting.full()

    async def run(self) -> None:
        """Post what waits, until cancelled."""
        while True:
            event = await self._waiting.get()
            try:
                async with asyncio.timeout(POST_SECONDS_MAX):
                    await self._post(event)
                self._outcomes.labels("posted").inc()
            except (ApiException, ClientError, ConfigException, OSError, TimeoutError) as error:
                self._outcomes.labels("failed").inc()
                self._failed(event)
                of = event["regarding"]
                name = "/".join(filter(None, (of.get("namespace"), of["name"])))
                log.warning("event_not_posted", kind=of["kind"], name=name,
                            why=str(error)[:NOTE_BYTES_MAX])  # fmt: skip
            await asyncio.sleep(PAUSE_SECONDS)


def event_of(
    about: Event, *, by: str, action: str, reason: str, note: str, unix_seconds: float
) -> dict[str, Any]:
    """The object, events.k8s.io/v1.

    Args:
        about: the reference of an object; Events of one without a namespace are in `default`.
        by: the controller that reports.
        action: what is done; the Event's name begins with it.
        reason: a word.
        note: for a person.
        unix_seconds: when.
    """
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {
            "generateName": f"foresail-{action.lower()}-",
            "namespace": about.get("namespace") or "default",
        },
        "eventTime": datetime.fromtimestamp(unix_seconds, UTC).isoformat(timespec="microseconds"),
        "reportingController": by,
        "reportingInstance": by,
        "action": action,
        "reason": reason,
        "type": "Normal",
        "regarding": dict(about),
        "note": note.encode()[:NOTE_BYTES_MAX].decode(errors="ignore"),
    }


def post_to(client: ApiClient) -> Post:
    """Creates Events in the cluster of this client."""

    async def post(event: Event) -> None:
        await client.call_api(
            _EVENTS,
            "POST",
            path_params={"namespace": event["metadata"]["namespace"]},
            header_params={"Content-Type": "application/json", "Accept": "application/json"},
            body=dict(event),
            auth_settings=["BearerToken"],
        )

    return post
