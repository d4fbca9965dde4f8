"""The dashboards drawn without Grafana: the same questions, in the same places."""

import json
import math
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from scripts.dashboards.__main__ import DASHBOARDS, FOLDER
from scripts.dashboards.answers import Line, Sample, legend_name, lines, samples
from scripts.dashboards.asking import (
    LabelValues,
    TimeRange,
    first_value,
    label_values,
    replaced,
    windows_beyond,
)
from scripts.dashboards.filling import FilledDashboard, FilledPanel, filled
from scripts.dashboards.grid import Box, box
from scripts.dashboards.picture import layers, picture
from scripts.dashboards.units import value_text

DAY = TimeRange(begin_seconds=1_795_961_677.0, end_seconds=1_795_961_917.0, scrape_seconds=5)
STEPS = [1_795_961_677.0, 1_795_961_687.0, 1_795_961_697.0]
NAN = math.nan

# Recorded from a Prometheus 2.42, but that the second series had a sample at each step.
RECORDED = json.loads(
    '{"status":"success","data":{"resultType":"matrix","result":['
    '{"metric":{"code":"OK"},"values":[[1795961677,"1.0526315789473684"],'
    '[1795961687,"0.7368421052631579"],[1795961697,"0.7368421052631579"]]},'
    '{"metric":{"code":"UNAVAILABLE"},"values":[[1795961677,"0"],[1795961697,"0.25"]]}]}}'
)


def answered(kind: str, *series: Mapping[str, Any]) -> dict[str, Any]:
    return {"status": "success", "data": {"resultType": kind, "result": [*series]}}


@dataclass
class FakePrometheus:
    """Has the series of some queries, and the values of some labels; notes what it is asked."""

    labels: Mapping[str, Sequence[str]]
    at: Mapping[str, float] = field(default_factory=dict)
    """The answer to an instant query that has this text in it."""
    asked: list[str] = field(default_factory=list)

    def values(self, asked: LabelValues, time: TimeRange) -> Sequence[str]:
        self.asked.append(asked.selector)
        return self.labels[asked.label]

    def at_end(self, expr: str, time: TimeRange) -> dict[str, Any]:
        self.asked.append(expr)
        found = [value for text, value in self.at.items() if text in expr]
        series = [{"metric": {}, "value": [time.end_seconds, str(value)]} for value in found]
        return answered("vector", *series)

    def over(self, expr: str, time: TimeRange, step_seconds: int) -> dict[str, Any]:
        self.asked.append(expr)
        return RECORDED if "foresail_rpc_duration_seconds_count" in expr else answered("matrix")


def dashboard(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / name).read_text())
    return found


def a_panel(**changes: Any) -> FilledPanel:
    given = {
        "kind": "timeseries", "title": "A panel", "text": "It shows.", "unit": "short",
        "no_value": "?", "box": box({"x": 0, "y": 0, "w": 8, "h": 8}),
    }  # fmt: skip
    return FilledPanel(**(given | changes))


def texts(svg: str) -> list[str]:
    return ["".join(one.itertext()) for one in ET.fromstring(svg).iter() if one.tag[-4:] == "text"]  # noqa: S314 - our own text


def test_the_grid_has_24_columns_and_a_gap_between_panels() -> None:
    assert box({"x": 8, "y": 9, "w": 16, "h": 4}) == Box(left=416, top=288, width=824, height=120)


def test_grafanas_own_variables_follow_the_time_shown_and_the_scrapes() -> None:
    # 240 s on 400 points would be a value each 0.6 s; no scrape is as often as that.
    assert DAY.built_in(400) == {
        "__range": "240s",
        "__interval": "5s",
        "__rate_interval": "20s",
    }
    # A day on 800 points: a value each 108 s, and a rate over that and one scrape more.
    whole = TimeRange(begin_seconds=0.0, end_seconds=86_400.0, scrape_seconds=30)
    assert whole.built_in(800)["__rate_interval"] == "138s"


def test_a_variable_is_replaced_in_each_of_its_spellings_and_needs_a_value() -> None:
    values = {"horizon": "60", "dimension": "requests"}

    assert replaced('a{d="$dimension"} offset ${horizon}s', values) == (
        'a{d="requests"} offset 60s'
    )
    with pytest.raises(ValueError, match=r"variable \$pool has no value: 'a\{\$pool\}'"):
        replaced("a{$pool}", values)


