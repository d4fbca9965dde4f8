"""Kubernetes quantities: `500m`, `2`, `1.5`, `16Gi`, `2e9`."""

import re
from fractions import Fraction
from functools import lru_cache
from typing import Final

_FORM: Final = re.compile(
    r"([+-]?[0-9]{1,24}(?:\.[0-9]{0,24})?)([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]{1,2})?"
)
_DECIMAL: Final = {
    "n": -9,
    "u": -6,
    "m": -3,
    "": 0,
    "k": 3,
    "M": 6,
    "G": 9,
    "T": 12,
    "P": 15,
    "E": 18,
}
_BINARY: Final = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}


def quantity(value: object) -> Fraction:
    """The amount that a manifest's text or number stands for.

    Raises:
        ValueError: `value` is no quantity.
    """
    if not isinstance(value, str | int | float):
        raise ValueError(f"{str(value)[:64]!r} is no quantity such as 500m, 2 or 16Gi")  # noqa: TRY004
    return _read(str(value))


@lru_cache(4096)
def _read(text: str) -> Fraction:
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:64]!r} is no quantity such as 500m, 2 or 16Gi")
    number, suffix = Fraction(match[1]), match[2] or ""
    if suffix in _BINARY:
        return number * Fraction(1024 ** _BINARY[suffix])
    if suffix in _DECIMAL:
        return number * _power_of_ten(_DECIMAL[suffix])
    return number * _power_of_ten(int(suffix[1:]))


def _power_of_ten(exponent: int) -> Fraction:
    return Fraction(10**exponent) if exponent >= 0 else Fraction(1, 10**-exponent)
