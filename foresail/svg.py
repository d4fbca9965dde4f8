"""Plots as SVG text: lines, steps, bands, bars and points over one pair of linear axes.

Small on purpose: a report must open on a machine without a network, and be read in twenty years.
Colours are classes, so that the page's style decides them, by day and by night.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from math import floor, isfinite, log10
from zlib import crc32

_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 24, 30, 40
_POINTS_MAX = 1600
"""More are not seen on this width and make the file heavy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """The size of a plot; a page shows the one that suits its width, with text of one size."""

    name: str
    width: int
    height: int
    x_ticks: int
    """About so many; more would run into each other."""


WIDE = Sheet(name="wide", width=960, height=300, x_ticks=8)
WIDTH, HEIGHT = WIDE.width, WIDE.height
NARROW = Sheet(name="narrow", width=400, height=260, x_ticks=4)
Values = Sequence[float]
Range = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One thing drawn; `shape` is line, step, band, bar or dots."""

    label: str
    style: str
    shape: str
    xs: Values
    ys: Values
    tops: Values = ()
    """Of a band: its upper edge; `ys` is the lower one."""
    titles: Sequence[str] = ()
    """Of dots: what each says when pointed at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Axes:
    """The frame that all layers of a plot share."""

    x_label: str
    y_label: str
    x_text: Callable[[float], str]
    y_text: Callable[[float], str]
    x_ticks: Values | None = None
    """Where a decimal step would be odd: hours."""
    x_range: Range | None = None
    y_range: Range | None = None