def test_a_variable_begins_with_all_or_its_first_value() -> None:
    names = {"name": "namespace", "includeAll": False, "sort": 1}
    numbers = {"name": "horizon", "includeAll": False, "sort": 3}

    assert first_value(names, ["web", "llm"]) == "llm"
    assert first_value(numbers, ["300", "60"]) == "60"
    assert first_value({"includeAll": True, "allValue": ".*"}, []) == ".*"
    with pytest.raises(ValueError, match=r"variable \$namespace: Prometheus has no value"):
        first_value(names, [])


def test_a_variables_question_has_the_values_of_those_before_it() -> None:
    asked = label_values('label_values(a{namespace="$namespace"}, pod)', {"namespace": "llm"})

    assert asked == LabelValues(selector='a{namespace="llm"}', label="pod")
    with pytest.raises(ValueError, match=r"'metrics\(a\)' is no label_values"):
        label_values("metrics(a)", {})


def test_a_window_longer_than_the_time_shown_is_named() -> None:
    assert windows_beyond("rate(a[10m]) + rate(b[4m]) + rate(c[1h])", 240.0) == ("10m", "1h")


@pytest.mark.parametrize(
    ("legend", "name"),
    [
        ("q{{quantile}} of {{ pool }}", "q0.9 of gpus"),
        ("{{absent}}", ""),
        ("__auto", 'foresail_x{pool="gpus", quantile="0.9"}'),
    ],
)
def test_a_legend_is_filled_with_labels(legend: str, name: str) -> None:
    labels = {"__name__": "foresail_x", "quantile": "0.9", "pool": "gpus"}

    assert legend_name(legend, labels) == name


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0, "short", "0"),
        (1_234.0, "short", "1.23 K"),
        (10.0, "short", "10"),
        (0.0004, "short", "0.0004"),
        (0.0125, "s", "12.5 ms"),
        (90.0, "s", "1.5 min"),
        (-90.0, "s", "-1.5 min"),
        (864_000.0, "s", "10 d"),
        (31_536_000.0, "s", "1 y"),
        (36.0, "h", "1.5 d"),
        (0.25, "h", "15 min"),
        (0.055, "percentunit", "5.5%"),
        (1_234.5, "currencyUSD", "$1.23K"),
        (-3.0, "currencyUSD", "-$3"),
        (2.5, "reqps", "2.5 req/s"),
    ],
)
def test_a_value_is_written_in_its_unit(value: float, unit: str, text: str) -> None:
    assert value_text(value, unit) == text


def test_a_unit_that_is_not_known_is_named() -> None:
    with pytest.raises(ValueError, match="unit 'bytes'"):
        value_text(1.0, "bytes")


def test_a_step_without_a_sample_is_a_gap_and_no_zero() -> None:
    first, second = lines(RECORDED, "{{code}}", STEPS)

    assert (first.name, first.values) == (
        "OK",
        (1.0526315789473684, 0.7368421052631579, 0.7368421052631579),
    )
    assert second.name == "UNAVAILABLE"
    assert second.values == pytest.approx((0.0, NAN, 0.25), nan_ok=True)


def test_an_answer_without_a_number_is_no_data() -> None:
    one = {"metric": {}, "value": [1_795_961_917, "NaN"]}

    assert samples(answered("vector", one), "") == []
    assert lines(answered("matrix"), "", STEPS) == []
    with pytest.raises(ValueError, match="Prometheus refused: parse error"):
        samples({"status": "error", "error": "parse error"}, "")
    with pytest.raises(ValueError, match="answered with a matrix, and not a vector"):
        samples(RECORDED, "")


def test_stacked_lines_stand_on_those_that_are_known() -> None:
    drawn = lines(RECORDED, "{{code}}", STEPS)
    low, high = layers(a_panel(stacked=True, lines=tuple(drawn)), 24.0)

    assert (low.xs, low.ys) == ([0.0, 12.0, 24.0], [0.0, 0.0, 0.0])
    assert low.tops == pytest.approx([1.0526, 0.7368, 0.7368], abs=1e-4)
    assert high.ys == low.tops
    assert high.tops == pytest.approx([1.0526, NAN, 0.9868], abs=1e-4, nan_ok=True)


