"""README's picture as SVG: the area between two fleets is the money that is not spent."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 960, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 24, 96, 40
_HOURS = 24
_STYLE = """
text { font: 14px system-ui, sans-serif; fill: #5c6773; } .paper { fill: #fff; }
.title { font-size: 22px; font-weight: 700; fill: #111820; } .said { font-size: 15px; }
.grid { stroke: #e3e7ec; } .saved { fill: #2e9e5b; opacity: .16; }
.demand { fill: #68737f; opacity: .38; }
.ours { fill: none; stroke: #0b6bcb; stroke-width: 2.6; stroke-linejoin: round; }
.fixed { fill: none; stroke: #c2452d; stroke-width: 2; stroke-dasharray: 7 5; }
.on-ours { fill: #0b6bcb; font-weight: 600; } .on-fixed { fill: #c2452d; font-weight: 600; }
.on-saved { fill: #1f7a45; font-size: 24px; font-weight: 700; } .on-demand { fill: #414a54; }
@media (prefers-color-scheme: dark) {
text { fill: #97a3b0; } .paper { fill: #14181d; } .title { fill: #e6eaef; }
.grid { stroke: #2b333d; }
.saved { fill: #4fc27f; opacity: .2; } .demand { fill: #97a3b0; opacity: .4; }
.ours { stroke: #58a6ff; } .fixed { stroke: #f07a63; } .on-ours { fill: #58a6ff; }
.on-fixed { fill: #f07a63; } .on-saved { fill: #4fc27f; } .on-demand { fill: #d5dbe2; } }
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """A rule's day."""

    name: str
    ready: Sequence[float]
    gpu_hours: float
    in_time: float
    """Share of requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """A day from midnight to midnight, in even steps."""

    need: Sequence[float]
    """Replicas that would serve what is asked."""
    fixed: Fleet
    """Sized for the peak."""
    ours: Fleet
    gpu_usd_hour: float

    def usd(self, fleet: Fleet) -> float:
        return fleet.gpu_hours * self.gpu_usd_hour


class _Frame:
    """From a step and a number of replicas to places on the sheet."""

    def __init__(self, steps: int, most: float) -> None:
        self._steps, self._most = steps, most

    def x(self, step: float) -> float:
        return round(_LEFT + step / self._steps * (_WIDTH - _LEFT - _RIGHT), 1)

    def y(self, replicas: float) -> float:
        height = _HEIGHT - _TOP - _BOTTOM
        return round(_HEIGHT - _BOTTOM - replicas / self._most * height, 1)

    def steps(self, values: Sequence[float]) -> list[tuple[float, float]]:
        corners = []
        for step, value in enumerate(values):
            corners += [(self.x(step), self.y(value)), (self.x(step + 1), self.y(value))]
        return corners

    def line(self, values: Sequence[float]) -> list[tuple[float, float]]:
        return [(self.x(step + 0.5), self.y(value)) for step, value in enumerate(values)]


def picture(day: Day, numbers: str) -> str:
    """The file.

    Args:
        numbers: what it is drawn from, kept inside.
    """
    most = 1.12 * max(*day.fixed.ready, *day.ours.ready)
    frame = _Frame(len(day.need), most)
    ours, fixed = frame.steps(day.ours.ready), frame.steps(day.fixed.ready)
    spared = frame.steps([*map(min, day.ours.ready, day.fixed.ready)])
    floor = [(frame.x(len(day.need)), frame.y(0)), (frame.x(0), frame.y(0))]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">',
        f"<title>{escape(_title(day))}</title><metadata>{escape(numbers)}</metadata>",
        f'<style>{_STYLE}</style><rect class="paper" width="{_WIDTH}" height="{_HEIGHT}"/>',
        f'<text class="title" x="20" y="34">{escape(_title(day))}</text>',
        f'<text class="said" x="20" y="60">{escape(_said(day))}</text>',
        *_grid(frame, most),
        f'<polygon class="demand" points="{_points([*frame.line(day.need), *floor])}"/>',
        f'<polygon class="saved" points="{_points([*fixed, *reversed(spared)])}"/>',
        f'<polyline class="fixed" points="{_points(fixed)}"/>',
        f'<polyline class="ours" points="{_points(ours)}"/>',
        *_names(day, frame),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _title(day: Day) -> str:
    ours, fixed = round(day.usd(day.ours)), round(day.usd(day.fixed))
    change = "less" if ours <= fixed else "more"
    return (
        f"${abs(fixed - ours):,} a day {change} than a fleet for the peak:"
        f" ${ours:,} in place of ${fixed:,}"
    )


def _said(day: Day) -> str:
    return (
        f"{day.ours.in_time:.1%} of the requests are in time, {day.fixed.in_time:.0%} with the"
        " fleet for the peak. A generated day of LLM traffic, H100s at"
        f" ${day.gpu_usd_hour:g} an hour."
    )


def _grid(frame: _Frame, most: float) -> list[str]:
    parts = [f'<text x="{_LEFT}" y="{_TOP - 10}">replicas</text>']
    for replicas in range(0, int(most) + 1, 5):
        y = frame.y(replicas)
        parts += [
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>',
            f'<text x="{_LEFT - 8}" y="{y + 5}" text-anchor="end">{replicas}</text>',
        ]
    for hour in range(0, _HOURS + 1, 6):
        x = _LEFT + hour / _HOURS * (_WIDTH - _LEFT - _RIGHT)
        anchor = {0: "start", _HOURS: "end"}.get(hour, "middle")
        parts.append(
            f'<text x="{x:.1f}" y="{_HEIGHT - 14}" text-anchor="{anchor}">{hour:02d}:00</text>'
        )
    return parts


def _names(day: Day, frame: _Frame) -> list[str]:
    steps = len(day.need)
    quiet = min(range(steps // 8, steps // 3), key=lambda step: day.ours.ready[step])
    middle = (day.ours.ready[quiet] + day.fixed.ready[quiet]) / 2
    evening = steps * 3 // 4
    fixed = max(day.fixed.ready)
    return [
        _name("fixed", frame.x(steps * 0.12), frame.y(fixed) - 8, "a fixed fleet for the peak"),
        _name("saved", frame.x(quiet), frame.y(middle), "not paid for"),
        _name("ours", frame.x(quiet), frame.y(day.ours.ready[quiet]) - 26, "Foresail"),
        _name("demand", frame.x(evening), frame.y(day.need[evening] / 2), "demand"),
    ]


def _name(style: str, x: float, y: float, text: str) -> str:
    return f'<text class="on-{style}" x="{x}" y="{y}" text-anchor="middle">{text}</text>'


def _points(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x},{y}" for x, y in places)
