"""A table of names and figures, as `foresail cost` prints it."""

from collections.abc import Sequence
from typing import Final

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from scaler.message_text import printable

TEXTS: Final = frozenset({"", "most of the rest"})
"""Heads of columns of words."""
_NAME_LEAST: Final = 8
_BETWEEN: Final = 2
_FRAME: Final = 2
"""Columns that a table takes between its cells, and around them."""


def grid(
    heads: Sequence[str], rows: Sequence[Sequence[str]], whole: Sequence[str] | None, columns: int
) -> RenderableType:
    """A table of names, figures and, without a head of its own or as a text, a remark.

    Args:
        heads: of the columns; the first is of names.
        rows: the cells.
        whole: the cells of the last row; None = the rows do not add up to anything.
        columns: the width of the terminal.
    """
    table = Table(
        box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_footer=whole is not None
    )
    cells = [heads, *rows, *([whole] if whole is not None else [])]
    widths = [max(len(row[at]) for row in cells) for at in range(1, len(heads))]
    room = max(_NAME_LEAST, columns - sum(width + _BETWEEN for width in widths) - _FRAME)
    ends = whole or [""] * len(heads)
    table.add_column(heads[0], ends[0], overflow="ellipsis", no_wrap=True, max_width=room)
    for head, end in zip(heads[1:], ends[1:], strict=True):
        is_text = head in TEXTS
        table.add_column(
            head, end, justify="left" if is_text else "right", no_wrap=True,
            style="dim" if is_text else None,
        )  # fmt: skip
    for row in rows:
        # Names come from labels and servers, which may write markup and escape sequences.
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table
