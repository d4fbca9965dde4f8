"""The current answer of every workload, in memory. RPCs read nothing else.

KEDA sets no deadline on its calls, and one that does not return blocks that ScaledObject for ever.
So an RPC never waits: it is answered from the board. The planning cycle reads metrics, makes plans
and publishes here at its own pace. KEDA identifies an object by name, namespace and metadata, so
two triggers of one object, or one before and after an edit, are two entries.

There is one board, in the process that answers KEDA. It alone admits and forgets objects, and
reports both as `Changes`. All times here are of the monotonic clock, which is one for all
processes of a container.
"""

import asyncio
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping

from scaler.clock import Clock
from scaler.decision.abstention import abstention_of, abstention_of_unusable
from scaler.decision.answers import Outcome, Reference, Refusal, RefusalCode, TimedOutcome
from scaler.errors import ForesailError, MetadataError
from scaler.limits import Limit, exceeded
from scaler.serving.changes import Changes, arrival_of
from scaler.serving.edit_pace import A_MINUTE, EditPace
from scaler.serving.entry import Entry
from scaler.serving.groups import take_out
from scaler.trigger import TriggerSpec

SUPERSEDED_SECONDS = 3600.0
"""An entry that KEDA did not ask about for so long, while it asks about another of the same object,
is taken for edited away."""
SILENT_SECONDS = 21_600.0
"""An entry that KEDA did not ask about for so long is forgotten: its object is gone or paused, and
its looks cost the source for nothing. A paused one is read anew once it goes on."""
NEW_SECONDS = 60.0
"""Within this time of an object's first trigger, KEDA asks about its others: these are no edits."""
OF_OBJECT_MAX = 16
"""Triggers of one object. Each edit makes a new entry, and edits have no end."""
NAME_CHARACTERS_MAX = 253
"""Of an object's name or namespace, as in Kubernetes."""


class BoardFullError(ForesailError):
    """As many objects are known as the operator's limits allow."""


