"""Plots as SVG text: lines, steps, bands, bars and points over one pair of linear axes.

Small on purpose: a report must open on a machine without a network, and be read in twenty years.
Colours are classes, so that the page's style decides them, by day and by night.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from itertools import groupby
from math import floor, isfinite, log10
from zlib import crc32

from foresail.svg_names import Named, written

_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 24, 30, 40
_POINTS_MAX = 1600
"""More are not seen on this width and make the file heavy."""
_GAP_TEXT = "nothing recorded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """The size of a plot; a page shows the one that suits its width, with text of one size."""

    name: str
    width: int
    height: int
    x_ticks: int
    """About so many; more would run into each other."""
    points: int = _POINTS_MAX
    """Of a line: more would make a thick one of a rough one."""


WIDE = Sheet(name="wide", width=960, height=300, x_ticks=8)
WIDTH, HEIGHT = WIDE.width, WIDE.height
NARROW = Sheet(name="narrow", width=400, height=260, x_ticks=4, points=300)
SMALL = Sheet(name="small", width=460, height=180, x_ticks=4)
"""Of small multiples: two beside each other on a wide page."""
Values = Sequence[float]
Range = tuple[float, float]
_Place = tuple[float, float]


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
    names: Sequence[str] = ()
    """Of dots: what is written beside each; empty for nothing."""


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
    gaps: Sequence[Range] = ()
    """Stretches of which nothing was recorded."""


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
            *self._gaps(sheet, scale),
            *(_drawn(_fitting(layer, sheet), scale) for layer in self.layers),
            "</g>",
            *self._names(sheet, scale, xs, ys),
            *self._labels(sheet),
            "</svg>",
        ]
        return "\n".join(parts)

    def legend(self, *, gaps: bool = True) -> str:
        """The labels beside their colours, and what grey stretches are."""
        blank = f'<span class="key gap"><i></i>{_GAP_TEXT}</span>'
        return "".join(
            f'<span class="key {layer.style}"><i></i>{escape(layer.label)}</span>'
            for layer in self.layers
            if layer.label
        ) + (blank if gaps and self.axes.gaps else "")

    def _gaps(self, sheet: Sheet, scale: "_Scale") -> list[str]:
        return [
            f'<rect class="gap" x="{scale.x(low)}" y="{_TOP}"'
            f' width="{max(1.0, scale.x(high) - scale.x(low)):.1f}"'
            f' height="{sheet.height - _TOP - _BOTTOM}"><title>{_GAP_TEXT}</title></rect>'
            for low, high in self.axes.gaps
        ]

    def _names(self, sheet: Sheet, scale: "_Scale", xs: Range, ys: Range) -> list[str]:
        points = [
            Named(scale.x(x), scale.y(y), name, layer.style)
            for layer in reversed(self.layers)
            for x, y, name in zip(layer.xs, layer.ys, layer.names, strict=False)
            if name and xs[0] <= x <= xs[1] and ys[0] <= y <= ys[1]
        ]
        return list(written(points, left=_LEFT, right=sheet.width - _RIGHT))

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


def thinned(values: Values, most: int = _POINTS_MAX) -> list[float]:
    """Means of equal stretches, so that a plot has no more points than it can show."""
    stretch = max(1, -(-len(values) // most))
    return [
        sum(values[at : at + stretch]) / len(values[at : at + stretch])
        for at in range(0, len(values), stretch)
    ]


def _range(values: Sequence[float], *, head: float = 1.0) -> tuple[float, float]:
    known = [value for value in values if isfinite(value)] or [0.0]
    low, high = min(known), max(known) * head
    return (low, high) if high > low else (low, low + 1)


def _fitting(layer: Layer, sheet: Sheet) -> Layer:
    """A line or a band with no more points than the sheet shows."""
    if layer.shape not in {"line", "band"}:
        return layer
    xs, ys, tops = (thinned(values, sheet.points) for values in (layer.xs, layer.ys, layer.tops))
    return replace(layer, xs=xs, ys=ys, tops=tops)


def _whole(layer: Layer, scale: _Scale) -> Iterator[tuple[list[_Place], list[_Place]]]:
    """Lower and upper edge of each stretch between values that are unknown."""
    rows = zip(layer.xs, layer.ys, layer.tops or layer.ys, strict=True)
    for known, run in groupby(rows, key=lambda row: all(map(isfinite, row))):
        if known:
            whole = list(run)
            yield (
                [(scale.x(x), scale.y(low)) for x, low, _ in whole],
                [(scale.x(x), scale.y(top)) for x, _, top in whole],
            )


def _drawn(layer: Layer, scale: _Scale) -> str:
    points = [
        (scale.x(x), scale.y(y))
        for x, y in zip(layer.xs, layer.ys, strict=True)
        if isfinite(x) and isfinite(y)
    ]
    match layer.shape:
        case "line":
            return "".join(
                f'<polyline class="line {layer.style}" points="{_joined(low)}"/>'
                for low, _ in _whole(layer, scale)
            )
        case "step":
            corners = [
                corner
                for (x, y), (then, _) in zip(points, [*points[1:], points[-1:][0]], strict=True)
                for corner in ((x, y), (then, y))
            ]
            return f'<polyline class="line {layer.style}" points="{_joined(corners)}"/>'
        case "band":
            return "".join(
                f'<polygon class="band {layer.style}" points="{_joined([*low, *top[::-1]])}"/>'
                for low, top in _whole(layer, scale)
            )
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


def _joined(points: Sequence[_Place]) -> str:
    return " ".join(f"{x},{y}" for x, y in points)
