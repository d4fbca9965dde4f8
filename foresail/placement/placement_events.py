"""Events that explain a placement, for pods that ask for one by annotation.

A pod with `foresail.io/explain: event` gets an Event with the best node's columns and the reasons
of the refusals, again only when they change. Anybody who may create a pod may ask, so the number is
bounded: one Event a second, and at most `WAITING_MAX` wait; what comes on top is counted, and the
answer can still be read with `foresail explain pod`.
"""

from collections import OrderedDict
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter

from foresail.clock import wall_clock
from foresail.explain.pod import account, summary
from foresail.placement.event_queue import Event, EventQueue, Post, event_of
from scheduler.score.answers import PlacementAnswer

_PODS_MAX: Final = 256
_CONTROLLER: Final = "foresail.io/scheduler"


class PlacementEvents:
    """Takes answers without waiting, and posts one Event after the other."""

    def __init__(self, post: Post, registry: CollectorRegistry) -> None:
        outcomes = Counter(
            "foresail_extender_events",
            "Events that pods asked for: posted, failed, or dropped because too many waited.",
            ["outcome"],
            registry=registry,
        )
        self._queue = EventQueue(post, outcomes, self._forget)
        self._last: OrderedDict[str, str] = OrderedDict()

    def take(self, answer: PlacementAnswer) -> None:
        """Post an Event about this answer, unless the pod's last Event says the same."""
        note = summary(account(answer, now_seconds=answer.at_seconds))
        if self._last.get(answer.uid) == note:
            return
        if self._queue.put(placement_event(answer, note, wall_clock())):
            self._last[answer.uid] = note
            self._last.move_to_end(answer.uid)
            if len(self._last) > _PODS_MAX:
                self._last.popitem(last=False)

    async def run(self) -> None:
        """Post what waits, until cancelled."""
        await self._queue.run()

    def _forget(self, event: Event) -> None:
        self._last.pop(event["regarding"]["uid"], None)  # the same answer may be posted again


def placement_event(answer: PlacementAnswer, note: str, unix_seconds: float) -> dict[str, Any]:
    """The Event about an answer."""
    namespace, _, name = answer.pod.partition("/")
    about = {
        "apiVersion": "v1",
        "kind": "Pod",
        "namespace": namespace,
        "name": name,
        "uid": answer.uid,
    }
    return event_of(
        about,
        by=_CONTROLLER,
        action="Placing",
        reason="PlacementExplained",
        note=note,
        unix_seconds=unix_seconds,
    )
