"""Makes changes of API objects: one request each, in their order, and again where that is safe.

Every change may be sent twice: an apply says what our fields are, a patch tests what it replaces,
a delete names a UID. So a lost answer, an overloaded server and a conflict of writes are tried
again, and nothing is doubled. A field of another manager and an object that changed since it was
read are not: the next round reads them anew. A server that does not answer gets no more requests
in this round.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from typing import Final

from kubernetes_asyncio.client import ApiClient

from fleet.cluster.fields import UnreadableObjectError, listed
from fleet.cluster.follow.api import UnreadableError, document_at
from fleet.cluster.pods import Pod, pod_of
from foresail.api.change_request import RefusalError, send
from foresail.clock import steady_clock
from policies.levers.cancel import waits_for
from policies.levers.change import Address, Change, Verb
from policies.levers.wanted import uses_node


class Ending(StrEnum):
    """How a change ended."""

    DONE = "done"
    GONE = "gone"
    """The object is not there any more: nothing was to be done."""
    CHANGED = "changed since it was read"
    """The next round looks at it anew."""
    CONFLICT = "another manager's field"
    OCCUPIED = "a pod has come"
    REFUSED = "refused"
    UNANSWERED = "no answer"
    LEFT_OUT = "left out"
    """What it builds on failed, the server does not answer, or we no longer lead."""
    ADVICE = "mere advice"


_SETTLED: Final = frozenset({Ending.DONE, Ending.GONE, Ending.ADVICE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a change."""

    change: Change
    ending: Ending
    text: str = ""
    """Why, with the object and what the server says; empty where it is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """Tries and waits, in seconds."""

    tries: int = 5
    """Of one change."""
    first: float = 0.5
    """Doubled with each try."""
    longest: float = 30.0
    """Also of what the server asks for."""
    request: float = 15.0
    """For the answer to one request."""


@dataclass(slots=True, kw_only=True)
class ChangeExecutor:
    """Carries changes out, one after the other."""

    client: ApiClient
    retries: Retries = field(default_factory=Retries)
    leads: Callable[[], bool] = lambda: True
    """Asked before each request: who has lost the lead changes nothing more."""
    steady: Callable[[], float] = steady_clock

    async def carry_out(self, changes: Iterable[Change]) -> tuple[Outcome, ...]:
        """The outcome of each change, in their order."""
        outcomes: list[Outcome] = []
        failed: set[Address] = set()
        silent = False
        for change in changes:
            outcome = self._without_request(change, failed, silent=silent)
            if outcome is None:
                outcome = await self._carried_out(change)
            outcomes.append(outcome)
            silent = silent or outcome.ending is Ending.UNANSWERED
            if outcome.ending not in _SETTLED:
                failed.add(change.address)
        return tuple(outcomes)

    def _without_request(
        self, change: Change, failed: set[Address], *, silent: bool
    ) -> Outcome | None:
        why = None
        if not change.execute:
            return Outcome(change=change, ending=Ending.ADVICE)
        lost = next((one for one in change.after if one in failed), None)
        if silent:
            why = "the API server does not answer"
        elif lost is not None:
            why = f"the change of {lost} failed"
        elif not self.leads():
            why = "another process leads now"
        if why is None:
            return None
        text = f"{change.verb.value} {change.address}: {why}"
        return Outcome(change=change, ending=Ending.LEFT_OUT, text=text)

    async def _carried_out(self, change: Change) -> Outcome:
        wait = self.retries.first
        attempt = await self._attempt(change)
        for _ in range(self.retries.tries - 1):
            if not attempt.again or not self.leads():
                break
            await asyncio.sleep(min(max(wait, attempt.wait_seconds), self.retries.longest))
            wait = min(2 * wait, self.retries.longest)
            attempt = await self._attempt(change)
        return Outcome(change=change, ending=attempt.ending, text=attempt.text)

    async def _attempt(self, change: Change) -> "_Attempt":
        if change.empty_node is not None or change.start_of is not None:
            before = self.steady()
            needed = await self._needed(change)
            if needed is not None:
                return needed
            what = f"{change.verb.value} {change.address}"
            if not self.leads():
                text = f"{what}: another process leads now"
                return _Attempt(ending=Ending.LEFT_OUT, text=text)
            if self.steady() - before > self.retries.request:
                # This process was stopped meanwhile, and others may have given the node pods.
                text = f"{what}: the look at the pods is too long ago"
                return _Attempt(ending=Ending.CHANGED, text=text)
        try:
            await send(self.client, change, self.retries.request)
        except RefusalError as error:
            return _refused(change, error)
        return _Attempt(ending=Ending.DONE)

    async def _needed(self, change: Change) -> "_Attempt | None":
        """Why pods may need what is deleted, by lists of pods past every cache.

        Those that wait come first: a pod that gets the node in between is in the second list.
        """
        node, claim = change.empty_node, change.start_of
        needed = None
        if claim is not None:
            needed = await self._with_pods(
                change, "spec.nodeName=", lambda pod: waits_for(pod, claim), "for it may wait"
            )
        if needed is None and node is not None:
            needed = await self._with_pods(
                change, f"spec.nodeName={node}", uses_node, f"node {node} has"
            )
        return needed

    async def _with_pods(
        self, change: Change, selector: str, needs: Callable[[Pod], bool], says: str
    ) -> "_Attempt | None":
        """None = there is no such pod that needs it."""
        what = f"{change.verb.value} {change.address}: "
        try:
            found = await document_at(self.client, "/api/v1/pods", {"fieldSelector": selector})
            names = [pod.name for pod in map(pod_of, listed(found, "items")) if needs(pod)]
        except UnreadableError as error:
            text = f"{what}pods with {selector} cannot be listed: {error}"
            if not _silent(error.status):
                return _Attempt(ending=Ending.REFUSED, text=text)
            return _Attempt(
                ending=Ending.UNANSWERED, text=text, again=True, wait_seconds=error.retry_seconds
            )
        except UnreadableObjectError as error:
            text = f"{what}a pod with {selector} cannot be read: {error}"
            return _Attempt(ending=Ending.OCCUPIED, text=text)
        text = f"{what}{says} {', '.join(names)}"
        return _Attempt(ending=Ending.OCCUPIED, text=text) if names else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    """How one try of a change ended."""

    ending: Ending
    text: str = ""
    again: bool = False
    """Another try may end better."""
    wait_seconds: float = 0.0
    """That the server asks for."""


def _refused(change: Change, error: RefusalError) -> _Attempt:
    """What a refusal means."""
    again = _silent(error.status)
    ending = Ending.UNANSWERED if again else Ending.REFUSED
    match error.status, change.verb:
        case HTTPStatus.NOT_FOUND, Verb.DELETE:
            return _Attempt(ending=Ending.DONE)
        case HTTPStatus.NOT_FOUND, _ if change.uid is not None:
            ending, again = Ending.GONE, False
        case HTTPStatus.CONFLICT, _ if error.managers:
            ending, again = Ending.CONFLICT, False
        case HTTPStatus.CONFLICT, _:
            # Of another UID, or of two writes at the same moment: then it is sent again.
            by_uid = change.verb is Verb.DELETE or "uid" in error.words.lower()
            ending, again = Ending.CHANGED, not by_uid
        case HTTPStatus.UNPROCESSABLE_ENTITY, Verb.PATCH:
            ending, again = Ending.CHANGED, False  # a test of the patch failed
        case _:
            pass
    return _Attempt(ending=ending, text=str(error), again=again, wait_seconds=error.retry_seconds)


def _silent(status: int) -> bool:
    """No answer, or none for now."""
    waits = status in {0, HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}
    return waits or status >= HTTPStatus.INTERNAL_SERVER_ERROR
