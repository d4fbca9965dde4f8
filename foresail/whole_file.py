"""Files that are replaced whole: a crash or a full disk leaves the old one or the new one."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISREG


def bytes_of(file: Path, most: int) -> bytes:
    """The content, and no more of it than one byte beyond `most`.

    Raises:
        OSError: it cannot be read, or is no file: a named pipe would be waited for without end.
    """
    if not S_ISREG(file.stat().st_mode):
        raise OSError("it is no regular file")
    with file.open("rb") as opened:
        return opened.read(most + 1)


def replace_file(file: Path, content: bytes) -> None:
    """Write the content in place of what is there.

    Raises:
        OSError: it cannot be written; what was there stays.
    """
    # Of a name of its own: two processes must not write into the same one.
    beside = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        beside.replace(file)
    except OSError:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise


@contextmanager
def only_writer(file: Path) -> Iterator[None]:
    """Be the only process that writes the file, by a lock that ends with the process.

    Raises:
        BlockingIOError: another process has it.
        OSError: a file beside it cannot be made.
    """
    lock = os.open(
        file.with_name(f"{file.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
    )
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(lock)