@dataclass(slots=True, kw_only=True)
class Plot:
    """Layers are drawn in order, the first at the bottom."""

    title: str
    axes: Axes
    layers: list[Layer] = field(default_factory=list)

    def svg(self, sheet: Sheet = WIDE) -> str:
        """The plot as an `svg` element."""
        xs = self.axes.x_range or _range([x for layer in self.layers for x in layer.xs])
        heights = [y for layer in self.layers for y in (*layer.ys, *layer.tops)]
        ys = self.axes.y_range or _range([0.0, *heights], head=1.05)
        scale = _Scale(sheet, xs, ys)
        frame = f"{sheet.name}-{crc32(self.title.encode()):x}"
        parts = [
            f'<svg class="{sheet.name}" viewBox="0 0 {sheet.width} {sheet.height}" role="img"',
            f' aria-label="{escape(self.title)}">',
            *self._grid(sheet, scale, xs, ys, frame),
            f'<g clip-path="url(#{frame})">',
            *(_drawn(layer, scale) for layer in self.layers),
            "</g>",
            *self._labels(sheet),
            "</svg>",
        ]
        return "\n".join(parts)

    def legend(self) -> str:
        """The labels beside their colours."""
        return "".join(
            f'<span class="key {layer.style}"><i></i>{escape(layer.label)}</span>'
            for layer in self.layers
            if layer.label
        )

    def _grid(self, sheet: Sheet, scale: "_Scale", xs: Range, ys: Range, frame: str) -> list[str]:
        bottom, right = sheet.height - _BOTTOM, sheet.width - _RIGHT
        parts = [
            (
                f'<clipPath id="{frame}"><rect x="{_LEFT}" y="{_TOP}"'
                f' width="{sheet.width - _LEFT - _RIGHT}" height="{bottom - _TOP}"/></clipPath>'
            )
        ]
        for y in ticks(*ys):
            at = scale.y(y)
            parts += [
                f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{at}" y2="{at}"/>',
                (
                    f'<text class="tick" x="{_LEFT - 6}" y="{at + 4}" text-anchor="end">'
                    f"{escape(self.axes.y_text(y))}</text>"
                ),
            ]
        for x in self._x_ticks(sheet, xs):
            parts.append(
                f'<text class="tick" x="{scale.x(x)}" y="{bottom + 16}" text-anchor="middle">'
                f"{escape(self.axes.x_text(x))}</text>"
            )
        return parts

    def _x_ticks(self, sheet: Sheet, xs: Range) -> Values:
        """Those of the axes, as many as the sheet has room for."""
        given = self.axes.x_ticks
        if given is None:
            return ticks(*xs, count=sheet.x_ticks)
        return given[:: -(-len(given) // (sheet.x_ticks + 2))]

    def _labels(self, sheet: Sheet) -> list[str]:
        return [
            (
                f'<text class="label" x="{(_LEFT + sheet.width) / 2}" y="{sheet.height - 6}"'
                ' text-anchor="middle">'
                f"{escape(self.axes.x_label)}</text>"
            ),
            (
                # Above the numbers and level with the page: read without turning one's head.
                f'<text class="label" x="{_LEFT}" y="{_TOP - 14}">'
                f"{escape(self.axes.y_label)}</text>"
            ),
        ]


class _Scale:
    """From values to places on the sheet, to a tenth of a pixel."""

    def __init__(self, sheet: Sheet, xs: Range, ys: Range) -> None:
        self._sheet, self._xs, self._ys = sheet, xs, ys

    def x(self, value: float) -> float:
        low, high = self._xs
        return round(_LEFT + (value - low) / (high - low) * (self._sheet.width - _LEFT - _RIGHT), 1)

    def y(self, value: float) -> float:
        low, high = self._ys
        height = self._sheet.height - _TOP - _BOTTOM
        return round(self._sheet.height - _BOTTOM - (value - low) / (high - low) * height, 1)


def ticks(low: float, high: float, *, count: int = 5) -> list[float]:
    """Round values from `low` to `high`, about `count` of them, in steps of 1, 2 or 5."""
    rough = (high - low) / count
    magnitude = 10.0 ** floor(log10(rough))
    step = next(m * magnitude for m in (1, 2, 5, 10) if m * magnitude >= rough * 0.999)
    first = -floor(-low / step)
    return [step * n for n in range(first, floor(high / step + 1e-9) + 1)]


def thinned(values: Values) -> list[float]:
    """Means of equal stretches, so that a plot has no more points than it can show."""
    stretch = max(1, -(-len(values) // _POINTS_MAX))
    return [
        sum(values[at : at + stretch]) / len(values[at : at + stretch])
        for at in range(0, len(values), stretch)
    ]


def _range(values: Sequence[float], *, head: float = 1.0) -> tuple[float, float]:
    known = [value for value in values if isfinite(value)] or [0.0]
    low, high = min(known), max(known) * head
    return (low, high) if high > low else (low, low + 1)


def _drawn(layer: Layer, scale: _Scale) -> str:
    points = [
        (scale.x(x), scale.y(y))
        for x, y in zip(layer.xs, layer.ys, strict=True)
        if isfinite(x) and isfinite(y)
    ]
    match layer.shape:
        case "line":
            return f'<polyline class="line {layer.style}" points="{_joined(points)}"/>'
        case "step":
            corners = [
                corner
                for (x, y), (then, _) in zip(points, [*points[1:], points[-1:][0]], strict=True)
                for corner in ((x, y), (then, y))
            ]
            return f'<polyline class="line {layer.style}" points="{_joined(corners)}"/>'
        case "band":
            tops = [(scale.x(x), scale.y(y)) for x, y in zip(layer.xs, layer.tops, strict=True)]
            return f'<polygon class="band {layer.style}" points="{_joined(points + tops[::-1])}"/>'
        case "bar":
            floor_ = scale.y(0)
            wide = max(1.0, points[1][0] - points[0][0] - 1) if len(points) > 1 else 8.0
            return "".join(
                f'<rect class="bar {layer.style}" x="{x}" y="{y}" width="{wide:.1f}" '
                f'height="{max(0.0, floor_ - y):.1f}"/>'
                for x, y in points
            )
        case _:
            titles = layer.titles or [layer.label] * len(points)
            return "".join(
                f'<circle class="dot {layer.style}" cx="{x}" cy="{y}" r="3.2">'
                f"<title>{escape(title)}</title></circle>"
                for (x, y), title in zip(points, titles, strict=True)
            )


def _joined(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x},{y}" for x, y in points)
