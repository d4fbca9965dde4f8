"""The picture of a day with its nodes."""

from foresail.svg import Axes, Layer, Plot
from tests.e2e.day import sheet
from tests.e2e.node_day import LEAD, Moment, NodeDay


def drawn(days: list[NodeDay], *, seconds: float, title: str) -> str:
    """The days under each other: the first one's forecast, and then the nodes of each."""
    most = max(max(one.nodes, one.hpa, one.need) for day in days for one in day.moments)
    axes = Axes(
        x_label="hour of the recorded day",
        y_label="replicas, nodes of one GPU",
        x_text=lambda x: f"{x:g}",
        y_text=lambda y: f"{y:g}",
        x_range=(0.0, 24.0),
        y_range=(0.0, 1.05 * most),
    )
    hours = 24 / seconds
    return sheet(
        title, [_forecast(days[0], hours, axes), *(_nodes(one, hours, axes) for one in days)]
    )


def _need(moments: list[Moment], hours: float) -> Layer:
    return Layer(
        label="need",
        style="need",
        shape="line",
        xs=[moment.at_seconds * hours for moment in moments],
        ys=[moment.need for moment in moments],
    )


def _forecast(day: NodeDay, hours: float, axes: Axes) -> Plot:
    foretold = [(one.at_seconds, one.band) for one in day.moments if one.band is not None]
    ahead = [(at_seconds + LEAD) * hours for at_seconds, _ in foretold]
    low, middle, high = ([band[at] for _, band in foretold] for at in range(3))
    return Plot(
        title="Demand and its forecast a lead time before",
        axes=axes,
        layers=[
            Layer(
                label="forecast, q0.5 to q0.99",
                style="forecast",
                shape="band",
                xs=ahead,
                ys=low,
                tops=high,
            ),
            Layer(label="q0.9", style="forecast", shape="line", xs=ahead, ys=middle),
            _need(day.moments, hours),
        ],
    )


def _nodes(day: NodeDay, hours: float, axes: Axes) -> Plot:
    xs = [moment.at_seconds * hours for moment in day.moments]
    steps = (
        ("nodes", "nodes", [float(moment.nodes) for moment in day.moments]),
        ("set by the HPA", "hpa", [float(moment.hpa) for moment in day.moments]),
        ("ready", "ready", [float(moment.ready) for moment in day.moments]),
    )
    title = (
        f"{day.name}: {day.gpu_hours:.0f} GPU-hours, {day.in_time_ratio:.1%} in time, "
        f"${day.idle_usd:.0f} idle"
    )
    layers = [_changes(name, style, xs, ys) for name, style, ys in steps]
    return Plot(title=title, axes=axes, layers=[*layers, _need(day.moments, hours)])


def _changes(name: str, style: str, xs: list[float], ys: list[float]) -> Layer:
    """A count as steps, with a point at each of its changes and at both ends."""
    last = len(ys) - 1
    kept = [at for at, y in enumerate(ys) if at in {0, last} or y != ys[at - 1]]
    return Layer(
        label=name,
        style=style,
        shape="step",
        xs=[xs[at] for at in kept],
        ys=[ys[at] for at in kept],
    )
