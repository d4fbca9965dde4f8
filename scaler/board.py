"""Every workload's current answer, in memory: all that an RPC may look at.

KEDA sets no deadline on its calls, and one that does not return blocks that ScaledObject for ever.
So a question never waits: it is answered from the board, and the loop that reads metrics and makes
plans publishes here at its own pace. An object is known by what KEDA sends: name, namespace and the
metadata; two triggers of one object, or one before and after an edit, are two entries.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from typing_extensions import override

from scaler.clock import Clock
from scaler.errors import ForesailError, MetadataError
from scaler.metadata import TriggerMetadata

COHERENT_SECONDS = 5.0
"""`IsActive` this soon after `GetMetrics` is the same poll, and gets the same answer."""
SUPERSEDED_SECONDS = 3600.0
"""An entry silent this long, while another of the same object is asked, was edited away."""
SILENT_SECONDS = 86400.0
"""Only when the board is full are entries this silent forgotten: silence may be a paused object."""
METADATA_CHARACTERS_MAX = 16_384


class RefusalCode(StrEnum):
    """Why there is no number; the service turns each into one gRPC status."""

    INVALID = "invalid"
    """The trigger's metadata cannot be used."""
    UNAVAILABLE = "unavailable"
    """No reading that may be used, or none for too long."""
    MISCONFIGURED = "misconfigured"
    """The metrics source refuses the question; somebody must change something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What KEDA is told."""

    replicas: int
    active: bool
    made_at_seconds: float
    """When the reading behind it was made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why KEDA is told nothing; its fallback counts these."""

    code: RefusalCode
    message: str


Outcome = Answer | Refusal


class BoardFullError(ForesailError):
    """As many objects are known as the operator's limits allow."""


@dataclass(frozen=True, slots=True)
class Reference:
    """How KEDA names a scaler."""

    namespace: str
    name: str
    metadata: tuple[tuple[str, str], ...]
    """Sorted by key, so that equal maps are equal."""

    @classmethod
    def of(cls, namespace: str, name: str, metadata: Mapping[str, str]) -> "Reference":
        return cls(namespace, name, tuple(sorted(metadata.items())))

    @override
    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(slots=True, eq=False)
