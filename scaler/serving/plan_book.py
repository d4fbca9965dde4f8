"""Which workload changed when, for readers of plans that each go at their own pace.

The planning cycle notes every change here. The book keeps no plan: a reader takes the newest one
when its connection has room. So a reader's queue holds each workload once, with the version of its
first change that was not taken yet, and a slow reader costs the cycle no more than a fast one. A
workload that changes again keeps its place in the queue; else a slow reader would get the same few
for ever.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from typing_extensions import override

from scaler.decision.answers import Reference
from scaler.errors import ForesailError

REMOVALS_MAX: Final = 1000
"""Removed workloads that are remembered; a reader that missed more begins anew."""
_DIGITS_MAX: Final = 19

Wants = Callable[[Reference], bool]


class PlanChanges(Protocol):
    """The planning cycle's port to readers of plans."""

    def changed(self, reference: Reference) -> None:
        """A workload has become known, or there is a new result of a look at it."""
        ...

    def removed(self, reference: Reference) -> None: ...


class NoReaders(PlanChanges):
    """For a process that serves no plans: the demo, replay, a backtest."""

    @override
    def changed(self, reference: Reference) -> None:
        pass

    @override
    def removed(self, reference: Reference) -> None:
        pass


class UnknownVersionError(ForesailError):
    """A version or page token that this API never gave out."""


class OldPageTokenError(ForesailError):
    """A page token of an earlier life of the process, or of another replica."""


@dataclass(slots=True, eq=False)
class Reader:
    """One reader's queue. Only the book adds to it."""

    wants: Wants
    queue: OrderedDict[Reference, int] = field(default_factory=OrderedDict)
    """Workload → its first change that was not taken, oldest first."""
    begins: bool | None = None
    """Whether the reading begins anew, with all workloads (True) or with the changes since a
    version (False); None = it goes on."""
    begun_at: int = 0
    """The book's version when it began."""
    closed: bool = False
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    def take_begin(self) -> bool | None:
        """How the reading begins, if it does."""
        begins, self.begins = self.begins, None
        return begins

    def take(self) -> Reference | None:
        """The next workload to send; None while there is nothing to send."""
        return self.queue.popitem(last=False)[0] if self.queue else None

    def synced(self) -> bool:
        """Whether all that was there at the beginning was taken."""
        return next(iter(self.queue.values()), self.begun_at + 1) > self.begun_at

    def wake(self) -> None:
        self._wake.set()

    async def changes(self) -> None:
        """Wait until there may be something to take, or the book is closed."""
        await self._wake.wait()
        self._wake.clear()


class PlanBook(PlanChanges):
    """The versions of all workloads, and the readers' queues."""

    def __init__(self, *, instance: str, removals_max: int = REMOVALS_MAX) -> None:
        """Begin without workloads.

        Args:
            instance: a random name of this life of the process: versions of another are unknown.
        """
        self._instance = instance
        self._removals_max = removals_max
        self._version = 0
        self._arrivals = 0
        self._arrived: dict[Reference, int] = {}
        """Workload → the number of its arrival, in order."""
        self._changed: dict[Reference, int] = {}
        """Workload → the version of its last change, oldest first."""
        self._removed: OrderedDict[Reference, int] = OrderedDict()
        self._removals_known_from = 0
        """Removals up to this version may be forgotten."""
        self._readers: set[Reader] = set()

    @property
    def readers(self) -> int:
        return len(self._readers)

    # The planning cycle's side.

    @override
    def changed(self, reference: Reference) -> None:
        self._version += 1
        if reference not in self._arrived:
            self._arrivals += 1
            self._arrived[reference] = self._arrivals
            self._removed.pop(reference, None)
        self._changed.pop(reference, None)
        self._changed[reference] = self._version
        self._tell(reference)

    @override
    def removed(self, reference: Reference) -> None:
        if self._arrived.pop(reference, None) is None:
            return
        self._version += 1
        del self._changed[reference]
        self._removed[reference] = self._version
        if len(self._removed) > self._removals_max:
            _, self._removals_known_from = self._removed.popitem(last=False)
        self._tell(reference)

    def _tell(self, reference: Reference) -> None:
        for reader in self._readers:
            if reader.wants(reference):
                reader.queue.setdefault(reference, self._version)
                if len(reader.queue) > len(self._arrived) + self._removals_max:
                    # Workloads came and went while the reader took none of them.
                    self._begin_anew(reader)
                reader.wake()

    # The readers' side.

    def after(self, token: str | None, wants: Wants) -> list[tuple[Reference, str]]:
        """Workloads in the order of their arrival, each with the token of those that follow it.

        Args:
            token: only those that follow it; None = all.

        Raises:
            UnknownVersionError: `token` is no token.
            OldPageTokenError: it is of another instance.
        """
        after = 0
        if token is not None:
            instance, after = _parsed(token)
            if instance != self._instance:
                raise OldPageTokenError("the server was started again: begin with the first page")
        return [
            (one, f"{self._instance}.{number}")
            for one, number in self._arrived.items()
            if number > after and wants(one)
        ]

    def open(self, wants: Wants, *, version: str | None) -> Reader:
        """A new reader, from the beginning or from a version that an earlier one was given.

        Raises:
            UnknownVersionError: `version` is no version.
        """
        since = None if version is None else self._since(version)
        reader = Reader(wants)
        if since is None:
            self._begin_anew(reader)
        else:
            reader.begins, reader.begun_at = False, self._version
            reader.queue = OrderedDict(self._after(since, wants))
        self._readers.add(reader)
        return reader

    def leave(self, reader: Reader) -> None:
        self._readers.discard(reader)

    def close(self) -> None:
        """End every reading."""
        for reader in self._readers:
            reader.closed = True
            reader.wake()

    def position(self, reader: Reader) -> str:
        """The version up to which the reader has taken everything."""
        first_untaken = next(iter(reader.queue.values()), self._version + 1)
        return f"{self._instance}.{first_untaken - 1}"

    def _begin_anew(self, reader: Reader) -> None:
        reader.begins, reader.begun_at = True, self._version
        reader.queue = OrderedDict(
            (one, version) for one, version in self._changed.items() if reader.wants(one)
        )

    def _since(self, version: str) -> int | None:
        """The number in a version; None where changes since then are not known."""
        instance, since = _parsed(version)
        known = self._removals_known_from <= since <= self._version
        return since if instance == self._instance and known else None

    def _after(self, since: int, wants: Wants) -> Iterator[tuple[Reference, int]]:
        """Changes and removals after a version, oldest first."""
        both = {**self._changed, **self._removed}
        for reference, version in sorted(both.items(), key=lambda one: one[1]):
            if version > since and wants(reference):
                yield reference, version


def _parsed(text: str) -> tuple[str, int]:
    instance, _, digits = text.rpartition(".")
    if not (instance and digits.isascii() and digits.isdigit() and len(digits) <= _DIGITS_MAX):
        raise UnknownVersionError(f"{text[:120]!r} was never given out here")
    return instance, int(digits)
