"""The list of workloads as one reader asked for it: searched, sorted, and one page of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from foresail.console.records import WorkloadRow

ROWS_MAX: Final = 25
"""Of one page: more are not read, and cost time to draw."""
Key = Callable[[WorkloadRow], float | str | None]
_COLUMNS: Final[dict[str, Key]] = {
    "state": lambda row: float(row.state.level),
    "workload": lambda row: row.title,
    "demand": lambda row: row.demand,
    "planned": lambda row: None if row.planned is None else float(row.planned),
    "ready": lambda row: None if row.ready is None else float(row.ready),
    "usd": lambda row: row.usd_per_hour,
}
_RISING: Final = frozenset({"workload"})
"""Columns that are read from the smallest on; of the others the largest come first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a reader asked for."""

    search: str = ""
    column: str = "state"
    reverse: bool = False
    """Against the column's own order."""
    page: int = 0

    def sorted_by(self, column: str) -> "Asked":
        """The same column again turns the order around. An unknown column changes nothing."""
        if column not in _COLUMNS:
            return self
        reverse = not self.reverse if column == self.column else False
        return replace(self, column=column, reverse=reverse, page=0)

    def searched(self, search: str) -> "Asked":
        """From the first page on."""
        return replace(self, search=search, page=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One page of the list."""

    rows: tuple[WorkloadRow, ...]
    found: int
    """Rows that the search found, on all pages."""
    page: int
    pages: int


def listed(rows: Sequence[WorkloadRow], asked: Asked) -> Listed:
    """The page that was asked for; the last one where it lies beyond."""
    words = asked.search.lower().split()
    found = [row for row in rows if all(word in _words(row) for word in words)]
    ordered = _sorted(found, asked)
    pages = max(1, -(-len(ordered) // ROWS_MAX))
    page = min(max(asked.page, 0), pages - 1)
    shown = ordered[page * ROWS_MAX : (page + 1) * ROWS_MAX]
    return Listed(rows=tuple(shown), found=len(ordered), page=page, pages=pages)


def _words(row: WorkloadRow) -> str:
    return f"{row.title} {row.model or ''} {row.mode or ''} {row.state.text}".lower()


def _sorted(rows: Sequence[WorkloadRow], asked: Asked) -> list[WorkloadRow]:
    """By the column, then by name; what is unknown comes last in both orders."""
    key = _COLUMNS[asked.column]
    known: list[tuple[float | str, WorkloadRow]] = []
    unknown: list[WorkloadRow] = []
    for row in sorted(rows, key=lambda one: one.title):
        value = key(row)
        if value is None:
            unknown.append(row)
        else:
            known.append((value, row))
    falling = (asked.column not in _RISING) != asked.reverse
    known.sort(key=lambda one: one[0], reverse=falling)
    return [*(row for _, row in known), *unknown]
