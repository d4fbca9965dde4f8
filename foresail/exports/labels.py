"""A series' text, such as `up{job="node"}` or `{__name__="up", job="node"}`, as labels."""

import re
from collections.abc import Mapping
from typing import Final

NAME: Final = "__name__"
# Possessive: spaces without end would be divided between its parts in every way.
_SERIES: Final = re.compile(r"\s*+([a-zA-Z_:][a-zA-Z0-9_:]*+)?+\s*+(?:\{(.*)\})?+\s*+", re.DOTALL)
_PAIR: Final = re.compile(
    r'\s*(?:([a-zA-Z_][a-zA-Z0-9_.]*|"(?:[^"\\]|\\.)*")\s*=\s*)?"((?:[^"\\]|\\.)*)"\s*(?:,|$)',
    re.DOTALL,
)
_ESCAPE: Final = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", re.DOTALL)
_ESCAPED: Final = {"n": "\n", "t": "\t", "r": "\r"}


def labels_of(text: str) -> dict[str, str] | None:
    """Labels, the name among them; None = not a series' text."""
    found = _SERIES.fullmatch(text)
    if found is None or (found[1] is None and found[2] is None):
        return None
    labels = {} if found[1] is None else {NAME: found[1]}
    inside = found[2] or ""
    place = 0
    while place < len(inside):
        pair = _PAIR.match(inside, place)
        if pair is None:
            return None
        name = NAME if pair[1] is None else _plain(pair[1].strip('"'))
        labels[name] = _plain(pair[2])
        place = pair.end()
    return labels


def title_of(labels: Mapping[str, str]) -> str:
    """The text again, for messages and for columns that are named by it."""
    pairs = ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items()) if name != NAME)
    return f"{labels.get(NAME, '')}{{{pairs}}}" if pairs else labels.get(NAME, "")


def _plain(text: str) -> str:
    return _ESCAPE.sub(_one, text) if "\\" in text else text


def _one(escape: re.Match[str]) -> str:
    code = escape[1]
    if code[0] in "xuU" and len(code) > 1:
        return chr(min(int(code[1:], 16), 0x10FFFF))
    return _ESCAPED.get(code, code)
