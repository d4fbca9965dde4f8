"""The plot of a replay's page that sets cost against requests in time, each rule by its name."""

from foresail.replaying.report import FORESAIL, Report
from foresail.svg import Axes, Layer, Plot
from replay.contest import ORACLE
from replay.frontier import at_attainment
from replay.simulate import Result

_LEAST_SHOWN = 90.0
"""Per cent in time: a rule that serves less is no choice, and would press the others together."""


def cost_plot(report: Report) -> Plot:
    """Every setting of each rule where they were swept, else each rule as it is set."""
    layers = _swept(report) if report.sweeps else _as_set(report)
    least = _least_shown(report)
    usd = report.gpu_usd_hour
    low, high = _money_range(report, least)

    def x_text(x: float) -> str:
        return f"{x:,g}" if usd is None else f"{x:,g} (${x * usd:,.0f})"

    settings = "over its settings" if report.sweeps else "as it is set"
    return Plot(
        title=f"Cost and requests in time, each rule {settings}",
        axes=Axes(
            x_label="GPU-hours" if usd is None else "GPU-hours (dollars)",
            y_label="% of requests in time",
            x_text=x_text,
            y_text=lambda y: f"{y:g}",
            x_range=(low, high),
            y_range=(least, 100 + 0.03 * (100 - least)),
        ),
        layers=layers,
    )


def outside(report: Report) -> list[Result]:
    """Rules as they are set that the frame does not hold."""
    least = _least_shown(report)
    low, high = _money_range(report, least)
    return [
        result
        for result in report.usual.values()
        if not (low <= result.gpu_hours <= high and 100 * result.attainment >= least)
    ]


def _as_set(report: Report) -> list[Layer]:
    others = [result for name, result in report.usual.items() if name != FORESAIL]
    return [
        _oracle_line(report),
        _dots(report, others, "rival", "other rules"),
        _dots(report, [report.usual[FORESAIL]], "ours", FORESAIL),
    ]


def _swept(report: Report) -> list[Layer]:
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
    layers = [_dots(report, others, "other", "settings of the other rules")]
    shown = [*((name, f"peer{place}") for place, name in enumerate(cheapest)), (FORESAIL, "ours")]
    for name, style in shown:
        ordered = sorted(report.sweeps.get(name, []), key=lambda r: r.knob)
        layers += [_line(ordered, style, name), _dots(report, ordered, style, "")]
    return [*layers, _oracle_line(report)]


def _oracle_line(report: Report) -> Layer:
    ordered = sorted(report.oracle, key=lambda r: r.knob)
    return _line(ordered, "oracle", ORACLE)


def _line(results: list[Result], style: str, label: str) -> Layer:
    xs, ys = [r.gpu_hours for r in results], [100 * r.attainment for r in results]
    return Layer(label=label, style=style, shape="line", xs=xs, ys=ys)


def _dots(report: Report, results: list[Result], style: str, label: str) -> Layer:
    """With its name beside each rule as it is set."""
    return Layer(
        label=label,
        style=style,
        shape="dots",
        xs=[result.gpu_hours for result in results],
        ys=[100 * result.attainment for result in results],
        titles=[_setting(result) for result in results],
        names=[one.policy if report.usual.get(one.policy) is one else "" for one in results],
    )


def _least_shown(report: Report) -> float:
    """Room for Foresail and the rule beside it, also where they serve few in time."""
    beside = [r for r in (report.usual[FORESAIL], report.rival()) if r is not None]
    least = min(100 * result.attainment for result in beside)
    return min(_LEAST_SHOWN, 10 * (least // 10))


def _money_range(report: Report, least_shown: float) -> tuple[float, float]:
    """From the oracle at the least that is shown to somewhat above the dearest worth a look."""
    least = at_attainment(report.oracle, least_shown / 100)
    ours = [result.gpu_hours for result in report.sweeps.get(FORESAIL, [])]
    dearest = 2 * report.usual[FORESAIL].gpu_hours
    alike = [
        one.gpu_hours
        for one in report.usual.values()
        if 100 * one.attainment >= least_shown and one.gpu_hours <= dearest
    ]
    most = max([report.usual[FORESAIL].gpu_hours, *ours, *alike])
    low = 0.95 * min(least.gpu_hours if least else 0.5 * most, most)
    return low, max(1.15 * most, 1.6 * low)


def _setting(result: Result) -> str:
    return (
        f"{result.policy} at {result.knob:g}: {result.attainment:.2%},"
        f" {result.gpu_hours:,.1f} GPU-hours"
    )