class Entry:
    """One object's place on the board. Only the board writes it."""

    reference: Reference
    wishes: TriggerMetadata | None
    """None where the metadata cannot be used; the outcome says why."""
    outcome: Outcome
    asked_at_seconds: float
    clock: Clock
    answer_seconds_max: float
    listeners: set[Callable[[], object]] = field(default_factory=set)
    """Called after each publication: open streams, or the link to another process."""
    published_at_seconds: float | None = None
    _polled: tuple[float, Outcome] | None = None

    def publish(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.published_at_seconds = self.clock()
        for listener in tuple(self.listeners):
            listener()

    def current(self) -> Outcome:
        """The outcome, unless whoever publishes has been silent for too long."""
        if self.published_at_seconds is None:
            return self.outcome
        silent_seconds = self.clock() - self.published_at_seconds
        if silent_seconds <= self.answer_seconds_max:
            return self.outcome
        message = f"no plan was made for {silent_seconds:.0f} s: the planning process is not heard"
        return Refusal(code=RefusalCode.UNAVAILABLE, message=message)

    def polled(self) -> Outcome:
        """The outcome, remembered as what this poll was told."""
        self._polled = (self.clock(), self.current())
        return self._polled[1]

    def in_same_poll(self) -> Outcome:
        """What the poll under way was told, else the outcome."""
        if self._polled is not None and self.clock() - self._polled[0] <= COHERENT_SECONDS:
            return self._polled[1]
        return self.current()


class Board:
    """Entries by reference; asking about an unknown object makes it known."""

    def __init__(
        self,
        admit: Callable[[Mapping[str, str]], TriggerMetadata],
        *,
        clock: Clock,
        objects_max: int,
        answer_seconds_max: float,
    ) -> None:
        """Make an empty board.

        Args:
            admit: parses a trigger's metadata, or raises `MetadataError`.
            answer_seconds_max: how long an outcome stands when nothing newer is published.
        """
        self._admit = admit
        self._clock = clock
        self._objects_max = objects_max
        self._answer_seconds_max = answer_seconds_max
        self._new: list[Entry] = []
        self._entries: dict[Reference, Entry] = {}
        self.arrived = asyncio.Event()
        """Set while objects were asked about for the first time and nobody took them up."""

    def __iter__(self) -> Iterator[Entry]:
        return iter(tuple(self._entries.values()))

    def __len__(self) -> int:
        return len(self._entries)

    def ask(self, reference: Reference) -> Entry:
        """The entry of this object, made on the first question.

        Raises:
            BoardFullError: it is new and there is no room.
        """
        now = self._clock()
        entry = self._entries.get(reference)
        if entry is None:
            entry = self._first_question(reference, now)
        entry.asked_at_seconds = now
        return entry

    def adopt(self, reference: Reference, answer: Answer | None, asked_at_seconds: float) -> None:
        """Make an object known that KEDA asked another process about; that was no question here.

        Its answer stands until there is a newer one, as old as its reading. An object that is known
        here keeps its own; where there is no room it stays unknown.
        """
        now = self._clock()
        entry = self._entries.get(reference)
        if entry is None:
            try:
                entry = self._first_question(reference, now)
            except BoardFullError:
                return
            entry.asked_at_seconds = asked_at_seconds
            if answer is not None and entry.wishes is not None:
                entry.outcome = answer
                entry.published_at_seconds = min(now, answer.made_at_seconds)
        entry.asked_at_seconds = max(entry.asked_at_seconds, min(now, asked_at_seconds))

    def known(self, reference: Reference) -> Entry | None:
        """The entry, if the object was ever asked about; this is no question."""
        return self._entries.get(reference)

    def take_arrivals(self) -> list[Entry]:
        """Entries that are new since the last call."""
        new, self._new = self._new, []
        self.arrived.clear()
        return new

    def find(self, namespace: str, name: str) -> list[Entry]:
        """All entries of one ScaledObject, the last asked first."""
        found = [
            entry
            for entry in self._entries.values()
            if (entry.reference.namespace, entry.reference.name) == (namespace, name)
        ]
        return sorted(found, key=lambda entry: -entry.asked_at_seconds)

    def forget_superseded(self) -> list[Entry]:
        """Drop entries that an edit of their object's metadata left behind, and name them."""
        now = self._clock()
        newest: dict[tuple[str, str], float] = {}
        for entry in self:
            key = (entry.reference.namespace, entry.reference.name)
            newest[key] = max(newest.get(key, 0.0), entry.asked_at_seconds)
        dropped = [
            entry
            for entry in self
            if now - entry.asked_at_seconds > SUPERSEDED_SECONDS
            and newest[(entry.reference.namespace, entry.reference.name)] > entry.asked_at_seconds
        ]
        for entry in dropped:
            del self._entries[entry.reference]
        return dropped

    def _first_question(self, reference: Reference, now: float) -> Entry:
        if len(self._entries) >= self._objects_max:
            self._make_room(now)
        wishes, outcome = self._admitted(reference)
        entry = Entry(reference, wishes, outcome, now, self._clock, self._answer_seconds_max)
        self._entries[reference] = entry
        self._new.append(entry)
        self.arrived.set()
        return entry

    def _admitted(self, reference: Reference) -> tuple[TriggerMetadata | None, Outcome]:
        try:
            wishes = self._admit(dict(reference.metadata))
        except MetadataError as error:
            return None, Refusal(code=RefusalCode.INVALID, message=str(error))
        message = f"no reading of model {wishes.model!r} yet; asked for the first time just now"
        return wishes, Refusal(code=RefusalCode.UNAVAILABLE, message=message)

    def _make_room(self, now: float) -> None:
        oldest = min(self._entries.values(), key=lambda entry: entry.asked_at_seconds)
        if now - oldest.asked_at_seconds < SILENT_SECONDS:
            message = (
                f"{len(self._entries)} objects are known, the limit (limits.objectsMax) is "
                f"{self._objects_max}: raise it, or shard by namespace"
            )
            raise BoardFullError(message)
        del self._entries[oldest.reference]
