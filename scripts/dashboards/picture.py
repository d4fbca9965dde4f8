"""A filled dashboard as one SVG file, in the dashboard's own grid.

It is not Grafana's picture: panels are where Grafana puts them, and hold what Grafana asks for.
"""

import math
from collections.abc import Iterator, Sequence
from html import escape
from textwrap import wrap
from typing import Final

from foresail.svg import Axes, Layer, Plot, Sheet
from scripts.dashboards.answers import Line
from scripts.dashboards.filling import FilledDashboard, FilledPanel
from scripts.dashboards.grid import GAP, ROW, WIDTH
from scripts.dashboards.units import value_text

_HEAD: Final = 54
_MARGIN: Final = 12
_CHARACTER: Final = 6.6
"""How wide one is, about, at 12 points."""
_LEGEND_LINE: Final = 16
_LEGEND_LINES_MAX: Final = 3
_MORE: Final = 80
"""Room for "and 9 more"."""
_HOURS: Final = (0.0, 3.0, 6.0, 9.0, 12.0, 15.0, 18.0, 21.0, 24.0)
_WIDE: Final = 560
"""A panel from here on has room for all hours."""
_COLOURS: Final = (
    "#0b6bcb", "#e07a1f", "#2e9e5b", "#8a5cc2", "#c2355b", "#1795a3", "#a6800d", "#68737f",
)  # fmt: skip
_NAMED: Final = {"green": "#2e9e5b", "red": "#c92a2a"}
_STYLE: Final = (
    "text { font: 12px system-ui, sans-serif; fill: #68737f; }"
    ".head { font-size: 16px; font-weight: 600; fill: #1c2430; }"
    ".title { font-size: 13px; font-weight: 600; fill: #1c2430; }"
    ".number { font-size: 26px; font-weight: 600; fill: #1c2430; } .name { fill: #1c2430; }"
    ".panel { fill: #fff; stroke: #d9dee4; } .note { fill: #a85200; font-size: 11px; }"
    ".grid { stroke: #e3e7ec; } .key { stroke: currentColor; stroke-width: 3; }"
    ".line { fill: none; stroke-width: 1.6; stroke: currentColor; }"
    ".band { fill: currentColor; fill-opacity: 0.35; stroke: currentColor; }"
    ".bar { fill: currentColor; fill-opacity: 0.7; }"
)


def picture(dashboard: FilledDashboard, *, caption: str, hours: float) -> str:
    """The file.

    Args:
        dashboard: with the answers in its panels.
        caption: where the answers are from.
        hours: that the time shown stands for.
    """
    chosen = ", ".join(f"{name}: {value}" for name, value in dashboard.chosen.items())
    bottom = max(one.box.top + one.box.height for one in dashboard.panels)
    width, height = WIDTH - GAP + 2 * _MARGIN, bottom + _HEAD + _MARGIN
    colours = "".join(f".c{n} {{ color: {one}; }}" for n, one in enumerate(_COLOURS))
    head = [
        _text(dashboard.title, _MARGIN, 22, "head"),
        _text(chosen, width - _MARGIN, 22, "name", "end"),
        _text(caption, _MARGIN, 42),
    ]
    body = [
        f'<g transform="translate({_MARGIN + one.box.left} {_HEAD + one.box.top})">'
        f"{''.join(_panel(one, hours, f'p{place}'))}</g>"
        for place, one in enumerate(dashboard.panels)
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">',
            f"<style>{_STYLE}{colours}</style>",
            f'<rect width="{width}" height="{height}" fill="#f4f6f8"/>',
            *head,
            *body,
            "</svg>\n",
        ]
    )


def _text(text: str, x: float, y: float, style: str = "", anchor: str = "start") -> str:
    return (
        f'<text class="{style}" x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">'
        f"{escape(text)}</text>"
    )


def _panel(panel: FilledPanel, hours: float, name: str) -> Iterator[str]:
    if panel.kind == "row":
        yield _text(panel.title, 0, ROW - GAP - 4, "head")
        return
    box = panel.box
    yield f"<title>{escape(panel.text)}</title>"
    yield f'<rect class="panel" width="{box.width}" height="{box.height}" rx="3"/>'
    title = wrap(panel.title, int((box.width - 20) / 7.4))
    yield from (_text(one, 10, 19 + 16 * n, "title") for n, one in enumerate(title))
    if panel.long_windows:
        yield _text(_window_note(panel), 10, box.height - 6, "note")
    if panel.empty:
        yield from _no_data(panel)
        return
    match panel.kind:
        case "timeseries":
            yield from _time_series(panel, hours, name)
        case "stat":
            yield from _stat(panel)
        case "bargauge":
            yield from _bars(panel)
        case "table":
            yield from _table(panel)
        case _:
            raise ValueError(f"panel {panel.title!r} is of the kind {panel.kind!r}, not known here")


def _window_note(panel: FilledPanel) -> str:
    windows = ", ".join(panel.long_windows)
    return f"Window {windows}: longer than the time shown, so too low."


def _no_data(panel: FilledPanel) -> Iterator[str]:
    middle, height = panel.box.width / 2, panel.box.height
    if panel.kind == "stat":
        yield _text(panel.no_value, middle, height / 2 + 18, "number", "middle")
        yield _text("no data", middle, height - 10, "", "middle")
    else:
        yield _text("no data", middle, height / 2 + 8, "", "middle")


