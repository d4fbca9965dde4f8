"""Names beside the points of a plot: none covers another, and one without room is left out."""

from collections.abc import Iterable, Iterator
from html import escape
from typing import NamedTuple

_CHARACTER, _LINE, _BESIDE = 6.4, 13.0, 7.0
"""Of text of 12 pixels: about its width a character, its height, and its distance from a point."""


class Named(NamedTuple):
    """A point of the sheet and what it is called."""

    x: float
    y: float
    name: str
    style: str


class _Box(NamedTuple):
    left: float
    right: float
    middle: float

    def covers(self, other: "_Box") -> bool:
        aside = self.right < other.left or other.right < self.left
        return not aside and abs(self.middle - other.middle) < _LINE


def written(points: Iterable[Named], *, left: float, right: float) -> Iterator[str]:
    """The names as text elements, the first points first; right of a point where there is room."""
    taken: list[_Box] = []
    for point in points:
        for box, anchor in _places(point):
            fits = left <= box.left and box.right <= right
            if fits and not any(box.covers(other) for other in taken):
                taken.append(box)
                x = box.left if anchor == "start" else box.right
                yield (
                    f'<text class="name {point.style}" x="{x:.1f}" y="{box.middle + 4:.1f}"'
                    f' text-anchor="{anchor}">{escape(point.name)}</text>'
                )
                break


def _places(point: Named) -> Iterator[tuple[_Box, str]]:
    width = _CHARACTER * len(point.name)
    for down in (0.0, -_LINE, _LINE, -2 * _LINE, 2 * _LINE):
        middle = point.y + down
        yield _Box(point.x + _BESIDE, point.x + _BESIDE + width, middle), "start"
        yield _Box(point.x - _BESIDE - width, point.x - _BESIDE, middle), "end"
