"""Independent pieces of work, spread over the cores of this machine or wherever a `Spread` does it.

What all pieces share is sent once, because a trace is large compared with one piece.
"""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from multiprocessing.connection import Connection
from threading import Thread
from typing import Any, Protocol, TypeVar

Shared = TypeVar("Shared")
Piece = TypeVar("Piece")
Outcome = TypeVar("Outcome")


class Spread(Protocol):
    """Does the work on every piece, in any order."""

    def __call__(
        self,
        shared: Shared,
        work: Callable[[Shared, Piece], Outcome],
        pieces: Sequence[Piece],
        /,
    ) -> Iterator[tuple[Piece, Outcome]]: ...


def on_local_cores(
    shared: Shared, work: Callable[[Shared, Piece], Outcome], pieces: Sequence[Piece]
) -> Iterator[tuple[Piece, Outcome]]:
    """In a process for each core; a single piece, or all on a single core, in this process."""
    workers = min(os.cpu_count() or 1, len(pieces))
    if workers <= 1:
        for piece in pieces:
            yield piece, work(shared, piece)
        return
    # A process that was forked off threads may hang; one that is spawned reads no state of ours.
    context = get_context("spawn")
    worker_end, main_end = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(workers, context, _take, (shared, worker_end))
    try:
        runs = {pool.submit(_do, work, piece): piece for piece in pieces}
        for run in as_completed(runs):
            yield runs[run], run.result()
    finally:
        # An interrupted caller does not wait for the pieces that were begun.
        main_end.close()
        pool.shutdown(cancel_futures=True)


_shared: Any = None
"""Of a worker process."""


def _take(shared: object, worker_end: Connection) -> None:
    global _shared  # noqa: PLW0603 - a process pool has no other way to hand something over once
    _shared = shared
    # Ctrl-C reaches all processes of a terminal: the first of them ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with, args=(worker_end,), daemon=True).start()


def _end_with(worker_end: Connection) -> None:
    """Exit as soon as the other end is closed, on purpose or because its process has ended."""
    worker_end.poll(None)
    os._exit(1)


def _do(work: Callable[[Any, Piece], Outcome], piece: Piece) -> Outcome:
    return work(_shared, piece)
