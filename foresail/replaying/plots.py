"""The plots of a replay's page over time: demand, replicas, and what was late."""

from collections.abc import Sequence
from dataclasses import replace
from math import nan

from foresail.replaying.axis import HOUR, MINUTE, over_time, unit_of
from foresail.replaying.report import FORESAIL, Report, percent
from foresail.svg import Layer, Plot, thinned
from replay.simulate import Mark, Result


def demand_plot(report: Report) -> Plot:
    """Was it foreseen?"""
    unit = unit_of(report)
    marks = report.usual[FORESAIL].marks
    forecasts = [(mark.at_seconds, mark.forecast_ahead) for mark in marks]
    lead = report.replay_input.platform.fleet.start_up.median_seconds * 1.15
    ahead = [(at + lead, one or (nan, nan)) for at, one in forecasts]
    band_at = [at / unit.seconds for at, _ in ahead]
    low, high = ([one[edge] for _, one in ahead] for edge in (0, 1))
    demand = _recorded(report, [m.prompt_tokens_per_second for m in marks], marks)
    return Plot(
        title="Was it foreseen? Demand, and the forecast of it a start-up before",
        axes=over_time(report, "prompt tokens / s"),
        layers=[
            Layer(label="forecast, from the median up to what is planned for", style="forecast",
                  shape="band", xs=band_at, ys=low, tops=high),
            Layer(label="demand", style="demand", shape="line", xs=unit.of(marks), ys=demand),
            Layer(label="", style="forecast thin", shape="line", xs=band_at, ys=high),
        ],
    )  # fmt: skip


def replicas_plot(report: Report, rival: Result | None) -> Plot:
    """Too many or too few?

    Args:
        rival: the rule drawn beside Foresail and the oracle.
    """
    unit = unit_of(report)
    need = report.replay_input.need_by_minute().tolist()
    seconds = [(minute + 0.5) * MINUTE for minute in range(len(need))]
    cap = report.replay_input.platform.replicas_max
    top = _robust_top(report, need, rival)
    layers = [
        Layer(label="needed", style="need", shape="line",
              xs=[at / unit.seconds for at in seconds],
              ys=_outside_gaps(report, need, seconds)),
    ]  # fmt: skip
    oracle = report.oracle_run()
    if oracle is not None:
        label = f"oracle: ready, {oracle.attainment:.2%} in time"
        layers.append(_ready(report, oracle, label, "oracle"))
    for result, style in ((rival, "rival"), (report.usual[FORESAIL], "ours")):
        if result is not None:
            layers.append(_ready(report, result, f"{result.policy}: ready", style))
    above = "" if cap <= top else ", above the frame"
    layers.append(
        Layer(label=f"cap: {cap}{above}", style="cap", shape="line",
              xs=[0.0, report.replay_input.seconds / unit.seconds], ys=[float(cap)] * 2)
    )  # fmt: skip
    return Plot(
        title="Too many or too few? Replicas ready, against what each minute needed",
        axes=replace(over_time(report, "replicas"), y_range=(0.0, top)),
        layers=layers,
    )


def late_plots(report: Report) -> list[Plot]:
    """When was it late? One small plot a rule, on one scale; Foresail first, then by lateness."""
    unit = unit_of(report)
    minutes = minutes_a_bar(report)
    results = sorted(report.usual.values(), key=lambda r: (r.policy != FORESAIL, -r.attainment))
    layers = []
    for result in results:
        begins = range(0, len(result.marks), minutes)
        layers.append(
            Layer(label=f"{result.policy}, {percent(round(1 - result.attainment, 4))} late",
                  style="ours" if result.policy == FORESAIL else "rival", shape="bar",
                  xs=[begin * MINUTE / unit.seconds for begin in begins],
                  ys=[100 * _missed(result.marks[begin : begin + minutes]) for begin in begins])
        )  # fmt: skip
    top = max([1.0, *(y for layer in layers for y in layer.ys)])
    axes = replace(over_time(report, "% of requests"), y_range=(0.0, 1.05 * top))
    return [
        Plot(title=f"Requests not in time, {layer.label}", axes=axes, layers=[layer])
        for layer in layers
    ]


def minutes_a_bar(report: Report) -> int:
    """Of the plots of what was late."""
    return max(1, min(60, report.replay_input.seconds // MINUTE // 24))


def minutes_told(minutes: int) -> str:
    """In words."""
    if minutes == HOUR // MINUTE:
        return "hour"
    return "minute" if minutes == 1 else f"{minutes} minutes"


def _ready(report: Report, result: Result, label: str, style: str) -> Layer:
    return Layer(label=label, style=style, shape="step",
                 xs=thinned(unit_of(report).of(result.marks)),
                 ys=thinned([mark.ready for mark in result.marks]))  # fmt: skip


def _robust_top(report: Report, need: Sequence[float], rival: Result | None) -> float:
    """Room for the need and for ours; a rival that overshoots leaves the frame."""
    ours = max((mark.ready for mark in report.usual[FORESAIL].marks), default=1)
    theirs = sorted(mark.ready for mark in rival.marks) if rival else []
    usual = theirs[int(0.98 * (len(theirs) - 1))] if theirs else 0
    most = max(*need, float(ours), 1.0)
    return 1.15 * max(most, min(float(usual), 2 * most))


def _recorded(report: Report, values: list[float], marks: Sequence[Mark]) -> list[float]:
    """Of the minute that ends with each mark."""
    return _outside_gaps(report, values, [mark.at_seconds - MINUTE / 2 for mark in marks])


def _outside_gaps(report: Report, values: list[float], seconds: list[float]) -> list[float]:
    """What was recorded: the straight line through a gap is no reading."""
    gaps = report.replay_input.gaps
    return [
        nan if any(low <= at < high for low, high in gaps) else value
        for value, at in zip(values, seconds, strict=True)
    ]


def _missed(marks: Sequence[Mark]) -> float:
    missed = sum(mark.missed for mark in marks)
    total = missed + sum(mark.in_time for mark in marks)
    return max(0.0, missed / total) if total > 0 else 0.0
