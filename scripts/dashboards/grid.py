"""Grafana's grid of 24 columns in pixels."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

COLUMN: Final = 52
ROW: Final = 32
GAP: Final = 8
"""Between two panels."""
WIDTH: Final = 24 * COLUMN


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """Where a panel is drawn."""

    left: int
    top: int
    width: int
    height: int


def box(place: Mapping[str, int]) -> Box:
    """Of a panel's `gridPos`."""
    return Box(
        left=place["x"] * COLUMN,
        top=place["y"] * ROW,
        width=place["w"] * COLUMN - GAP,
        height=place["h"] * ROW - GAP,
    )