def test_a_number_has_the_colour_of_its_threshold() -> None:
    panel = a_panel(thresholds=((-math.inf, "green"), (120.0, "red")))

    assert [panel.colour(value) for value in (0.0, 119.9, 120.0)] == ["green", "green", "red"]
    assert a_panel().colour(1.0) is None


def drawn(*panels: FilledPanel) -> list[str]:
    made = FilledDashboard(title="One", chosen={"pool": "a<b"}, panels=panels)
    return texts(picture(made, caption="", hours=24.0))


def test_what_a_picture_cannot_show_whole_is_said_in_it() -> None:
    many = tuple(Line(name=f"series number {n}", values=(1.0, 2.0)) for n in range(40))
    rows = tuple(Sample(name="", labels={"pool": f"p{n}"}, value=0.5) for n in range(20))

    shown = drawn(a_panel(lines=many, long_windows=("10m", "1h")))
    assert "pool: a<b" in shown
    assert "Window 10m, 1h: longer than the time shown, so too low." in shown
    named = sum(text.startswith("series number") for text in shown)
    assert named
    assert f"and {40 - named} more" in shown

    shown = drawn(a_panel(kind="table", unit="percentunit", samples=rows))
    assert shown[3:8] == ["A panel", "pool", "Value", "p0", "50%"]
    assert "and 11 more" in shown
    assert "p9" not in shown


def test_bars_have_their_names_and_values() -> None:
    few = tuple(
        Sample(name=name, labels={}, value=hours) for name, hours in {"a": 2, "b": 0}.items()
    )

    assert drawn(a_panel(kind="bargauge", unit="h", samples=few))[-4:] == ["a", "2 h", "b", "0 h"]


def test_a_kind_of_panel_that_is_not_known_is_named() -> None:
    with pytest.raises(ValueError, match="panel 'A panel' is of the kind 'heatmap'"):
        drawn(a_panel(kind="heatmap", samples=(Sample(name="", labels={}, value=1.0),)))


def test_the_operator_sees_what_there_is_and_no_data_where_there_is_none() -> None:
    prometheus = FakePrometheus(
        labels={}, at={"foresail_reading_age_seconds": 150.0, "foresail_stuck_replicas": 0.0}
    )
    found = filled(dashboard("operator.json"), DAY, prometheus)
    shown = texts(picture(found, caption="Of a test.", hours=24.0))

    by_title = {one.title: one for one in found.panels}
    calls = by_title["KEDA's calls by gRPC status"]
    assert [one.name for one in calls.lines] == ["OK", "UNAVAILABLE"]
    assert "sum by (code) (rate(foresail_rpc_duration_seconds_count[20s]))" in prometheus.asked
    assert {"2.5 min", "red from 2 min", "OK", "UNAVAILABLE", "Of a test."} <= set(shown)
    with_data = {one.title for one in found.panels if not one.empty}
    assert with_data == {calls.title, "Oldest reading", "Stuck replicas"}
    # Rows have no panel of their own.
    empty = [one for one in found.panels if one.empty and one.kind != "row"]
    assert shown.count("no data") == len(empty)
    assert shown.count("?") == sum(one.kind == "stat" for one in empty)


def test_each_dashboard_asks_with_every_variable_replaced_and_is_drawn() -> None:
    labels = {
        "namespace": ["llm"], "scaled_object": ["day"], "dimension": ["requests"],
        "horizon_seconds": ["60", "6", "300"], "pool": ["gpus"],
    }  # fmt: skip
    for name in DASHBOARDS:
        prometheus = FakePrometheus(labels=labels)
        found = filled(dashboard(name), DAY, prometheus)
        ET.fromstring(picture(found, caption="", hours=24.0))  # noqa: S314 - our own text
        assert not [one for one in prometheus.asked if "$" in one]
        if name == "workload.json":
            assert found.chosen["horizon"] == "6"
            assert any("offset 6s" in one for one in prometheus.asked)
