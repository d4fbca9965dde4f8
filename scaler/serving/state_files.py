"""States in a directory: one file of all workloads, and sixty-four of feeds.

A file is replaced whole: it is written beside the old one, flushed to the disk and renamed. Only
the workloads' file is also appended to, because replicas sent to KEDA must survive a crash a second
later. All functions block, and are called in a thread.

One process writes into a directory at a time, with a lock that the kernel releases when the process
dies. Reading needs no lock.
"""

import errno
import os
import stat
from collections.abc import Collection, Iterable
from hashlib import sha256
from io import FileIO
from pathlib import Path
from typing import BinaryIO, Final

import structlog

from scaler.serving.file_lock import locked
from scaler.state.feed_bytes import FEED_BYTES_MAX
from scaler.state.frames import FILE_BYTES_MAX, MAGIC, Frame, frame_bytes, frames_in
from scaler.state.records import StateRefusedError
from scaler.state.workload_bytes import WORKLOAD_BYTES_MAX

log = structlog.get_logger()

SLICES: Final = 64
"""How many files hold the feeds, so that one write covers a sixty-fourth of all."""
KEPT_SECONDS: Final = 86_400.0
"""How long the state of a feed without workloads is kept: its object may be paused."""
KEPT_MAX: Final = 20
"""Such states kept in one slice, the newest: over a thousand in all, in 150 MiB."""
_WORKLOADS: Final = "workloads.state"


class StateFiles:
    """A directory of states."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._lock: int | None = None
        self._places: dict[int, tuple[tuple[int, int], dict[str, tuple[int, int]]]] = {}

    def acquire(self) -> None:
        """Become the only process that writes here; removes half-written files of an earlier one.

        Raises:
            OSError: the directory cannot be written to, or another process has it.
        """
        if self._lock is not None:
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        lock = locked(self.directory / "lock", taken="another process keeps its states here")
        try:
            for left in self.directory.glob("*.tmp"):
                left.unlink()
        except OSError:
            os.close(lock)
            raise
        self._lock = lock

    def release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def read_workloads(self) -> list[Frame]:
        """All workloads' states, in the order in which they were written.

        Raises:
            OSError: the file is there and cannot be read.
        """
        return self._read(self.directory / _WORKLOADS, WORKLOAD_BYTES_MAX)

    def append_workloads(self, frames: Iterable[Frame]) -> int:
        """Append newer states; returns the size of the file."""
        content = b"".join(map(frame_bytes, frames))
        with (self.directory / _WORKLOADS).open("ab", buffering=0) as file:
            size = file.tell()
            if size == 0:
                content = MAGIC + content
            try:
                _write_all(file, content)
            except OSError:
                # A reader ignores everything after a half-written state.
                file.truncate(size)
                raise
            return size + len(content)

    def replace_workloads(self, frames: Iterable[Frame]) -> int:
        """Replace the file by these states; returns its size."""
        return self._replace(self.directory / _WORKLOADS, frames)

    def read_feed(self, key: str) -> bytes | None:
        """One feed's state; None without one.

        Raises:
            OSError: its file is there and cannot be read.
        """
        number = slice_of(key)
        try:
            with _regular(self._feeds_path(number)) as file:
                places = self._places_in(number, file)
                if name_of(key) not in places:
                    return None
                start, length = places[name_of(key)]
                file.seek(start)
                return file.read(length)
        except FileNotFoundError:
            return None

    def write_feeds(
        self,
        number: int,
        states: Iterable[Frame],
        *,
        now_seconds: float,
        left: Collection[str] = frozenset(),
    ) -> None:
        """Replace a slice by these states and the kept ones of feeds without workloads.

        Args:
            left: names of feeds whose states on disk, if there are any, stay as they are.
        """
        newest = {frame.name: frame for frame in states}
        path = self._feeds_path(number)
        try:
            before = self._read(path, FEED_BYTES_MAX)
        except OSError:
            before = []
        others = [
            frame
            for frame in before
            if frame.name not in newest
            and (frame.name in left or 0 <= now_seconds - frame.at_seconds <= KEPT_SECONDS)
        ]
        others.sort(key=lambda frame: -frame.at_seconds)
        kept = [frame for frame in others if frame.name in left]
        kept += [frame for frame in others if frame.name not in left][:KEPT_MAX]
        frames = [*newest.values(), *kept]
        if frames:
            self._replace(path, frames)
        else:
            path.unlink(missing_ok=True)

    def _feeds_path(self, number: int) -> Path:
        return self.directory / f"feeds-{number:02}.state"

    def _places_in(self, number: int, file: BinaryIO) -> dict[str, tuple[int, int]]:
        """The position of each feed's state in a slice; computed once for a file."""
        stat = os.fstat(file.fileno())
        stamp = (stat.st_mtime_ns, stat.st_ino)
        known = self._places.get(number)
        if known is not None and known[0] == stamp:
            return known[1]
        places, end = {}, len(MAGIC)
        for frame in _frames(file, FEED_BYTES_MAX):
            end += frame.size
            places[frame.name] = (end - len(frame.payload), len(frame.payload))
        self._places[number] = (stamp, places)
        return places

    def _read(self, path: Path, payload_bytes_max: int) -> list[Frame]:
        try:
            with _regular(path) as file:
                return _frames(file, payload_bytes_max)
        except FileNotFoundError:
            return []

    def _replace(self, path: Path, frames: Iterable[Frame]) -> int:
        beside = path.with_suffix(".tmp")
        try:
            with beside.open("wb") as file:
                file.write(MAGIC)
                for frame in frames:
                    file.write(frame_bytes(frame))
                size = file.tell()
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        except OSError:
            beside.unlink(missing_ok=True)
            raise
        return size


def name_of(key: str) -> str:
    """A feed's name in a file: a key holds a tenant's metadata and may be long."""
    return sha256(key.encode()).hexdigest()


def _regular(path: Path) -> BinaryIO:
    """Open a file for reading; a FIFO or a device would be waited for without end.

    Raises:
        OSError: it is not there, or no regular file.
    """
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))  # noqa: SIM115 Path.open takes no opener, and the caller closes
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return file


def slice_of(key: str) -> int:
    return int(name_of(key)[:2], 16) % SLICES


def _write_all(file: FileIO, content: bytes) -> None:
    if file.write(content) != len(content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), file.name)


def _frames(file: BinaryIO, payload_bytes_max: int) -> list[Frame]:
    """The whole frames from the beginning of a file; the fault that ends them is logged."""
    frames: list[Frame] = []
    content = file.read(FILE_BYTES_MAX + 1)
    try:
        for frame in frames_in(content, payload_bytes_max=payload_bytes_max):
            frames.append(frame)  # noqa: PERF402 frames before a fault are kept
    except StateRefusedError as error:
        log.warning("state_refused", file=file.name, reason=error.reason.value, why=str(error))
    return frames
