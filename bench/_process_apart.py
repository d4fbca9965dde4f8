"""A server in a process of its own, so that what it costs is not counted with what is measured."""

import contextlib
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from multiprocessing.queues import SimpleQueue
from typing import TypeVar

T = TypeVar("T")


@contextlib.contextmanager
def served_apart(serve: Callable[[T, "SimpleQueue[int]"], None], subject: T) -> Iterator[int]:
    """The port of a server that runs until the block ends, in a process named after its module.

    Args:
        serve: runs in the new process; it is given `subject`, and the queue that takes its port.
    """
    context = get_context("spawn")
    ports = context.SimpleQueue()
    name = serve.__module__.rpartition("._")[2]
    process = context.Process(target=serve, args=(subject, ports), name=name, daemon=True)
    process.start()
    try:
        yield ports.get()
    finally:
        process.terminate()
        process.join()