# -- lines -----------------------------------------------------------------------------------------


def layers(panel: FilledPanel, hours: float) -> list[Layer]:
    """The lines of a panel, on top of each other where it stacks them."""
    floor = [0.0] * (len(panel.lines[0].values) if panel.lines else 0)
    made = []
    for place, line in enumerate(panel.lines):
        xs = [n * hours / max(1, len(line.values) - 1) for n in range(len(line.values))]
        style = f"c{place % len(_COLOURS)}"
        if not panel.stacked:
            made.append(Layer(label=line.name, style=style, shape="line", xs=xs, ys=line.values))
            continue
        tops = [low + value for low, value in zip(floor, line.values, strict=True)]
        made.append(Layer(label=line.name, style=style, shape="band", xs=xs, ys=floor, tops=tops))
        floor = [low if math.isnan(top) else top for low, top in zip(floor, tops, strict=True)]
    return made


def _time_series(panel: FilledPanel, hours: float, name: str) -> Iterator[str]:
    box = panel.box
    foot = 18 if panel.long_windows else 4
    keys = list(_legend(panel.lines, box.width - 20))
    height = box.height - foot - _LEGEND_LINE * (1 + max(row for row, _ in keys))
    axes = Axes(
        x_label="",
        y_label="",
        x_text=lambda x: f"{x:g} h",
        y_text=lambda y: value_text(y, panel.unit),
        x_ticks=_HOURS,
        x_range=(0.0, hours),
    )
    plot = Plot(title=panel.title, axes=axes, layers=layers(panel, hours))
    # It leaves room for labels of its axes, of which the panel has none.
    sheet = Sheet(
        name=name,
        width=box.width,
        height=height,
        x_ticks=8 if box.width >= _WIDE else 4,
    )
    yield f'<svg y="6" width="{box.width}" height="{height}"{plot.svg(sheet)[4:]}'
    for row, key in keys:
        yield f'<g transform="translate(10 {height + 8 + _LEGEND_LINE * row})">{key}</g>'


def _legend(lines: Sequence[Line], width: float) -> Iterator[tuple[int, str]]:
    """Each name with the row that it is in; what has no room is counted."""
    row, left = 0, 0.0
    for place, line in enumerate(lines):
        wide = 36 + _CHARACTER * len(line.name)
        last = row == _LEGEND_LINES_MAX - 1
        if left and left + wide > width - (_MORE if last else 0):
            row, left = row + 1, 0.0
        if row == _LEGEND_LINES_MAX:
            yield row - 1, _text(f"and {len(lines) - place} more", width, 4, "", "end")
            return
        colour = f"c{place % len(_COLOURS)}"
        yield (
            row,
            f'<line class="key {colour}" x1="{left:.0f}" x2="{left + 14:.0f}" y1="0" y2="0"/>'
            + _text(line.name, left + 19, 4),
        )
        left += wide


# -- one moment ------------------------------------------------------------------------------------


def _stat(panel: FilledPanel) -> Iterator[str]:
    box, count = panel.box, len(panel.samples)
    for place, sample in enumerate(panel.samples):
        colour = _NAMED.get(panel.colour(sample.value) or "", "#1c2430")
        yield (
            f'<text class="number" style="fill: {colour}" text-anchor="middle"'
            f' x="{box.width * (place + 0.5) / count:.0f}" y="{box.height / 2 + 18:.0f}">'
            f"{escape(value_text(sample.value, panel.unit))}</text>"
        )
    steps = [(least, name) for least, name in panel.thresholds if math.isfinite(least)]
    told = ", ".join(f"{name} from {value_text(least, panel.unit)}" for least, name in steps)
    if told and not panel.long_windows:
        yield _text(told, box.width / 2, box.height - 10, "", "middle")


def _bars(panel: FilledPanel) -> Iterator[str]:
    most = max(abs(sample.value) for sample in panel.samples) or 1.0
    each = min(34.0, (panel.box.height - 40) / len(panel.samples))
    for place, sample in enumerate(panel.samples):
        top = 34 + each * place
        wide = (panel.box.width - 110) * abs(sample.value) / most
        yield _text(sample.name, 10, top + 9, "name")
        yield (
            f'<rect class="bar c0" x="10" y="{top + 13:.0f}" width="{max(1.0, wide):.0f}"'
            f' height="{max(2.0, each - 20):.0f}"/>'
        )
        yield _text(value_text(sample.value, panel.unit), 18 + wide, top + 22, "name")


def _table(panel: FilledPanel) -> Iterator[str]:
    columns = sorted({label for sample in panel.samples for label in sample.labels})
    wide = (panel.box.width - 20) / (len(columns) + 1)
    room = (panel.box.height - 60) // 20
    rows = [[*columns, "Value"]] + [
        [*(one.labels.get(label, "") for label in columns), value_text(one.value, panel.unit)]
        for one in panel.samples[:room]
    ]
    for n, row in enumerate(rows):
        style = "name" if n else ""
        yield from (_text(cell, 10 + wide * m, 42 + 20 * n, style) for m, cell in enumerate(row))
    left_out = len(panel.samples) - room
    if left_out > 0:
        yield _text(f"and {left_out} more", 10, panel.box.height - 8)
