"""Values and units as exports write them. A formatted number is refused, never guessed.

Grafana's "Formatted data" writes `1.24 K` or `12.3 req/s`: rounded to three digits, in a unit that
the panel chose.
"""

import re
from math import nan
from typing import Final

_GAPS: Final = frozenset({"", "null", "nan", "undefined", "none", "-"})
_UNIT: Final = re.compile(r"[(\[]([^()\[\]]*)[)\]]\s*$")
_PER_SECOND: Final = frozenset(
    {
        *("/s", "1/s", "ps", "per second", "ops", "ops/s", "cps", "c/s"),
        *("rps", "reqps", "req/s", "reqs/s", "requests/s", "requests per second"),
        *("tps", "tok/s", "toks/s", "token/s", "tokens/s", "tokens per second"),
    }
)


def value_of(given: object) -> float:
    """A number; NaN where nothing was recorded.

    Raises:
        ValueError: a formatted number, or none.
    """
    if given is None:
        return nan
    text = str(given).strip()
    if text.lower() in _GAPS:
        return nan
    try:
        return float(text)
    except ValueError:
        if any(sign.isdigit() for sign in text):
            raise ValueError(
                f"{text[:40]!r} is formatted, and rounded: export it again with Grafana's"
                ' "Formatted data" switched off'
            ) from None
        raise ValueError(f"{text[:40]!r} is no number") from None


def unit_fault(title: str) -> str | None:
    """Why a column's unit, in brackets at the end of its title, is not per second; None = it is."""
    found = _UNIT.search(title)
    if found is None or found[1].strip().lower() in _PER_SECOND:
        return None
    return f"its unit is {found[1].strip()!r}, and a rate per second is needed"