class Board:
    """Entries by reference; asking about an unknown object makes it known."""

    def __init__(
        self,
        admit: Callable[[str, Mapping[str, str]], TriggerSpec],
        *,
        clock: Clock,
        objects_max: int,
        of_namespace_max: Callable[[str], float] = lambda _: math.inf,
    ) -> None:
        """Make an empty board.

        Args:
            admit: parses a trigger's metadata by its namespace, or raises `MetadataError`.
            clock: the monotonic one.
            of_namespace_max: the most objects of a namespace.
        """
        self._admit = admit
        self._clock = clock
        self._objects_max = objects_max
        self._of_namespace_max = of_namespace_max
        self._edits = EditPace(of_namespace_max, clock)
        self._by_namespace: defaultdict[str, dict[Reference, Entry]] = defaultdict(dict)
        self._by_object: defaultdict[tuple[str, str], dict[Reference, Entry]] = defaultdict(dict)
        """By namespace and name."""
        self._full_until: dict[str, float] = {}
        """By namespace that is full: before this time no entry of it was silent for long enough.
        Looking through 1,000 for each object that is refused takes as long as an answer."""
        self._all_full_until = -math.inf
        """The same of the whole board."""
        self._new: dict[Reference, Entry] = {}
        self._forgotten: list[Reference] = []
        self._entries: dict[Reference, Entry] = {}
        self.arrived = asyncio.Event()
        """Set while there are new objects that `take_changes` has not returned yet."""

    def __iter__(self) -> Iterator[Entry]:
        return iter(tuple(self._entries.values()))

    def __len__(self) -> int:
        return len(self._entries)

    def ask(self, reference: Reference) -> Entry:
        """The entry of this object, made when KEDA first asks about it.

        Raises:
            BoardFullError: it is new and there is no room, or the edits come too fast.
        """
        now = self._clock()
        entry = self._entries.get(reference)
        if entry is None:
            is_edit = self._is_edit(reference, now)
            if is_edit:
                self._check_edits(reference.namespace)
            displaced = self._displaced(reference, now)
            if is_edit:
                self._edits.add(reference.namespace)
            if displaced is not None:
                self._forget(displaced.reference)
            entry = self._begun(reference, now)
        entry.asked_at_seconds, entry.adopted = now, False
        return entry

    def adopt(
        self, reference: Reference, timed: TimedOutcome | None, asked_at_seconds: float
    ) -> None:
        """Make an object known that KEDA asked another process about.

        It keeps the outcome of that process until there is a newer one. An object that is already
        known here keeps its own outcome; on a full board the new object stays unknown. So does a
        trigger that was asked about before all that its object may have.
        """
        entry = self._entries.get(reference)
        if entry is None:
            if self._is_silent(asked_at_seconds):
                return
            displaced = self._displaced_of_object(reference)
            if displaced is None and self._is_full(reference.namespace):
                return
            if displaced is not None:
                if displaced.asked_at_seconds >= asked_at_seconds:
                    return
                exceeded(Limit.OBJECT_TRIGGERS)
                self._forget(displaced.reference)
            entry = self._begun(reference, asked_at_seconds)
            entry.adopted = True
            if timed is not None and entry.trigger_spec is not None:
                entry.timed = timed
        entry.asked_at_seconds = max(entry.asked_at_seconds, asked_at_seconds)

    def known(self, reference: Reference) -> Entry | None:
        """The entry, if the object is known; does not count as a call of KEDA."""
        return self._entries.get(reference)

    def publish(self, reference: Reference, timed: TimedOutcome) -> None:
        """Publish an outcome, if its object is still known."""
        entry = self._entries.get(reference)
        if entry is not None:
            entry.publish(timed)

    def take_changes(self) -> Changes:
        """Objects made known and forgotten since the last call."""
        changes = Changes(
            forgotten=tuple(self._forgotten),
            arrived=tuple(arrival_of(entry) for entry in self._new.values()),
        )
        self._forgotten, self._new = [], {}
        self.arrived.clear()
        return changes

    def forget_silent(self) -> None:
        """Drop the entries of metadata that was edited since, and of objects nobody asks about."""
        self._edits.forget_old()
        now = self._clock()
        newest: dict[tuple[str, str], float] = {}
        for entry in self:
            key = (entry.reference.namespace, entry.reference.name)
            newest[key] = max(newest.get(key, -math.inf), entry.asked_at_seconds)
        dropped = [
            entry
            for entry in self
            if self._is_silent(entry.asked_at_seconds)
            or (
                now - entry.asked_at_seconds > SUPERSEDED_SECONDS
                and newest[(entry.reference.namespace, entry.reference.name)]
                > entry.asked_at_seconds
            )
        ]
        for entry in dropped:
            if self._is_silent(entry.asked_at_seconds):
                exceeded(Limit.SILENT_TRIGGER)
            self._forget(entry.reference)

    def _forget(self, reference: Reference) -> None:
        del self._entries[reference]
        namespace, name = reference.namespace, reference.name
        self._may_have_room(namespace)
        take_out(self._by_namespace, namespace, reference)
        take_out(self._by_object, (namespace, name), reference)
        if self._new.pop(reference, None) is None:
            self._forgotten.append(reference)

    def _begun(self, reference: Reference, now: float) -> Entry:
        trigger_spec, outcome = self._admitted(reference)
        if trigger_spec is None:
            abstention = abstention_of_unusable(dict(reference.metadata))
        else:
            abstention = abstention_of(trigger_spec)
        timed = TimedOutcome(outcome=outcome, read_at_seconds=now)
        entry = Entry(reference, trigger_spec, timed, now, self._clock, now, abstention=abstention)
        self._entries[reference] = self._new[reference] = entry
        self._may_have_room(reference.namespace)
        self._by_namespace[reference.namespace][reference] = entry
        self._by_object[reference.namespace, reference.name][reference] = entry
        self.arrived.set()
        return entry

    def _admitted(self, reference: Reference) -> tuple[TriggerSpec | None, Outcome]:
        try:
            trigger_spec = self._admit(reference.namespace, dict(reference.metadata))
        except MetadataError as error:
            exceeded(*error.limits)
            return None, Refusal(code=RefusalCode.INVALID, message=str(error))
        message = (
            f"no reading of model {trigger_spec.model!r} yet; asked for the first time just now"
        )
        return trigger_spec, Refusal(code=RefusalCode.UNAVAILABLE, message=message)

    def _is_silent(self, asked_at_seconds: float) -> bool:
        return self._clock() - asked_at_seconds > SILENT_SECONDS

    def _is_full(self, namespace: str) -> bool:
        """Whether there is no room for another object of this namespace."""
        most = self._of_namespace_max(namespace)
        in_it = len(self._by_namespace.get(namespace, ()))
        return in_it >= most or len(self._entries) >= self._objects_max

    def _may_have_room(self, namespace: str) -> None:
        """Its entries change: look through them again."""
        self._full_until.pop(namespace, None)
        self._all_full_until = -math.inf

    def _is_edit(self, reference: Reference, now: float) -> bool:
        """Whether this new trigger is an edit.

        The first triggers of a new object are none: their number is limited. Those that displace
        others are, because these have no end.
        """
        same = self._by_object.get((reference.namespace, reference.name), {}).values()
        known_since = min((entry.begun_at_seconds for entry in same), default=now)
        return now - known_since > NEW_SECONDS or len(same) >= OF_OBJECT_MAX

    def _check_edits(self, namespace: str) -> None:
        """Keep the edits of a namespace within their pace.

        Raises:
            BoardFullError: the namespace had too many lately.
        """
        wait_seconds = self._edits.wait_seconds(namespace)
        if wait_seconds > 0:
            exceeded(Limit.EDITS)
            message = (
                f"the objects of namespace {namespace!r} are edited without end: {A_MINUTE:g} "
                f"edits a minute are read, the next in {math.ceil(wait_seconds)} s"
            )
            raise BoardFullError(message)

    def _displaced(self, reference: Reference, now: float) -> Entry | None:
        """The entry that a new one takes the place of; None where there is room beside all.

        Raises:
            BoardFullError: there are as many objects as the namespace, or all, may have.
        """
        displaced = self._displaced_of_object(reference)
        if displaced is not None:
            exceeded(Limit.OBJECT_TRIGGERS)
            return displaced
        return self._displaced_beside(reference.namespace, now) or self._displaced_of_all(now)

    def _displaced_of_object(self, reference: Reference) -> Entry | None:
        """Its trigger that was asked about longest ago, if it has as many as it may."""
        same = self._by_object.get((reference.namespace, reference.name), {})
        if len(same) < OF_OBJECT_MAX:
            return None
        return min(same.values(), key=lambda entry: entry.asked_at_seconds)

    def _displaced_beside(self, namespace: str, now: float) -> Entry | None:
        """One of the same namespace, if it has as many objects as it may."""
        beside = self._by_namespace.get(namespace, {})
        most = self._of_namespace_max(namespace)
        if len(beside) < most:
            return None
        exceeded(Limit.NAMESPACE_TRIGGERS)
        if now >= self._full_until.get(namespace, -math.inf):
            oldest = min(beside.values(), key=lambda entry: entry.asked_at_seconds)
            if now - oldest.asked_at_seconds >= SUPERSEDED_SECONDS:
                return oldest
            self._full_until[namespace] = oldest.asked_at_seconds + SUPERSEDED_SECONDS
        message = (
            f"{len(beside)} objects of namespace {namespace!r} are known, its "
            f"limit (limits.objectsPerNamespaceMax, or tenants) is {most}"
        )
        raise BoardFullError(message)

    def _displaced_of_all(self, now: float) -> Entry | None:
        """One of a full board; one that was only adopted before any other."""
        if len(self._entries) < self._objects_max:
            return None
        exceeded(Limit.TRIGGERS)
        if now >= self._all_full_until:
            entries = self._entries.values()
            oldest = min(entries, key=lambda entry: (not entry.adopted, entry.asked_at_seconds))
            if oldest.adopted or now - oldest.asked_at_seconds >= SILENT_SECONDS:
                return oldest
            self._all_full_until = oldest.asked_at_seconds + SILENT_SECONDS
        message = (
            f"{len(self._entries)} objects are known, the limit (limits.objectsMax) is "
            f"{self._objects_max}: raise it, or shard by namespace"
        )
        raise BoardFullError(message)
