"""Common parts of the answering processes: signals to stop, and the end on a fault."""

import asyncio
import gc
import resource
import signal
from typing import Final

import structlog

log = structlog.get_logger()

_OPEN_FILES: Final = 10_240
"""macOS allows no more."""
_OWN_FILES: Final = 256
"""Left to a process beside its clients: for sources, states and other processes."""
FULL_PASS_SECONDS: Final = 120.0
_NEVER: Final = 2**31 - 1


def stop_signalled() -> asyncio.Event:
    """Set once the process gets SIGTERM or SIGINT."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    # Its default ends the process at once, without a drain.
    loop.add_signal_handler(signal.SIGHUP, _refuse_reload)
    return stop


def _refuse_reload() -> None:
    log.warning(
        "sighup_refused",
        why="settings are read at the start: restart with SIGTERM; certificates and secrets are "
        "read again by themselves",
    )


def end_on_fault(task: asyncio.Task[None]) -> None:
    """For `add_done_callback`: a fault in the task stops the process, as SIGTERM would.

    Without the task the process would keep sending old answers; a restarted one recovers.
    """
    if not task.cancelled() and task.exception() is not None:
        log.error("task_ended", task=task.get_name(), error=repr(task.exception()))
        signal.raise_signal(signal.SIGTERM)


def raise_open_files(of_clients: int) -> None:
    """Let this process and those that it starts open 10,240 files, or as many as they may.

    The soft limit is often 1,024, for programs that use `select`.

    Args:
        of_clients: connections that the clients of one process may take. Where they leave too few
            files to the process itself, the log says so.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    if soft != resource.RLIM_INFINITY and soft < of_clients + _OWN_FILES:
        log.warning(
            "open_files_few",
            limit=soft,
            connections=of_clients,
            why=f"clients that take all connections leave fewer than {_OWN_FILES} files to the "
            "sources and to health: raise the hard limit of open files, or use fewer ports",
        )


def spare_collector() -> None:
    """Keep the garbage collector off the answers, but for short passes; call `collect_seldom` too.

    What was made until now stays. A call leaves some seven objects to the collector: a pass over
    1,000 takes 0.4 ms, one over 10,000 2.2 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(1_000, 50, _NEVER)


async def collect_seldom() -> None:
    """Make the garbage collector's full passes every `FULL_PASS_SECONDS`, to the process's end.

    By itself the collector makes one whenever the old objects grew by a quarter, and looks make
    many that are old soon: with 2,000 workloads a pass of 0.2 s, which holds every thread, every
    six seconds. What is no part of a cycle is freed without it, and young cycles too. Old ones are
    left by libraries, such as asyncio's of each connection that ended.
    """
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, _NEVER)
    while True:
        await asyncio.sleep(FULL_PASS_SECONDS)
        _ = gc.collect()
