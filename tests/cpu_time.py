"""How much of a processor some work takes, whatever else the machine and the process do."""

from collections.abc import Callable
from time import thread_time

_TIMES = 3


def cpu_seconds(work: Callable[[], object]) -> float:
    """Of this thread, for the quickest of three runs.

    A collection of garbage that falls into a run, a first import and a cold cache only add to it.
    """
    taken = []
    for _ in range(_TIMES):
        begun = thread_time()
        work()
        taken.append(thread_time() - begun)
    return min(taken)
