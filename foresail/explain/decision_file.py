"""The SQLite file of decisions: opened by one process, and set aside where it is of no use.

The process has a lock beside the file. All functions block.
"""

import os
import sqlite3
from pathlib import Path
from typing import Final

import structlog

from scaler.serving.file_lock import locked

log = structlog.get_logger()

_VERSION: Final = 1
_NOT_A_FILE_OF_OURS: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_PRIMARY: Final = 0xFF
"""The primary code within SQLite's extended ones."""
_LOCKED_SECONDS: Final = 0.5
"""How long a write waits for somebody's SQLite shell."""
_JOURNAL_BYTES: Final = 4 * 2**20
"""Of SQLite's log beside the file, after a large write."""
_TABLES: Final = """
CREATE TABLE runs (id INTEGER PRIMARY KEY, begun REAL NOT NULL, until REAL NOT NULL);
CREATE TABLE dictionaries (id INTEGER PRIMARY KEY, content BLOB NOT NULL);
CREATE TABLE decisions (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    dictionary INTEGER NOT NULL,
    workload TEXT NOT NULL,
    trigger TEXT NOT NULL,
    at REAL NOT NULL,
    account BLOB
);
CREATE INDEX decisions_by_workload ON decisions (workload, trigger, at);
CREATE INDEX decisions_by_time ON decisions (at);
"""


class OtherVersionError(Exception):
    """The file is of a Foresail that writes it in another way."""


class DecisionFile:
    """The file in one folder, and the lock that makes it this process's own."""

    def __init__(self, directory: Path, *, size_bytes: int) -> None:
        self.path = directory / "decisions.sqlite"
        self._size_bytes = size_bytes
        self._lock: int | None = None
        self._database: sqlite3.Connection | None = None

    def opened(self) -> sqlite3.Connection:
        """The database, with its tables; opened and locked by the first call.

        Raises:
            OSError: the folder cannot be used, or another process has the lock.
            sqlite3.Error: it cannot be opened.
            OtherVersionError: another Foresail wrote it.
        """
        if self._database is not None:
            return self._database
        folder = self.path.parent
        folder.mkdir(parents=True, exist_ok=True)
        if self._lock is None:
            taken = "another process keeps its decisions here"
            self._lock = locked(folder / "decisions.lock", taken=taken)
        database = sqlite3.connect(self.path, timeout=_LOCKED_SECONDS, check_same_thread=False)
        try:
            self.path.chmod(0o600)
            self._prepare(database)
        except BaseException:
            database.close()
            raise
        self._database = database
        return database

    def set_aside(self, why: str) -> None:
        """Keep one damaged file for whoever wants to look at it, and begin without a past."""
        self._close_file()
        aside = self.path.with_suffix(".damaged")
        self.path.replace(aside)
        for beside in ("-wal", "-shm"):
            self.path.with_name(self.path.name + beside).unlink(missing_ok=True)
        log.warning("decisions_set_aside", file=str(aside), error=why)

    def close(self) -> None:
        self._close_file()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _prepare(self, database: sqlite3.Connection) -> None:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version not in {0, _VERSION}:
            raise OtherVersionError(f"of another Foresail, version {version}")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute(f"PRAGMA journal_size_limit = {_JOURNAL_BYTES}")
        (size,) = database.execute("PRAGMA page_size").fetchone()
        # The last resort: room is made before.
        database.execute(f"PRAGMA max_page_count = {self._size_bytes // size}")
        if version == 0:
            database.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {_VERSION}; COMMIT;")

    def _close_file(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None


def is_unusable(error: Exception) -> bool:
    """Whether the file itself is no use; a full disk or somebody's lock is another matter."""
    if isinstance(error, sqlite3.DatabaseError):
        return getattr(error, "sqlite_errorcode", 0) & _PRIMARY in _NOT_A_FILE_OF_OURS
    return isinstance(error, OtherVersionError)
