"""Durations in text: `90`, `90s`, `1m30s`, `60ms`, `14d`."""

import re
from typing import Final

_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_CHARACTERS_MAX: Final = 64
"""The regular expression takes quadratic time, and metadata may have 16,384 characters."""
_UNIT_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(given: object) -> object:
    """The seconds of a written duration; anything else unchanged.

    The validation of the field then reports it with the field's description.
    """
    if not isinstance(given, str) or len(given) > _CHARACTERS_MAX:
        return given
    text = given.strip()
    parts = _PART.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts)
    return given


def format_duration(seconds: float) -> str:
    """`90` → `1m30s`, to the second."""
    whole = round(seconds)
    parts = ((whole // 3600, "h"), (whole // 60 % 60, "m"), (whole % 60, "s"))
    return "".join(f"{number}{unit}" for number, unit in parts if number) or "0s"
