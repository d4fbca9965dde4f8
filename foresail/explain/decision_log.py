"""Decisions of workloads on disk, for a bounded time: what was in force at a moment that is past.

One SQLite file in the folder of states, with each changed decision as the account that `explain`
shows, compressed. One process writes it at a time, with a lock of its own beside the file. All
functions block, and are called in a thread.

A run is a time in which every change was written. A moment between two runs has no decision in
force: the program did not run then, or could not write. So an absent record is never taken for "as
before".
"""

import sqlite3
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final, TypeVar

import orjson

from foresail.explain.decision_file import DecisionFile, OtherVersionError, is_unusable

HEARTBEAT_SECONDS: Final = 60.0
"""A run's end is written this often; so a run that is over may have lasted this much longer."""
_OLDEST_SHARE: Final = 20
"""One in so many rows goes at once where the file has no more room."""
_SMALLER: Final = 2
"""An account takes less than this part of its JSON."""
_GROWN: Final = 1.3
"""A dictionary gives way to an account that is so much larger: those of a start are short."""
_JSON: Final = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY
"""Accounts have names of series as keys, and figures of arrays."""
Account = dict[str, Any]
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What is kept at most."""

    seconds: float
    """Of a decision, after the next one of its workload."""
    per_workload: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A changed decision."""

    workload: str
    """NAMESPACE/NAME."""
    trigger: str
    """Tells apart the triggers of one object, and one before and after an edit."""
    at_seconds: float
    account: Account | None
    """None = it is known no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The newest decision of one trigger at some moment."""

    at_seconds: float
    until_seconds: float | None
    """When the next one was made; None = it is the last one."""
    in_force: bool
    """False where nothing was written between it and the moment."""
    written_until_seconds: float
    """The end of its run."""
    account: Account | None
    """None = it was known no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptOfWorkload:
    """What is kept of a workload for one moment."""

    decisions: tuple[Kept, ...]
    """Of each trigger, the newest first."""
    first_seconds: float | None
    """The oldest decision that is kept of it; None = none is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Dictionary:
    """An account that others are compressed with: they are mostly the same text."""

    id: int
    content: bytes

    def packed(self, account: bytes | None) -> bytes | None:
        if account is None:
            return None
        packing = zlib.compressobj(zdict=self.content)
        return packing.compress(account) + packing.flush()


_NO_DICTIONARY: Final = _Dictionary(id=0, content=b"")


