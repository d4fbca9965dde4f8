"""The charts of a workload: demand with the forecast's band, and replicas planned and ready."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from math import isfinite
from typing import Final

from foresail.console.records import Ahead, Series, WorkloadPage
from foresail.svg import NARROW, Axes, Layer, Plot

_TICK_STEPS: Final = (300, 900, 1800, 3600, 7200, 10800, 21600)
_TICKS: Final = 8


def demand_plot(page: WorkloadPage) -> Plot:
    """Demand in the past, and the forecast from now on."""
    past, ahead = page.past, page.ahead
    layers = []
    if ahead is not None:
        xs = [point.at_seconds for point in ahead.points]
        low, high = [p.median for p in ahead.points], [p.high for p in ahead.points]
        label = f"forecast, median to q{ahead.level:g}"
        layers = [
            Layer(label=label, style="forecast", shape="band", xs=xs, ys=low, tops=high),
            Layer(label="", style="forecast", shape="line", xs=xs, ys=low),
        ]
    layers += _runs(past, past.demand, "demand", "demand", "line")
    return Plot(
        title="Demand and its forecast", axes=_axes(page, "tokens / s"), layers=_named(layers)
    )


def replicas_plot(page: WorkloadPage) -> Plot:
    """Replicas that the plan wanted, and those that were ready."""
    past = page.past
    layers = _runs(past, past.planned, "planned", "planned", "step")
    layers += _runs(past, past.ready, "ready", "ready", "step")
    return Plot(
        title="Replicas planned and ready", axes=_axes(page, "replicas"), layers=_named(layers)
    )


def picture(plot: Plot) -> str:
    """A plot as HTML: its legend, and a sheet for each width."""
    return f'<p class="legend">{plot.legend()}</p>{plot.svg()}{plot.svg(NARROW)}'


def _runs(past: Series, values: Sequence[float], label: str, style: str, shape: str) -> list[Layer]:
    """A layer for each run of measured values, so that nothing is drawn over a gap."""
    layers: list[Layer] = []
    for run in _measured_runs(values):
        xs, ys = list(past.at_seconds[run]), list(values[run])
        if run.stop < len(values) and shape == "step":
            # A step lasts until the first moment at which nothing was measured.
            xs.append(past.at_seconds[run.stop])
            ys.append(ys[-1])
        layers.append(Layer(label="" if layers else label, style=style, shape=shape, xs=xs, ys=ys))
    return layers


def _measured_runs(values: Sequence[float]) -> Iterator[slice]:
    begin: int | None = None
    for place, value in enumerate((*values, float("nan"))):
        if isfinite(value) and begin is None:
            begin = place
        elif not isfinite(value) and begin is not None:
            yield slice(begin, place)
            begin = None


def _named(layers: list[Layer]) -> list[Layer]:
    """An empty plot says so in its legend, where a frame alone would look like zeros."""
    if layers:
        return layers
    return [Layer(label="nothing measured yet", style="none", shape="line", xs=(), ys=())]


def _axes(page: WorkloadPage, y_label: str) -> Axes:
    begin, end = _span(page.past, page.ahead)
    step = next((s for s in _TICK_STEPS if (end - begin) / s <= _TICKS), _TICK_STEPS[-1])
    first = -(-begin // step) * step
    return Axes(
        x_label="UTC",
        y_label=y_label,
        x_text=lambda at: f"{datetime.fromtimestamp(at, UTC):%H:%M}",
        y_text=lambda value: f"{value:,.0f}" if value == round(value) else f"{value:g}",
        x_ticks=[first + step * n for n in range(int((end - first) // step) + 1)],
        x_range=(begin, end),
    )


def _span(past: Series, ahead: Ahead | None) -> tuple[float, float]:
    """The same for both charts, so that one can be read below the other."""
    times = [*past.at_seconds[:1], *past.at_seconds[-1:]]
    if ahead is not None:
        times += [ahead.points[0].at_seconds, ahead.points[-1].at_seconds]
    if not times:
        return 0.0, 3600.0
    return min(times), max(*times, min(times) + 3600.0)
