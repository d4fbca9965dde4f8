"""Events that explain a placement, for pods that ask for one by annotation.

A pod with `foresail.io/explain: event` gets an Event with the best node's columns and the reasons
of the refusals, again only when they change. Anybody who may create a pod may ask, so the number is
bounded: one Event a second, and at most `WAITING_MAX` wait; what comes on top is counted, and the
answer can still be read with `foresail explain pod`.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

import structlog
from aiohttp import ClientError
from kubernetes_asyncio.client import ApiClient, ApiException
from kubernetes_asyncio.config import ConfigException
from prometheus_client import CollectorRegistry, Counter

from foresail.clock import wall_clock
from foresail.explain_pod import account, summary
from scheduler.score.answers import PlacementAnswer

log = structlog.get_logger()

WAITING_MAX: Final = 64
PAUSE_SECONDS: Final = 1.0
POST_SECONDS_MAX: Final = 10.0
NOTE_BYTES_MAX: Final = 1024
"""The API server's limit."""
_PODS_MAX: Final = 256
_CONTROLLER: Final = "foresail.io/scheduler"
_EVENTS: Final = "/apis/events.k8s.io/v1/namespaces/{namespace}/events"

Post: TypeAlias = Callable[[Mapping[str, Any]], Awaitable[None]]
"""Creates an Event."""


class PlacementEvents:
    """Takes answers without waiting, and posts one Event after the other."""

    def __init__(self, post: Post, registry: CollectorRegistry) -> None:
        self._post = post
        self._waiting: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue(WAITING_MAX)
        self._last: OrderedDict[str, str] = OrderedDict()
        self._events = Counter(
            "foresail_extender_events",
            "Events that pods asked for: posted, failed, or dropped because too many waited.",
            ["outcome"],
            registry=registry,
        )

    def take(self, answer: PlacementAnswer) -> None:
        """Post an Event about this answer, unless the pod's last Event says the same."""
        note = summary(account(answer, now_seconds=answer.at_seconds))
        if self._last.get(answer.uid) == note:
            return
        if self._waiting.full():
            self._events.labels("dropped").inc()
            return
        self._last[answer.uid] = note
        self._last.move_to_end(answer.uid)
        if len(self._last) > _PODS_MAX:
            self._last.popitem(last=False)
        self._waiting.put_nowait(event_of(answer, note, wall_clock()))

    async def run(self) -> None:
        """Post what waits, until cancelled."""
        while True:
            event = await self._waiting.get()
            try:
                async with asyncio.timeout(POST_SECONDS_MAX):
                    await self._post(event)
                self._events.labels("posted").inc()
            except (ApiException, ClientError, ConfigException, OSError, TimeoutError) as error:
                self._events.labels("failed").inc()
                pod = event["regarding"]
                self._last.pop(pod["uid"], None)  # the same answer may be posted again
                log.warning("event_not_posted", pod=f"{pod['namespace']}/{pod['name']}",
                            why=str(error)[:NOTE_BYTES_MAX])  # fmt: skip
            await asyncio.sleep(PAUSE_SECONDS)


def event_of(answer: PlacementAnswer, note: str, unix_seconds: float) -> dict[str, Any]:
    """The object, events.k8s.io/v1."""
    namespace, _, name = answer.pod.partition("/")
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"generateName": "foresail-placement-", "namespace": namespace},
        "eventTime": datetime.fromtimestamp(unix_seconds, UTC).isoformat(timespec="microseconds"),
        "reportingController": _CONTROLLER,
        "reportingInstance": _CONTROLLER,
        "action": "Placing",
        "reason": "PlacementExplained",
        "type": "Normal",
        "regarding": {
            "apiVersion": "v1",
            "kind": "Pod",
            "namespace": namespace,
            "name": name,
            "uid": answer.uid,
        },
        "note": note.encode()[:NOTE_BYTES_MAX].decode(errors="ignore"),
    }


def post_to(client: ApiClient) -> Post:
    """Creates Events in the cluster of this client."""

    async def post(event: Mapping[str, Any]) -> None:
        await client.call_api(
            _EVENTS,
            "POST",
            path_params={"namespace": event["metadata"]["namespace"]},
            header_params={"Content-Type": "application/json", "Accept": "application/json"},
            body=dict(event),
            auth_settings=["BearerToken"],
        )

    return post