class DecisionLog:
    """The file of one process."""

    def __init__(self, directory: Path, bounds: Bounds) -> None:
        self._file = DecisionFile(directory, size_bytes=bounds.size_bytes)
        self._bounds = bounds
        self._run: int | None = None
        self._dictionary = _NO_DICTIONARY
        self._mutex = Lock()
        """One thread uses the file at a time."""

    @property
    def path(self) -> Path:
        return self._file.path

    def append(self, entries: Sequence[Entry], *, now_seconds: float) -> None:
        """Write changed decisions, and that all others still stood; makes room first.

        Raises:
            OSError: the folder cannot be used, or another process has it.
            sqlite3.Error: the file cannot be written.
        """
        accounts = [_json(one) for one in entries]
        begun = min((one.at_seconds for one in entries), default=now_seconds)
        largest = max((one for one in accounts if one is not None), key=len, default=b"")

        def write(database: sqlite3.Connection) -> tuple[int, _Dictionary]:
            self._make_room(database, sum(len(one or b"") for one in accounts) // _SMALLER)
            with database:
                run, dictionary = self._run, self._dictionary
                if run is None:
                    values = (begun, now_seconds)
                    run = _added(database, "INSERT INTO runs (begun, until) VALUES (?, ?)", values)
                database.execute("UPDATE runs SET until = ? WHERE id = ?", (now_seconds, run))
                if len(largest) > _GROWN * len(dictionary.content):
                    made = _added(
                        database, "INSERT INTO dictionaries (content) VALUES (?)", (largest,)
                    )
                    dictionary = _Dictionary(id=made, content=largest)
                database.executemany(
                    "INSERT INTO decisions (run, dictionary, workload, trigger, at, account) "
                    "VALUES (?, ?, ?, ?, ?, ?)",
                    [
                        (
                            *(run, dictionary.id, one.workload, one.trigger, one.at_seconds),
                            dictionary.packed(account),
                        )
                        for one, account in zip(entries, accounts, strict=True)
                    ],
                )
            return run, dictionary

        self._run, self._dictionary = self._guarded(write)

    def prune(self, *, now_seconds: float) -> None:
        """Forget decisions that ended too long ago, and those that are too many for a workload.

        The newest one from before the bound is kept, because it was in force at it.

        Raises:
            OSError: as `append`.
            sqlite3.Error: as `append`.
        """
        oldest = now_seconds - self._bounds.seconds

        def write(database: sqlite3.Connection) -> None:
            with database:
                database.execute(
                    "DELETE FROM decisions WHERE at < ?1 AND (account IS NULL OR EXISTS ("
                    "SELECT 1 FROM decisions AS later WHERE later.workload = decisions.workload "
                    "AND later.trigger = decisions.trigger "
                    "AND later.at > decisions.at AND later.at <= ?1))",
                    (oldest,),
                )
                many = database.execute(
                    "SELECT workload FROM decisions GROUP BY workload HAVING COUNT(*) > ?",
                    (self._bounds.per_workload,),
                ).fetchall()
                database.executemany(
                    "DELETE FROM decisions WHERE workload = ?1 AND id NOT IN ("
                    "SELECT id FROM decisions WHERE workload = ?1 ORDER BY at DESC, id DESC "
                    "LIMIT ?2)",
                    [(one, self._bounds.per_workload) for (one,) in many],
                )
                # Both grow with the decisions, so what is before the oldest decision's is of none.
                for table, column in (("runs", "run"), ("dictionaries", "dictionary")):
                    database.execute(
                        f"DELETE FROM {table} WHERE id < "  # noqa: S608 - our own names
                        f"(SELECT {column} FROM decisions ORDER BY id LIMIT 1)"
                    )

        self._guarded(write)

    def at(self, workload: str, moment_seconds: float) -> KeptOfWorkload:
        """What was decided of a workload at a moment.

        Raises:
            OSError: as `append`.
            sqlite3.Error: the file cannot be read.
        """

        def read(database: sqlite3.Connection) -> KeptOfWorkload:
            (first,) = database.execute(
                "SELECT MIN(at) FROM decisions WHERE workload = ?", (workload,)
            ).fetchone()
            triggers = database.execute(
                "SELECT DISTINCT trigger FROM decisions WHERE workload = ?", (workload,)
            ).fetchall()
            found = [
                self._newest(database, workload, trigger, moment_seconds) for (trigger,) in triggers
            ]
            decisions = sorted(
                (one for one in found if one is not None), key=lambda one: -one.at_seconds
            )
            return KeptOfWorkload(decisions=tuple(decisions), first_seconds=first)

        return self._guarded(read)

    def begin_anew(self) -> None:
        """Begin another run with the next write, because changes were lost."""
        with self._mutex:
            self._run = None

    def close(self) -> None:
        with self._mutex:
            self._file.close()

    def _guarded(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result:
        """Do it; a file that is of no use is set aside, and it is done on an empty one."""
        with self._mutex:
            try:
                return work(self._file.opened())
            except (sqlite3.DatabaseError, OtherVersionError) as error:
                if not is_unusable(error):
                    raise
                self._file.set_aside(str(error))
                self._run, self._dictionary = None, _NO_DICTIONARY
                return work(self._file.opened())

    def _make_room(self, database: sqlite3.Connection, needed_bytes: int) -> None:
        """Delete the oldest decisions until there is room for so much, twice."""
        room = self._bounds.size_bytes - self._bounds.size_bytes // _OLDEST_SHARE
        while _used_bytes(database) + 2 * needed_bytes > room:
            (rows,) = database.execute("SELECT COUNT(*) FROM decisions").fetchone()
            if rows == 0:
                return
            with database:
                database.execute(
                    "DELETE FROM decisions WHERE id IN "
                    "(SELECT id FROM decisions ORDER BY at, id LIMIT ?)",
                    (rows // _OLDEST_SHARE + 1,),
                )

    def _newest(
        self, database: sqlite3.Connection, workload: str, trigger: str, moment_seconds: float
    ) -> Kept | None:
        row = database.execute(
            "SELECT at, account, run, until, content FROM decisions JOIN runs ON runs.id = run "
            "LEFT JOIN dictionaries ON dictionaries.id = dictionary "
            "WHERE workload = ? AND trigger = ? AND at <= ? "
            "ORDER BY at DESC, decisions.id DESC LIMIT 1",
            (workload, trigger, moment_seconds),
        ).fetchone()
        if row is None:
            return None
        at, packed, run, written_until, content = row
        (until,) = database.execute(
            "SELECT MIN(at) FROM decisions WHERE workload = ? AND trigger = ? AND at > ?",
            (workload, trigger, moment_seconds),
        ).fetchone()
        lasts = run == self._run or moment_seconds <= written_until + HEARTBEAT_SECONDS
        return Kept(
            at_seconds=at,
            until_seconds=until,
            in_force=lasts,
            written_until_seconds=written_until,
            account=None if packed is None else _unpacked(packed, content or b""),
        )


def _used_bytes(database: sqlite3.Connection) -> int:
    size, pages, free = (
        database.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_size", "page_count", "freelist_count")
    )
    return int(size * (pages - free))


def _added(database: sqlite3.Connection, insert: str, values: tuple[object, ...]) -> int:
    """The number of a new row."""
    made = database.execute(insert, values).lastrowid
    assert made is not None
    return made


def _json(entry: Entry) -> bytes | None:
    return None if entry.account is None else orjson.dumps(entry.account, option=_JSON)


def _unpacked(packed: bytes, content: bytes) -> Account:
    account: Account = orjson.loads(zlib.decompressobj(zdict=content).decompress(packed))
    return account
