"""Threads in which sources make observations, because the event loop must turn meanwhile.

Their work is computing, and Python computes in one thread at a time. So a namespace has one of them
at a time, and namespaces get them in turn: one with slow pages delays none of another.
"""

import asyncio
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from scaler.errors import SourceUnavailableError, alone
from scaler.signals import Observation


@dataclass(slots=True)
class _Work:
    make: Callable[[], Observation]
    made: Future[Observation] = field(default_factory=Future)

    def do(self) -> None:
        if not self.made.set_running_or_notify_cancel():
            return
        try:
            self.made.set_result(self.make())
        except BaseException as error:  # noqa: BLE001 - whoever waits for it gets it
            self.made.set_exception(alone(error))  # a feed keeps it until its next look


THREADS: Final = 4
"""In the process."""


class LookThreads:
    """The threads of a process's sources, which their feeds share."""

    def __init__(self, count: int = THREADS) -> None:
        """Start them when they are needed.

        Args:
            count: how many at most.
        """
        self._threads = ThreadPoolExecutor(count, "looks")
        self._lock = threading.Lock()
        self._waiting: OrderedDict[str | None, deque[_Work]] = OrderedDict()
        """Of each namespace, the one whose turn is next first."""
        self._at_work: set[str | None] = set()

    def submit(self, namespace: str | None, make: Callable[[], Observation]) -> Future[Observation]:
        """Begin work for a namespace in a thread, once it is its turn.

        Raises:
            SourceUnavailableError: they are closed.
        """
        work = _Work(make)
        with self._lock:
            self._waiting.setdefault(namespace, deque()).append(work)
            is_at_work = namespace in self._at_work
        if not is_at_work:  # else the thread that is at work for it goes on with this
            try:
                self._threads.submit(self._run)
            except RuntimeError as error:  # a forgotten feed may still have begun to read
                raise SourceUnavailableError("the sources are closed") from error
        return work.made

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            waiting = [work for line in self._waiting.values() for work in line]
            self._waiting.clear()
        for work in waiting:
            work.made.cancel()

    def _run(self) -> None:
        """Do what waits, for one namespace after the other, until there is nothing to do."""
        while (item := self._next()) is not None:
            namespace, work = item
            work.do()
            del item, work  # with it goes what it read
            with self._lock:
                self._at_work.discard(namespace)

    def _next(self) -> tuple[str | None, _Work] | None:
        """The namespace whose turn it is, now at work, and what to do for it."""
        with self._lock:
            idle = [one for one in self._waiting if one not in self._at_work]
            if not idle:
                return None
            namespace = idle[0]
            line = self._waiting[namespace]
            self._at_work.add(namespace)
            work = line.popleft()
            if line:
                self._waiting.move_to_end(namespace)
            else:
                del self._waiting[namespace]
            return namespace, work


class OneLook:
    """The work of one feed, one at a time: its reader keeps state between two looks."""

    def __init__(
        self, threads: LookThreads, what: str, *, namespace: str | None, source: str
    ) -> None:
        """Begin idle.

        Args:
            threads: of all sources.
            what: is read, for messages.
            namespace: that it is read for.
            source: its name, for messages.
        """
        self._threads = threads
        self._source = source
        self._what = what
        self._namespace = namespace
        self._newest: Future[Observation] | None = None

    def refuse_while_busy(self) -> None:
        """Let no look begin while the last one is still computed.

        Raises:
            SourceUnavailableError: it is.
        """
        if self._newest is not None and not self._newest.done():
            raise SourceUnavailableError(
                f"source {self._source!r}: its last {self._what} are still being read"
            )

    async def made(self, make: Callable[[], Observation]) -> Observation:
        """The observation that the work makes."""
        newest = self._newest = self._threads.submit(self._namespace, make)
        try:
            # Shielded: a thread cannot be ended, and the next look has to know of it.
            return await asyncio.shield(asyncio.wrap_future(newest))
        except asyncio.CancelledError:
            newest.cancel()  # nobody waits for it any more, if it has not begun
            raise

    def when_done(self, let_go: Callable[[], None]) -> None:
        """Let go of what is read once the thread is done with it."""
        if self._newest is None:
            let_go()
        else:
            self._newest.add_done_callback(lambda _: let_go())
