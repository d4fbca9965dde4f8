"""Slots by source: a source that hangs uses up its own slots and delays no feed of another."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


class InTurn:
    """Slots that the namespaces which wait get in turn, and within one the first to come.

    Where one namespace has hundreds of slow looks, the look of another waits for one of them.
    `scaler.sources.turns.Turns` is the same for threads, with one slot.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: OrderedDict[str | None, _Line] = OrderedDict()
        """The namespace whose turn is next first."""
        self._one_is_free = asyncio.Event()
        self._one_is_free.set()

    def locked(self) -> bool:
        """Whether all are held."""
        return not self._free

    async def until_free(self) -> None:
        """Wait until one is free, and do not take it: for work that comes after all that waits."""
        while not self._free:
            await self._one_is_free.wait()

    @asynccontextmanager
    async def slot(self, namespace: str | None, *, ahead: bool = False) -> AsyncIterator[None]:
        """Hold a slot.

        Args:
            namespace: of the look.
            ahead: whether it comes before those of its namespace that wait.
        """
        if self._free:
            self._free -= 1
            if not self._free:
                self._one_is_free.clear()
        else:
            await self._wait(namespace, ahead=ahead)
        try:
            yield
        finally:
            self._give()

    async def _wait(self, namespace: str | None, *, ahead: bool) -> None:
        given = asyncio.Event()
        line = self._waiting.setdefault(namespace, _Line())
        (line.ahead if ahead else line.others).append(given)
        try:
            await given.wait()
        except asyncio.CancelledError:
            if given.is_set():
                self._give()
            else:
                self._leave(namespace, given)
            raise

    def _leave(self, namespace: str | None, given: asyncio.Event) -> None:
        line = self._waiting[namespace]
        (line.ahead if given in line.ahead else line.others).remove(given)
        if line.is_empty():
            del self._waiting[namespace]

    def _give(self) -> None:
        if not self._waiting:
            self._free += 1
            self._one_is_free.set()
            return
        namespace, line = self._waiting.popitem(last=False)
        (line.ahead or line.others).popleft().set()
        if not line.is_empty():
            self._waiting[namespace] = line  # behind the others


@dataclass(slots=True, eq=False)
class _Line:
    """Those of one namespace that wait; in each part the first to come is the next."""

    ahead: deque[asyncio.Event] = field(default_factory=deque)
    others: deque[asyncio.Event] = field(default_factory=deque)

    def is_empty(self) -> bool:
        return not self.ahead and not self.others


class NewestFirst:
    """Slots that namespaces get in turn, and within one the newest of those waiting.

    A past is read in many seconds, and thousands may wait for it: the objects that KEDA asks about
    come before those that it asked about yesterday. So the newest is first among namespaces whose
    last turn is equally long ago, too, and of equally new ones the last to come.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: list[_Waiting] = []
        self._last_turns: dict[str | None, int] = {}
        """Namespace → the number of its last turn, while any waits; else it could have the next one
        again as soon as it has none that waits."""
        self._turns = 0

    @asynccontextmanager
    async def slot(
        self, namespace: str | None, asked_at: Callable[[], float]
    ) -> AsyncIterator[None]:
        """Hold a slot.

        Args:
            namespace: of the feed.
            asked_at: how new the waiting one is; called whenever a slot becomes free.
        """
        if self._free:
            self._free -= 1
            self._note_turn(namespace)
        else:
            await self._wait(_Waiting(namespace, asked_at))
        try:
            yield
        finally:
            self._give()

    async def _wait(self, waiting: "_Waiting") -> None:
        self._waiting.append(waiting)
        try:
            await waiting.given.wait()
        except asyncio.CancelledError:
            if waiting.given.is_set():
                self._give()
            else:
                self._waiting.remove(waiting)
            raise

    def _give(self) -> None:
        if not self._waiting:
            self._free += 1
            self._last_turns.clear()
            return
        following = min(reversed(self._waiting), key=self._place_of)
        self._waiting.remove(following)
        self._note_turn(following.namespace)
        following.given.set()

    def _place_of(self, waiting: "_Waiting") -> tuple[int, float]:
        return self._last_turns.get(waiting.namespace, 0), -waiting.asked_at()

    def _note_turn(self, namespace: str | None) -> None:
        self._turns += 1
        self._last_turns[namespace] = self._turns


@dataclass(slots=True, eq=False)
class _Waiting:
    namespace: str | None
    asked_at: Callable[[], float]
    given: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True)
class Slots:
    """The limits on what is read from one source at a time."""

    looks: InTurn
    restores: NewestFirst


class SourceSlots:
    """The slots of every source that is in use."""

    def __init__(self, *, looks_at_once: int, restores_at_once: int) -> None:
        self._looks_at_once = looks_at_once
        self._restores_at_once = restores_at_once
        self._by_source: dict[str, Slots] = {}

    def of(self, source: str) -> Slots:
        slots = self._by_source.get(source)
        if slots is None:
            slots = self._by_source[source] = Slots(
                InTurn(self._looks_at_once), NewestFirst(self._restores_at_once)
            )
        return slots

    def keep(self, sources: Collection[str]) -> None:
        """Drop all others, such as the old `serverAddress` of an edited trigger."""
        self._by_source = {name: s for name, s in self._by_source.items() if name in sources}
