"""Threads in which a source makes observations, because the event loop must turn meanwhile."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from scaler.errors import SourceUnavailableError
from scaler.signals import Observation


class LookThreads:
    """The threads of one source, which its feeds share."""

    def __init__(self, count: int, *, prefix: str, source: str) -> None:
        """Start them when they are needed.

        Args:
            count: how many at most.
            prefix: of their names.
            source: its name, for messages.
        """
        self.source = source
        self._threads = ThreadPoolExecutor(count, f"{prefix}-{source}")

    def submit(self, work: Callable[[], Observation]) -> Future[Observation]:
        """Begin work in a thread.

        Raises:
            SourceUnavailableError: the source is closed.
        """
        try:
            return self._threads.submit(work)
        except RuntimeError as error:  # a forgotten feed may still have begun to read
            raise SourceUnavailableError(f"source {self.source!r}: closed") from error

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


class OneLook:
    """The work of one feed, one at a time: its reader keeps state between two looks."""

    def __init__(self, threads: LookThreads, what: str) -> None:
        """Begin idle.

        Args:
            threads: of the source.
            what: is read, for messages.
        """
        self._threads = threads
        self._what = what
        self._newest: Future[Observation] | None = None

    def refuse_while_busy(self) -> None:
        """Let no look begin while the last one is still computed.

        Raises:
            SourceUnavailableError: it is.
        """
        if self._newest is not None and not self._newest.done():
            raise SourceUnavailableError(
                f"source {self._threads.source!r}: its last {self._what} are still being read"
            )

    async def made(self, work: Callable[[], Observation]) -> Observation:
        """The observation that the work makes."""
        self._newest = self._threads.submit(work)
        # Shielded: a thread cannot be ended, and the next look has to know of it.
        return await asyncio.shield(asyncio.wrap_future(self._newest))
