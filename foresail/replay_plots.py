"""The plots of a replay's page: demand, replicas, what was late, and cost against attainment."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from foresail.replay_report import FORESAIL, Report
from foresail.svg import Axes, Layer, Plot, thinned
from replay.contest import ORACLE
from replay.frontier import at_attainment
from replay.simulate import Mark, Result

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_LEAST_SHOWN = 90.0
"""Per cent in time: who serves less is no choice, and would press the others together."""


def plots_of(report: Report) -> list[Plot]:
    """In the order of the page."""
    over_time = [_demand(report), _replicas(report), *_misses(report)]
    return [*over_time, _frontier(report)] if report.sweeps else over_time


@dataclass(frozen=True, slots=True, kw_only=True)
class _Unit:
    """What time is counted in on the axes of one report."""

    name: str
    seconds: int

    def of(self, marks: Sequence[Mark]) -> list[float]:
        return [mark.at_seconds / self.seconds for mark in marks]


def _unit(report: Report) -> _Unit:
    for name, seconds, most in (("minutes", _MINUTE, 3 * _HOUR), ("hours", _HOUR, 3 * _DAY)):
        if report.replay_input.seconds <= most:
            return _Unit(name=name, seconds=seconds)
    return _Unit(name="days", seconds=_DAY)


def _demand(report: Report) -> Plot:
    unit = _unit(report)
    marks = report.usual[FORESAIL].marks
    forecasts = [(mark.at_seconds, mark.forecast_ahead) for mark in marks]
    lead = report.replay_input.platform.fleet.start_up.median_seconds * 1.15
    band_at = [(at + lead) / unit.seconds for at, one in forecasts if one]
    low = [one[0] for _, one in forecasts if one]
    high = [one[1] for _, one in forecasts if one]
    return Plot(
        title="Was it foreseen? Demand, and the forecast of it a start-up before",
        axes=_over_time(report, "prompt tokens / s"),
        layers=[
            Layer(label="forecast, median to planned-for quantile", style="forecast",
                  shape="band", xs=thinned(band_at), ys=thinned(low), tops=thinned(high)),
            Layer(label="demand", style="demand", shape="line", xs=thinned(unit.of(marks)),
                  ys=thinned([mark.prompt_tokens_per_second for mark in marks])),
        ],
    )  # fmt: skip


def _replicas(report: Report) -> Plot:
    unit = _unit(report)
    need = report.replay_input.need_by_minute().tolist()
    minutes = [(minute + 0.5) * _MINUTE / unit.seconds for minute in range(len(need))]
    layers = [
        Layer(label="needed", style="need", shape="line", xs=thinned(minutes), ys=thinned(need))
    ]
    for result, style in ((report.rival(), "rival"), (report.usual[FORESAIL], "ours")):
        if result is not None:
            layers.append(
                Layer(label=f"{result.policy}: ready", style=style, shape="step",
                      xs=thinned(unit.of(result.marks)),
                      ys=thinned([mark.ready for mark in result.marks]))
            )  # fmt: skip
    cap = report.replay_input.platform.replicas_max
    top = _robust_top(report, need)
    if cap <= top:
        xs = [0.0, report.replay_input.seconds / unit.seconds]
        layers.append(
            Layer(label=f"cap: {cap}", style="cap", shape="line", xs=xs, ys=[float(cap)] * 2)
        )
    return Plot(
        title="Too many or too few? Replicas ready, against what each minute needed",
        axes=replace(_over_time(report, "replicas"), y_range=(0.0, top)),
        layers=layers,
    )


def _robust_top(report: Report, need: Sequence[float]) -> float:
    """Room for the need and for ours; a rival that overshoots leaves the frame."""
    ours = max((mark.ready for mark in report.usual[FORESAIL].marks), default=1)
    rival = report.rival()
    theirs = sorted(mark.ready for mark in rival.marks) if rival else []
    usual = theirs[int(0.98 * (len(theirs) - 1))] if theirs else 0
    most = max(*need, float(ours), 1.0)
    return 1.15 * max(most, min(float(usual), 2 * most))


def _misses(report: Report) -> list[Plot]:
    """One plot a rule, on one scale: bars of two rules on top of each other hide one."""
    unit = _unit(report)
    shown = []
    minutes = max(1, min(60, report.replay_input.seconds // _MINUTE // 24))
    for result, style in ((report.rival(), "rival"), (report.usual[FORESAIL], "ours")):
        if result is None:
            continue
        begins = range(0, len(result.marks), minutes)
        shown.append(
            Layer(label=result.policy, style=style, shape="bar",
                  xs=[begin * _MINUTE / unit.seconds for begin in begins],
                  ys=[100 * _missed(result.marks[begin : begin + minutes]) for begin in begins])
        )  # fmt: skip
    each = "hour" if minutes == _HOUR // _MINUTE else f"{minutes} minutes"
    top = max([1.0, *(y for layer in shown for y in layer.ys)])
    axes = replace(_over_time(report, "% of requests"), y_range=(0.0, 1.05 * top))
    return [
        Plot(
            title=f"When was it late? Requests not in time, each {each}: {layer.label}",
            axes=axes,
            layers=[layer],
        )
        for layer in shown
    ]


def _frontier(report: Report) -> Plot:
    reached = {
        name: point.gpu_hours
        for name, results in report.sweeps.items()
        if name != FORESAIL and (point := at_attainment(results, report.attainment))
    }
    cheapest = sorted(reached, key=lambda name: reached[name])[:3]
    others = [
        result
        for name, results in report.sweeps.items()
        for result in results
        if name not in {FORESAIL, *cheapest}
    ]
    layers = [
        Layer(label="settings of the other rules", style="other", shape="dots",
              xs=[r.gpu_hours for r in others], ys=[100 * r.attainment for r in others],
              titles=[_setting(r) for r in others])
    ]  # fmt: skip
    shown = [*((name, f"peer{place}") for place, name in enumerate(cheapest)), (FORESAIL, "ours")]
    drawn = [(name, style, report.sweeps.get(name, [])) for name, style in shown]
    drawn.append((ORACLE, "oracle", report.oracle))
    for name, style, results in drawn:
        ordered = sorted(results, key=lambda r: r.knob)
        xs, ys = [r.gpu_hours for r in ordered], [100 * r.attainment for r in ordered]
        layers += [
            Layer(label=name, style=style, shape="line", xs=xs, ys=ys),
            Layer(label="", style=style, shape="dots", xs=xs, ys=ys,
                  titles=[_setting(r) for r in ordered]),
        ]  # fmt: skip
    return Plot(
        title="Cost and attainment, each rule over its settings",
        axes=Axes(
            x_label="GPU-hours",
            y_label="% of requests in time",
            x_text=lambda x: f"{x:,g}",
            y_text=lambda y: f"{y:g}",
            x_range=_money_range(report),
            y_range=(_LEAST_SHOWN, 100.3),
        ),
        layers=layers,
    )


def _money_range(report: Report) -> tuple[float, float]:
    """From the oracle at the least that is shown to somewhat above what our settings cost."""
    least = at_attainment(report.oracle, _LEAST_SHOWN / 100)
    ours = [result.gpu_hours for result in report.sweeps.get(FORESAIL, [])]
    most = max([report.usual[FORESAIL].gpu_hours, *ours])
    low = 0.95 * (least.gpu_hours if least else 0.5 * most)
    return low, max(1.25 * most, 2.0 * low)


def _setting(result: Result) -> str:
    return (
        f"{result.policy} at {result.knob:g}: {result.attainment:.2%},"
        f" {result.gpu_hours:,.1f} GPU-hours"
    )


def _over_time(report: Report, y_label: str) -> Axes:
    """In wall-clock time, where the traffic has a clock."""
    unit, begin = _unit(report), report.replay_input.begin_seconds
    ticks = _clock_ticks(report.replay_input.seconds) if unit.seconds == _HOUR else None
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
    )


def _plain(x: float) -> str:
    return f"{x:g}"


def _moment(at_seconds: float) -> datetime:
    return datetime.fromtimestamp(at_seconds, UTC)


def _wall_ticks(begin: float, seconds: int, unit_seconds: int) -> list[float]:
    """At round times of the day, ten at most."""
    steps = (_MINUTE * 5, _MINUTE * 15, _HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR, _DAY, 2 * _DAY)
    step = next((one for one in steps if seconds / one <= 10), 7 * _DAY)  # noqa: PLR2004
    first = -(-begin // step) * step
    count = int((begin + seconds - first) // step) + 1
    return [(first + place * step - begin) / unit_seconds for place in range(count)]


def _wall_text(begin: float, unit: _Unit) -> Callable[[float], str]:
    def text(x: float) -> str:
        at = _moment(round(begin + x * unit.seconds))
        return f"{at:%b %d}" if (at.hour, at.minute) == (0, 0) else f"{at:%H:%M}"

    return text


def _clock_ticks(seconds: int) -> list[float]:
    """Hours that divide a day, ten at most."""
    hours = seconds / _HOUR
    step = next(step for step in (1, 2, 3, 6, 12, 24) if hours / step <= 10)  # noqa: PLR2004
    return [float(at) for at in range(0, int(hours) + 1, step)]


def _missed(marks: Sequence[Mark]) -> float:
    missed = sum(mark.missed for mark in marks)
    total = missed + sum(mark.in_time for mark in marks)
    return max(0.0, missed / total) if total > 0 else 0.0
