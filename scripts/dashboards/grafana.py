"""A dashboard as a short description, and Grafana's JSON of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

SCHEMA_VERSION: Final = 41
"""Of Grafana 12; older ones read it too, later ones migrate it."""
_COLUMNS: Final = 24
_DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_TAG: Final = "foresail"
ROUNDS: Final = "10m"
"""The window of rates of what the controller counts, which grows once a round.

A round is made every two minutes when nothing happens. `$__rate_interval` is then two minutes at
scrapes of 30 s: such a rate is nothing a quarter of the time, and a third too much otherwise.
"""

Kind = Literal["timeseries", "stat", "bargauge", "table"]
Look = Literal["lines", "stacked"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One PromQL expression, and the name of each of its series."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """What one panel answers."""

    title: str
    text: str
    """What it shows, and what a person does with it."""
    queries: tuple[Query, ...]
    unit: str = "short"
    """Of Grafana's list of units."""
    kind: Kind = "timeseries"
    look: Look = "lines"
    width: int = 8
    """In columns of 24."""
    bad_from: float | None = None
    """A stat is red from here on; None = it has no colour."""

    @property
    def height(self) -> int:
        return 4 if self.kind == "stat" else 8


def stat(
    *, title: str, text: str, query: Query, unit: str = "short", width: int = 4,
    bad_from: float | None = None,
) -> Panel:  # fmt: skip
    """One number."""
    return Panel(
        title=title, text=text, queries=(query,), kind="stat", unit=unit, width=width,
        bad_from=bad_from,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A choice at the top of a dashboard, from the values of a label."""

    name: str
    values: str
    """`label_values(series, label)`."""
    has_all: bool = False
    numeric: bool = False
    """Its values are in the order of their numbers: 60 before 300."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    uid: str
    title: str
    text: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...] = ()
    since: str = "now-6h"

    @property
    def panels(self) -> tuple[Panel, ...]:
        return tuple(panel for row in self.rows for panel in row.panels)


def grafana(dashboard: Dashboard) -> dict[str, Any]:
    """The JSON that Grafana imports."""
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.text,
        "tags": [_TAG],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "1m",
        "timezone": "browser",
        "time": {"from": dashboard.since, "to": "now"},
        "links": [
            {"type": "dashboards", "title": "Foresail", "tags": [_TAG], "asDropdown": True,
             "keepTime": True, "includeVars": False, "targetBlank": False, "icon": "external link",
             "url": "", "tooltip": ""},
        ],
        "annotations": {"list": []},
        "templating": {"list": [_datasource(), *map(_variable, dashboard.variables)]},
        "panels": _panels(dashboard.rows),
    }  # fmt: skip


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource",
            "query": "prometheus", "current": {}, "hide": 0, "refresh": 1,
            "includeAll": False, "multi": False, "options": [], "regex": ""}  # fmt: skip


def _variable(variable: Variable) -> dict[str, Any]:
    return {
        "name": variable.name,
        "type": "query",
        "datasource": _DATASOURCE,
        "definition": variable.values,
        "query": {"query": variable.values, "refId": variable.name},
        "current": {"text": "All", "value": "$__all"} if variable.has_all else {},
        "includeAll": variable.has_all,
        "allValue": ".*" if variable.has_all else None,
        "multi": variable.has_all,
        "hide": 0,
        "refresh": 2,
        "regex": "",
        "sort": 3 if variable.numeric else 1,
        "options": [],
    }


def _panels(rows: Sequence[Row]) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    top = 0
    for row in rows:
        heading = {"type": "row", "title": row.title, "collapsed": False, "panels": []}
        place = {"x": 0, "y": top, "w": _COLUMNS, "h": 1}
        made.append({"id": len(made) + 1, "gridPos": place, **heading})
        top += 1
        for line in _lines(row.panels):
            left = 0
            for panel in line:
                place = {"x": left, "y": top, "w": panel.width, "h": panel.height}
                made.append({"id": len(made) + 1, "gridPos": place, **_panel(panel)})
                left += panel.width
            top += max(panel.height for panel in line)
    return made


def _lines(panels: Sequence[Panel]) -> Iterator[list[Panel]]:
    """As many panels beside each other as a line holds."""
    line: list[Panel] = []
    for panel in panels:
        if sum(one.width for one in line) + panel.width > _COLUMNS:
            yield line
            line = []
        line.append(panel)
    if line:
        yield line


def _panel(panel: Panel) -> dict[str, Any]:
    instant = panel.kind != "timeseries"
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.text,
        "datasource": _DATASOURCE,
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel),
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": _DATASOURCE,
                "expr": query.expr,
                "legendFormat": query.legend or "__auto",
                "instant": instant,
                "range": not instant,
                "format": "table" if panel.kind == "table" else "time_series",
            }
            for place, query in enumerate(panel.queries)
        ],
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    # No value is not 0: Grafana shows a question mark, and a gap in a line.
    made: dict[str, Any] = {"unit": panel.unit, "noValue": "?"}
    if panel.kind == "timeseries":
        stacked = panel.look == "stacked"
        made["custom"] = {
            "lineWidth": 1,
            "fillOpacity": 40 if stacked else 0,
            "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
            "spanNulls": False,
            "showPoints": "never",
        }
    if panel.bad_from is not None:
        made["color"] = {"mode": "thresholds"}
        steps = [{"color": "green", "value": None}, {"color": "red", "value": panel.bad_from}]
        made["thresholds"] = {"mode": "absolute", "steps": steps}
    return made


def _options(panel: Panel) -> dict[str, Any]:
    last = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    match panel.kind:
        case "timeseries":
            return {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
                    "tooltip": {"mode": "multi", "sort": "desc"}}  # fmt: skip
        case "stat":
            mode = "none" if panel.bad_from is None else "value"
            return {"reduceOptions": last, "colorMode": mode, "graphMode": "none",
                    "textMode": "auto", "orientation": "auto"}  # fmt: skip
        case "bargauge":
            return {"reduceOptions": last, "displayMode": "basic", "orientation": "horizontal"}
        case "table":
            return {"showHeader": True, "cellHeight": "sm"}
