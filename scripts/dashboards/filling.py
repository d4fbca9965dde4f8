"""A dashboard's JSON with the answers of a Prometheus in its panels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from scripts.dashboards.answers import Line, Sample, lines, samples
from scripts.dashboards.asking import (
    LabelValues,
    TimeRange,
    first_value,
    label_values,
    replaced,
    variables,
    windows_beyond,
)
from scripts.dashboards.grid import Box, box

Answer = Mapping[str, Any]


class Prometheus(Protocol):
    """The three questions that Grafana asks; an answer is Prometheus' JSON."""

    def values(self, asked: LabelValues, time: TimeRange) -> Sequence[str]:
        """The values of a label."""
        ...

    def at_end(self, expr: str, time: TimeRange) -> Answer:
        """An instant query."""
        ...

    def over(self, expr: str, time: TimeRange, step_seconds: int) -> Answer:
        """A range query."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FilledPanel:
    kind: str
    title: str
    text: str
    unit: str
    no_value: str
    """What Grafana shows instead of a number."""
    box: Box
    stacked: bool = False
    thresholds: tuple[tuple[float, str], ...] = ()
    """From which value on it has which colour, the smallest first."""
    lines: tuple[Line, ...] = ()
    samples: tuple[Sample, ...] = ()
    long_windows: tuple[str, ...] = ()
    """Of its queries; they reach back to before the time shown."""

    @property
    def empty(self) -> bool:
        return not self.lines and not self.samples

    def colour(self, value: float) -> str | None:
        """None = the panel has no thresholds."""
        return next((name for least, name in reversed(self.thresholds) if value >= least), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class FilledDashboard:
    title: str
    chosen: Mapping[str, str]
    """The values of its variables."""
    panels: tuple[FilledPanel, ...]


def filled(
    dashboard: Mapping[str, Any], time: TimeRange, prometheus: Prometheus
) -> FilledDashboard:
    """Ask all that the dashboard asks, as Grafana would."""
    chosen: dict[str, str] = {}
    for one in variables(dashboard):
        found = prometheus.values(label_values(one["definition"], chosen), time)
        chosen[one["name"]] = first_value(one, found)
    return FilledDashboard(
        title=dashboard["title"],
        chosen=chosen,
        panels=tuple(_panel(one, chosen, time, prometheus) for one in dashboard["panels"]),
    )


def _panel(
    panel: Mapping[str, Any],
    chosen: Mapping[str, str],
    time: TimeRange,
    prometheus: Prometheus,
) -> FilledPanel:
    defaults = panel.get("fieldConfig", {}).get("defaults", {})
    place = box(panel["gridPos"])
    points = round(place.width)
    values = {**chosen, **time.built_in(points)}
    step = time.step_seconds(points)
    found_lines: list[Line] = []
    found_samples: list[Sample] = []
    long: set[str] = set()
    for target in panel.get("targets", ()):
        expr = replaced(target["expr"], values)
        legend = replaced(target["legendFormat"], values)
        long.update(windows_beyond(expr, time.seconds))
        if target["range"]:
            answer = prometheus.over(expr, time, step)
            found_lines += lines(answer, legend, time.steps(step))
        else:
            found_samples += samples(prometheus.at_end(expr, time), legend)
    steps = defaults.get("thresholds", {}).get("steps", ())
    return FilledPanel(
        kind=panel["type"],
        title=replaced(panel["title"], values),
        text=replaced(panel.get("description", ""), values),
        unit=defaults.get("unit", "short"),
        no_value=defaults.get("noValue", ""),
        box=place,
        stacked=defaults.get("custom", {}).get("stacking", {}).get("mode") == "normal",
        thresholds=tuple(
            (float("-inf") if one["value"] is None else one["value"], one["color"]) for one in steps
        ),
        lines=tuple(found_lines),
        samples=tuple(found_samples),
        long_windows=tuple(sorted(long)),
    )
