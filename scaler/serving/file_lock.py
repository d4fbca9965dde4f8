"""A lock that makes one process the only writer of a folder, until the process ends."""

import fcntl
import os
from pathlib import Path


def locked(path: Path, *, taken: str) -> int:
    """Lock a file, which is made if it is missing; returns what to close to release it.

    Args:
        taken: says what it means that another process has the lock.

    Raises:
        BlockingIOError: another process has it.
        OSError: the file cannot be opened.
    """
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise BlockingIOError(error.errno, taken, str(path.parent)) from error
    except OSError:
        os.close(lock)
        raise
    return lock
