"""How a benchmark hands over its rows: a table for people, one JSON object for machines."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

_WIDEST = 240
_MANY = 10_000
"""From here on nobody wants a power of ten."""
Row = Mapping[str, str | int | float | bool | None]


def show(
    name: str,
    arguments: Mapping[str, object],
    rows: Sequence[Row],
    json_path: Path | None,
    *,
    further: Mapping[str, Sequence[Row]] | None = None,
) -> None:
    """Print `rows` (all with the same fields) and, with `json_path`, write them as JSON.

    Args:
        further: other tables by name, such as a summary.
    """
    further = further or {}
    _print(f"bench {name}", rows)
    for title, other in further.items():
        _print(title, other)
    if json_path is not None:
        document = {"bench": name, "args": dict(arguments), "rows": [dict(row) for row in rows]}
        document |= {title: [dict(row) for row in other] for title, other in further.items()}
        json_path.write_text(json.dumps(document, indent=1, default=str) + "\n", encoding="utf-8")


def _print(title: str, rows: Sequence[Row]) -> None:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for field in rows[0] if rows else ():
        table.add_column(field.replace("_", " "), justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    # A row cut to the terminal is no row; one that is wider, the terminal wraps.
    wide = Console(width=_WIDEST)
    wide.width = max(Console().width, Measurement.get(wide, wide.options, table).maximum)
    wide.print(table)


def _cell(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:,.0f}" if abs(value) >= _MANY else f"{value:,.4g}"
        case _:
            return str(value)
