"""The time axis of a replay's plots: wall-clock time, where the traffic has a clock."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from foresail.replaying.report import Report
from foresail.svg import Axes
from replay.simulate import Mark

MINUTE, HOUR, DAY = 60, 3600, 86400


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What time is counted in on the axes of one report."""

    name: str
    seconds: int

    def of(self, marks: Sequence[Mark]) -> list[float]:
        return [mark.at_seconds / self.seconds for mark in marks]


def unit_of(report: Report) -> Unit:
    """Minutes, hours or days, by the length of the replay."""
    for name, seconds, most in (("minutes", MINUTE, 3 * HOUR), ("hours", HOUR, 3 * DAY)):
        if report.replay_input.seconds <= most:
            return Unit(name=name, seconds=seconds)
    return Unit(name="days", seconds=DAY)


def over_time(report: Report, y_label: str) -> Axes:
    """The axes of a plot over the whole replay, with the stretches that nobody recorded."""
    unit, begin = unit_of(report), report.replay_input.begin_seconds
    ticks = _clock_ticks(report.replay_input.seconds) if unit.seconds == HOUR else None
    x_label = f"{unit.name} from the start of the replay"
    x_text: Callable[[float], str] = _plain
    if begin is not None:
        ticks = _wall_ticks(begin, report.replay_input.seconds, unit.seconds)
        x_label, x_text = f"time (UTC), from {_moment(begin):%Y-%m-%d}", _wall_text(begin, unit)
    return Axes(
        x_label=x_label,
        y_label=y_label,
        x_text=x_text,
        x_ticks=ticks,
        y_text=lambda y: f"{y:,.0f}" if y >= 10 or y == round(y) else f"{y:g}",  # noqa: PLR2004
        x_range=(0.0, report.replay_input.seconds / unit.seconds),
        gaps=[(low / unit.seconds, high / unit.seconds) for low, high in report.replay_input.gaps],
    )


def _plain(x: float) -> str:
    return f"{x:g}"


def _moment(at_seconds: float) -> datetime:
    return datetime.fromtimestamp(at_seconds, UTC)


def _wall_ticks(begin: float, seconds: int, unit_seconds: int) -> list[float]:
    """At round times of the day, ten at most."""
    steps = (MINUTE * 5, MINUTE * 15, HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY)
    step = next((one for one in steps if seconds / one <= 10), 7 * DAY)  # noqa: PLR2004
    first = -(-begin // step) * step
    count = int((begin + seconds - first) // step) + 1
    return [(first + place * step - begin) / unit_seconds for place in range(count)]


def _wall_text(begin: float, unit: Unit) -> Callable[[float], str]:
    def text(x: float) -> str:
        at = _moment(round(begin + x * unit.seconds))
        return f"{at:%b %d}" if (at.hour, at.minute) == (0, 0) else f"{at:%H:%M}"

    return text


def _clock_ticks(seconds: int) -> list[float]:
    """Hours that divide a day, ten at most."""
    hours = seconds / HOUR
    step = next(step for step in (1, 2, 3, 6, 12, 24) if hours / step <= 10)  # noqa: PLR2004
    return [float(at) for at in range(0, int(hours) + 1, step)]
