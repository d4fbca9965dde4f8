"""Values as Grafana writes them, for the units that the dashboards use."""

from collections.abc import Sequence
from typing import Final

_Scale = Sequence[tuple[float, str]]
"""Steps, the largest first: from which size on, and what is written behind."""

_COUNTS: Final = ((1e9, " Bil"), (1e6, " Mil"), (1e3, " K"), (1.0, ""))
_TIMES: Final = (
    (31_536_000.0, " y"),
    (86_400.0, " d"), (3_600.0, " h"), (60.0, " min"), (1.0, " s"), (1e-3, " ms"), (1e-6, " µs"),
)  # fmt: skip
_RATES: Final = {"reqps": " req/s", "cps": " c/s", "cpm": " c/m"}


def value_text(value: float, unit: str) -> str:
    """Three digits and the unit.

    Raises:
        ValueError: a unit that no dashboard has had until now.
    """
    match unit:
        case "short":
            return _scaled(value, _COUNTS)
        case "s":
            return _scaled(value, _TIMES) if value else "0 s"
        case "h":
            return _scaled(value * 3_600, _TIMES) if value else "0 h"
        case "percentunit":
            return f"{_digits(100 * value)}%"
        case "currencyUSD":
            return f"{'-' if value < 0 else ''}${_scaled(abs(value), _COUNTS).replace(' ', '')}"
        case "reqps" | "cps" | "cpm":
            return _digits(value) + _RATES[unit]
        case _:
            raise ValueError(f"unit {unit!r}: teach scripts/dashboards/units.py its Grafana text")


def _scaled(value: float, steps: _Scale) -> str:
    size, name = next((one for one in steps if abs(value) >= one[0]), steps[-1])
    return f"{_digits(value / size)}{name}"


def _digits(value: float) -> str:
    """Three of them, and no zeros at the end."""
    places = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0  # noqa: PLR2004 - digits
    if 0 < abs(value) < 0.01:  # noqa: PLR2004 - rounding would make it nothing
        return f"{value:.2g}"
    text = f"{value:.{places}f}"
    return text.rstrip("0").rstrip(".") if places else text
