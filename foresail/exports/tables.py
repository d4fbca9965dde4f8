"""Tables of times and values: CSV as Grafana and others write it, and rows of Parquet.

Two layouts: a column for each series beside the time, or long, with a row for each point and
columns for the time, the value and the labels.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from foresail.exports.errors import ExportError
from foresail.exports.found import FoundSeries, Points
from foresail.exports.labels import NAME, labels_of
from foresail.exports.minutes import SERIES_MAX
from foresail.exports.moments import Moments
from foresail.exports.numbers import unit_fault, value_of
from scaler.message_text import limited

COLUMNS_MAX: Final = 4096
_TIMES: Final = ("time", "timestamp", "date", "datetime", "ts")
_VALUE: Final = "value"
_TITLES: Final = ("series", "metric", NAME)
"""Columns of the long layout with the name of a series, or all of its text."""
_DELIMITERS: Final = ",;\t"
_SEPARATOR: Final = "sep="
"""Excel reads the delimiter from the first line, and Grafana writes it there."""
Row = Sequence[object]


def csv_rows(lines: Iterable[str], *, path: Path) -> Iterator[tuple[int, Row]]:
    """Rows with their lines, the header first.

    Raises:
        ExportError: it is no CSV.
    """
    ahead = iter(lines)
    first = next(ahead, "").removeprefix("\ufeff")
    begin, delimiter = 1, ""
    if first.lower().startswith(_SEPARATOR):
        delimiter = first[len(_SEPARATOR) :].strip()[:1]
        first, begin = next(ahead, ""), 2
    delimiter = delimiter or max(_DELIMITERS, key=first.count)
    rows = csv.reader(_with_first(first, ahead), delimiter=delimiter)
    try:
        for row in rows:
            yield begin + rows.line_num - 1, row
    except csv.Error as error:
        raise ExportError(f"{path}: line {begin + rows.line_num - 1}: no CSV: {error}") from error


def _with_first(first: str, others: Iterator[str]) -> Iterator[str]:
    yield first
    yield from others


def read_table(
    rows: Iterator[tuple[int, Row]], points: Points, *, path: Path, moments: Moments
) -> int:
    """Hand on the points of a table; returns the number of rows.

    Args:
        rows: with their lines, the header first.

    Raises:
        ExportError: a header without a time, or a cell that is no time or no value.
    """
    line, header = next(rows, (1, ()))
    names = [str(name).strip() for name in header]
    low = [name.lower() for name in names]
    if len(names) > COLUMNS_MAX:
        raise ExportError(f"{path}: {len(names)} columns; at most {COLUMNS_MAX} are read")
    time = next((low.index(name) for name in _TIMES if name in low), None)
    if time is None:
        there = ", ".join(map(limited, names[:6])) or "(none)"
        raise ExportError(
            f"{path}: line {line}: columns {there}; expected t_s and"
            " requests, or time and one for each series, or time, value and those of labels"
        )
    layout = _long if _VALUE in low else _wide
    reader = _Reader(path=path, names=names, low=low, time=time, points=points, moments=moments)
    return layout(reader, rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reader:
    path: Path
    names: list[str]
    low: list[str]
    time: int
    points: Points
    moments: Moments

    def wants(self, series: FoundSeries) -> bool:
        """Whether its points are to be handed on.

        Raises:
            ExportError: they are, and its title names a unit that is not per second.
        """
        if not self.points.wants(series):
            return False
        if fault := unit_fault(series.title):
            raise ExportError(f"{self.path}: series {series.title!r}: {fault}")
        return True

    def moment(self, line: int, row: Row, after: float | None) -> float:
        try:
            return self.moments.read(row[self.time], after)
        except ValueError as error:
            raise ExportError(f"{self.path}: line {line}: {error}") from None
        except IndexError:
            raise ExportError(f"{self.path}: line {line}: no time in {row!r:.80}") from None

    def point(self, line: int, series: FoundSeries, at: float, row: Row, column: int) -> None:
        try:
            value = value_of(row[column])
            self.points.add(series, at, value)
        except ValueError as error:
            shown = series.shown
            raise ExportError(f"{self.path}: line {line}: column {shown!r}: {error}") from None
        except IndexError:
            raise ExportError(
                f"{self.path}: line {line}: {len(row)} cells, and the header has {len(self.names)}"
            ) from None


def _wide(reader: _Reader, rows: Iterator[tuple[int, Row]]) -> int:
    found = {
        column: FoundSeries(labels=_labels_in(title), title=title)
        for column, title in enumerate(reader.names)
        if column != reader.time and title
    }
    wanted = {column: one for column, one in found.items() if reader.wants(one)}
    count, at = 0, None
    for line, row in rows:
        if not row:
            continue
        at = reader.moment(line, row, at)
        for column, one in wanted.items():
            reader.point(line, one, at, row, column)
        count += 1
    return count


def _labels_in(title: str) -> dict[str, str]:
    return (labels_of(title) or {}) if "{" in title or ":" in title else {}


def _long(reader: _Reader, rows: Iterator[tuple[int, Row]]) -> int:
    value = reader.low.index(_VALUE)
    others = [place for place in range(len(reader.names)) if place not in {reader.time, value}]
    known: dict[tuple[object, ...], tuple[FoundSeries, bool]] = {}
    last: dict[tuple[object, ...], float] = {}
    count = 0
    for line, row in rows:
        if not row:
            continue
        key = tuple(_key(row[place]) if place < len(row) else "" for place in others)
        if key not in known:
            if len(known) >= SERIES_MAX:
                raise ExportError(f"{reader.path}: line {line}: more than {SERIES_MAX:,} series")
            one = _series_of(reader, [reader.low[place] for place in others], row, others)
            known[key] = one, reader.wants(one)
        one, wanted = known[key]
        if wanted:
            at = last[key] = reader.moment(line, row, last.get(key))
            reader.point(line, one, at, row, value)
        count += 1
    return count


def _key(cell: object) -> object:
    return tuple(sorted(cell.items())) if isinstance(cell, Mapping) else cell


def _series_of(reader: _Reader, low: Sequence[str], row: Row, places: Sequence[int]) -> FoundSeries:
    labels: dict[str, str] = {}
    title = ""
    for name, place in zip(low, places, strict=True):
        cell = row[place] if place < len(row) else None
        if isinstance(cell, Mapping):  # Parquet has maps
            labels |= {str(key): str(text) for key, text in cell.items()}
        elif cell is None or not (text := str(cell).strip()):
            continue
        elif name in _TITLES:
            title = text
            labels |= labels_of(text) or {}
        else:
            labels[reader.names[place]] = text
    return FoundSeries(labels=labels, title=title or ("" if labels else reader.path.stem))
