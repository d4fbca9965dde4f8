"""A day of a pool as a plot: GPUs in use and idle, each idle one in its reason's colour."""

from collections.abc import Sequence
from typing import Final

from fleet.reasons import Reason
from foresail.svg import Axes, Layer, Plot
from replay.node_run import MINUTE_SECONDS, NodeMinute
from replay.traffic import DAY_SECONDS

_STEP = 4
"""Minutes that one point of an area stands for."""
LABELS: Final = {
    Reason.FRAGMENTATION: "free beside used ones",
    Reason.FORECAST_HOLD: "held for the forecast",
    Reason.WARM_FLOOR: "warm floor",
    Reason.PRE_WARM: "ordered ahead, not used yet",
    Reason.UNINITIALIZED: "ordered, starting",
    Reason.NONE: "empty, no reason",
}
"""The reasons of a replay's nodes from the bottom up, in a reader's words."""
STYLE: Final = """
.used { color: #b4bec9; } .fragmentation { color: #7d8ca3; } .forecast-hold { color: #0b6bcb; }
.warm-floor { color: #8a5cc7; } .pre-warm { color: #2aa876; } .uninitialized { color: #e8b62c; }
.no-reason { color: #d4513c; } .area { fill: currentColor; } .wanted { color: #111820; }
@media (prefers-color-scheme: dark) {
.used { color: #46515e; } .fragmentation { color: #6b7b93; } .forecast-hold { color: #3d8fe0; }
.warm-floor { color: #a583dc; } .wanted { color: #f4f6f8; } }
"""
"""Colours apart in hue and in lightness; the line of what is wanted stands out from all of them."""


def node_plot(title: str, minutes: Sequence[NodeMinute], *, gpus_max: float) -> Plot:
    """At most a day.

    Args:
        gpus_max: the top of the axis, so that two plots can be compared.
    """
    begin = (minutes[0].at_seconds - MINUTE_SECONDS) // DAY_SECONDS * DAY_SECONDS
    hours = [(one.at_seconds - begin) / 3600 for one in minutes]
    groups = [minutes[at : at + _STEP] for at in range(0, len(minutes), _STEP)]
    xs = [(group[-1].at_seconds - begin) / 3600 for group in groups]
    floor = [0.0] * len(groups)
    layers: list[Layer] = []
    series = {"in use": ("used", [_mean([one.used_gpus for one in group]) for group in groups])}
    for reason, label in LABELS.items():
        gpus = [_mean([one.idle_gpus.get(reason, 0.0) for one in group]) for group in groups]
        if any(gpus):
            series[label] = (reason.value.replace(" ", "-"), gpus)
    for label, (style, gpus) in series.items():
        tops = [low + more for low, more in zip(floor, gpus, strict=True)]
        layers.append(
            Layer(label=label, style=f"area {style}", shape="band", xs=xs, ys=floor, tops=tops)
        )
        floor = tops
    wanted = [one.wanted_gpus for one in minutes]
    layers.append(Layer(label="wanted", style="wanted", shape="step", xs=hours, ys=wanted))
    axes = Axes(
        x_label="hour of the day",
        y_label="GPUs",
        x_text=lambda x: f"{x:g}",
        y_text=lambda y: f"{y:g}",
        x_ticks=[float(hour) for hour in range(0, 25, 3)] if _is_whole(minutes) else None,
        x_range=(0.0, 24.0 if _is_whole(minutes) else hours[-1]),
        y_range=(0.0, 1.05 * gpus_max),
    )
    return Plot(title=title, axes=axes, layers=layers)


def last_day(minutes: Sequence[NodeMinute]) -> Sequence[NodeMinute]:
    """The last whole day of a run, or all of a shorter one."""
    end = minutes[-1].at_seconds // DAY_SECONDS * DAY_SECONDS
    of_day = [one for one in minutes if end - DAY_SECONDS < one.at_seconds <= end]
    return of_day or minutes


def _is_whole(minutes: Sequence[NodeMinute]) -> bool:
    """Whether they fill most of a day; of a shorter run the axis ends where it does."""
    return 2 * len(minutes) * MINUTE_SECONDS > DAY_SECONDS


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
