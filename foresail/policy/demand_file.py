"""The past demand of pools, from a CSV: what a forecast learns from before a single decision."""

import csv
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import Final

from scaler.errors import ForesailError

DAYS_LEARNED: Final = 14.0
"""Of a longer past the rest is left out: a forecaster remembers eight days of it."""
_DAY: Final = 86_400.0
_TIMES: Final = ("time", "t_s")
_COLUMNS: Final = (
    "a column `time` (Unix seconds, or as 2026-11-28T09:00:00Z) or `t_s` (seconds, whose last is "
    "now), a column `gpus`, and for several pools a column `pool`"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PastDemand:
    """GPUs that pools wanted, oldest first."""

    rows: Sequence[tuple[float, Mapping[str | None, float]]]
    """Unix time, and GPUs by pool; of a file without pools the name is None."""
    relative: bool
    """The times are of a clock of their own, and the last one is now."""

    def before(self, now_seconds: float) -> "PastDemand":
        """The days before a moment, at Unix times."""
        moved = now_seconds - self.rows[-1][0] if self.relative and self.rows else 0.0
        begin = now_seconds - DAYS_LEARNED * _DAY
        rows = [(at + moved, gpus) for at, gpus in self.rows if begin <= at + moved <= now_seconds]
        return PastDemand(rows=rows, relative=False)

    @property
    def pools(self) -> frozenset[str | None]:
        return frozenset(name for _, gpus in self.rows for name in gpus)


def read_demand(file: Path) -> PastDemand:
    """The demand in a file.

    Raises:
        ForesailError: it cannot be read, or a row makes no sense; with the line.
    """
    try:
        with file.open(encoding="utf-8", newline="") as opened:
            reader = csv.DictReader(opened)
            names = reader.fieldnames or ()
            time = next((one for one in _TIMES if one in names), None)
            if time is None or "gpus" not in names:
                found = ", ".join(names) or "none"
                raise ForesailError(
                    f"--demand {file}: its columns are {found}; it takes {_COLUMNS}"
                )
            rows = list(_rows(file, reader, time))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ForesailError(f"--demand {file}: {error}") from error
    by_time: dict[float, dict[str | None, float]] = defaultdict(dict)
    for at, pool, gpus in rows:
        by_time[at][pool] = gpus
    return PastDemand(rows=sorted(by_time.items()), relative=time == "t_s")


def _rows(
    file: Path, reader: "csv.DictReader[str]", time: str
) -> Iterator[tuple[float, str | None, float]]:
    """Time, pool and GPUs; rows without GPUs are gaps and left out."""
    for row in reader:
        where = f"--demand {file}:{reader.line_num}"
        at = _moment(row[time] or "", where, relative=time == "t_s")
        text = (row["gpus"] or "").strip()
        if not text:
            continue
        try:
            gpus = float(text)
        except ValueError:
            gpus = -1.0
        if not isfinite(gpus) or gpus < 0:
            raise ForesailError(f"{where}: gpus is {text!r}: it takes a number, 0 or more")
        yield at, (row.get("pool") or "").strip() or None, gpus


def _moment(text: str, where: str, *, relative: bool) -> float:
    text = text.strip()
    try:
        seconds = float(text)
    except ValueError:
        seconds = float("nan")
        if not relative:
            seconds = _written(text)
    if not isfinite(seconds):
        wanted = "seconds" if relative else "Unix seconds or a time such as 2026-11-28T09:00:00Z"
        raise ForesailError(f"{where}: the time is {text!r}: it takes {wanted}")
    return seconds


def _written(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return float("nan")
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
