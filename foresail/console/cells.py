"""Figures and texts as HTML. Everything that others write goes through `text`."""

from datetime import UTC, datetime
from html import escape
from math import isfinite
from urllib.parse import quote

from foresail.console.records import Level, State, WorkloadRow
from foresail.figures import UNKNOWN, dollars
from scaler.message_text import printable

_LEVELS = {Level.OK: "ok", Level.WATCH: "watch", Level.BAD: "bad"}


def text(given: str) -> str:
    """Text of any origin, harmless in HTML and in attributes."""
    return escape(printable(given), quote=True)


def count(value: float | None) -> str:
    return UNKNOWN if value is None or not isfinite(value) else f"{value:,.0f}"


def usd(value: float | None) -> str:
    return UNKNOWN if value is None else f"${dollars(value)}"


def share(value: float | None) -> str:
    return UNKNOWN if value is None or not isfinite(value) else f"{value:.2%}"


def clock(at_seconds: float | None) -> str:
    """The day and the time, UTC."""
    if at_seconds is None:
        return UNKNOWN
    return f"{datetime.fromtimestamp(at_seconds, UTC):%Y-%m-%d %H:%M} UTC"


def time_of_day(at_seconds: float | None) -> str:
    if at_seconds is None:
        return UNKNOWN
    return f"{datetime.fromtimestamp(at_seconds, UTC):%H:%M}"


def state(given: State) -> str:
    """A dot in the state's colour, and its words: colour alone says nothing to some."""
    level = _LEVELS[given.level]
    return f'<span class="state {level}"><i aria-hidden="true"></i>{text(given.text)}</span>'


def kept(objective_kept: bool | None) -> str:  # noqa: FBT001 - a record's field
    """Whether the objective is kept."""
    if objective_kept is None:
        return f'<span class="soft">{UNKNOWN}</span>'
    word, level = ("kept", "good") if objective_kept else ("missed", "missed")
    return f'<span class="{level}">{word}</span>'


def address(row: WorkloadRow) -> str:
    """Of a workload's page."""
    path = "/".join(quote(part, safe="") for part in (row.namespace, row.name))
    return f"/workload/{path}?trigger={row.key}"


def tile(name: str, value: str, note: str = "") -> str:
    """One figure of the head of a page; the three are HTML."""
    below = f"<small>{note}</small>" if note else ""
    return f'<div class="tile"><dt>{name}</dt><dd>{value}{below}</dd></div>'


def tiles(*given: str) -> str:
    return f'<dl class="tiles">{"".join(given)}</dl>'


def section(title: str, body: str, about: str = "") -> str:
    """A part of a page; `about` and `body` are HTML."""
    note = f'<p class="about">{about}</p>' if about else ""
    return f"<section><h2>{text(title)}</h2>{note}{body}</section>"


def missing(why: str) -> str:
    """In place of what is not known."""
    return f'<p class="missing"><b>{UNKNOWN}</b> {text(why)}</p>'
