"""The chart's dashboards ask Prometheus for what there is."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleet.reasons import Reason
from policies.node_plan import Verdict
from policies.rounds import ROUND_SECONDS
from scaler.learning.shadows.account import GIVEN_RULE
from scaler.learning.shadows.settings import PEOPLES
from scaler.signals import Signal
from scripts.dashboards.__main__ import DASHBOARDS, FOLDER, text
from scripts.dashboards.grafana import Dashboard
from tests.deploy.queries import faults, interpolated, parse_errors, selected
from tests.docs.metrics_page import series_labels

EXPORTED = series_labels()
QUERIES = [
    pytest.param(query, panel.title, id=f"{name}: {panel.title} {place}")
    for name, dashboard in DASHBOARDS.items()
    for panel in dashboard.panels
    for place, query in enumerate(panel.queries)
]
EACH = [pytest.param(one, id=name) for name, one in DASHBOARDS.items()]
VALUES = {
    "signal": {one.value for one in Signal},
    "reason": {one.value for one in Reason},
    "verdict": {one.value for one in Verdict},
    "rule": {"actual", "in-force", GIVEN_RULE, *PEOPLES},
    "quantile": {"0.5", "0.9", "0.99"},
    "state": {"value", "zero", "stale", "absent"},
}
"""The values that a label can have, where a query names one."""


def test_the_files_are_those_of_the_descriptions() -> None:
    committed = {path.name: path.read_text() for path in FOLDER.glob("*")}

    assert committed == {name: text(one) for name, one in DASHBOARDS.items()}, (
        "run python -m scripts.dashboards"
    )


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not in PATH")
def test_prometheus_reads_every_query(tmp_path: Path) -> None:
    queries = [interpolated(one.values[0].expr) for one in QUERIES]  # type: ignore[attr-defined]

    assert parse_errors(queries, tmp_path) == ""


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not in PATH")
def test_a_query_that_is_no_promql_is_found(tmp_path: Path) -> None:
    assert "parse error" in parse_errors(["sum by (rule (foresail_objects)"], tmp_path)


@pytest.mark.parametrize(("query", "title"), QUERIES)
def test_a_query_names_only_what_is_exported(query: Any, title: str) -> None:
    expr = interpolated(query.expr)

    assert list(faults(expr, EXPORTED)) == []
    for one in selected(expr):
        for label in one.values.keys() & VALUES.keys():
            assert set(one.values[label]) <= VALUES[label], f"{title}: {one.series} by {label}"


@pytest.mark.parametrize(("query", "title"), QUERIES)
def test_a_legend_has_only_labels_that_its_series_keep(query: Any, title: str) -> None:
    named = set(re.findall(r"\{\{(\w+)}}", query.legend))
    kept = {
        label.strip()
        for group in re.findall(r"by \(([^)]*)\)", query.expr)
        for label in group.split(",")
    }

    assert named <= kept, title


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ("foresail_replicas_wanted", "no process exports foresail_replicas_wanted"),
        ('foresail_objects{pool="a"}', "foresail_objects has no label pool"),
        ("sum by (pol) (foresail_late_machines)", "it groups by pol, which none of its series has"),
        ("rate(foresail_objects[5m])", "it takes a rate of foresail_objects, which is no counter"),
        ("foresail_refusals", "no process exports foresail_refusals"),
        ("foresail_look_duration_seconds", "no process exports foresail_look_duration_seconds"),
        ("vector(1)", "it reads no series of Foresail"),
    ],
)
def test_a_wrong_query_is_found(query: str, fault: str) -> None:
    assert list(faults(query, EXPORTED)) == [fault]


@pytest.mark.parametrize("dashboard", EACH)
def test_a_variable_takes_its_values_from_a_label_that_there_is(dashboard: Dashboard) -> None:
    for variable in dashboard.variables:
        found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable.values)
        assert found is not None
        series = found[1].partition("{")[0]
        assert found[2] in EXPORTED[series], variable.name


def panels(made: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (one for one in made["panels"] if one["type"] != "row")


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_panel_asks_the_prometheus_that_is_chosen_and_says_what_it_shows(name: str) -> None:
    made = json.loads((FOLDER / name).read_text())
    first = made["templating"]["list"][0]

    assert (first["name"], first["type"], first["query"]) == (
        "datasource",
        "datasource",
        "prometheus",
    )
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    for panel in panels(made):
        assert panel["datasource"] == chosen
        assert all(target["datasource"] == chosen for target in panel["targets"])
        assert panel["description"].endswith(".")


@pytest.mark.parametrize("name", DASHBOARDS)
def test_no_panel_lies_on_another_and_none_is_beside_the_screen(name: str) -> None:
    made = json.loads((FOLDER / name).read_text())
    taken: set[tuple[int, int]] = set()
    for panel in made["panels"]:
        place = panel["gridPos"]
        cells = {
            (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells
    ids = [panel["id"] for panel in made["panels"]]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("name", DASHBOARDS)
def test_what_is_not_measured_is_no_zero(name: str) -> None:
    made = json.loads((FOLDER / name).read_text())

    assert {one["fieldConfig"]["defaults"]["noValue"] for one in panels(made)} == {"?"}
    assert all("vector(0)" not in one["expr"] for p in panels(made) for one in p["targets"])


@pytest.mark.parametrize(("query", "title"), QUERIES)
def test_gpu_hours_that_both_controllers_count_are_counted_once(query: Any, title: str) -> None:
    once = r"max by \(pool, generation, reason\) \((?:3600 \* )?(?:rate|increase)\(foresail_gpu_"

    assert len(re.findall(once, query.expr)) == query.expr.count("foresail_gpu_"), title


@pytest.mark.parametrize(("query", "title"), QUERIES)
def test_a_rate_of_what_grows_once_a_round_spans_several_rounds(query: Any, title: str) -> None:
    series = "foresail_gpu_(?:hours|cost_usd)_total|foresail_controller_rounds_total"
    windows = re.findall(rf"\brate\((?:{series})(?:{{[^}}]*}})?\[([^]]+)]", query.expr)

    # 10m is five rounds; $__rate_interval may be one.
    assert set(windows) <= {"10m"}, title
    assert ROUND_SECONDS <= 600 / 5


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not in PATH")
def test_nothing_to_count_is_zero_and_a_limit_that_does_not_bite_is_not_listed(
    tmp_path: Path,
) -> None:
    gpu = '{pool="h100s", generation="h100", reason="veto"}'
    past = {
        f"foresail_gpu_hours_total{gpu}": "0+1x40",
        f"foresail_gpu_cost_usd_total{gpu}": "0+3x40",
        'foresail_limit_exceeded_total{limit="bites"}': "0+30x40",
        'foresail_limit_exceeded_total{limit="does-not"}': "0x40",
    }
    zero = [{"labels": "{}", "value": 0}]
    expected = {
        ("operator.json", "GPU-hours without a price", 0): zero,
        ("nodes.json", "GPU-hours without a price", 0): zero,
        ("nodes.json", "Of them, reserved", 0): zero,
        ("operator.json", "Missed reads, faults and limits", 2): [
            {"labels": '{limit="bites"}', "value": 1}
        ],
    }
    asked = [
        {"expr": interpolated(query_of(*place)), "eval_time": "20m", "exp_samples": samples}
        for place, samples in expected.items()
    ]
    series = [{"series": name, "values": values} for name, values in past.items()]
    file = tmp_path / "past.yaml"
    tests = [{"interval": "30s", "input_series": series, "promql_expr_test": asked}]
    file.write_text(yaml.safe_dump({"rule_files": [], "tests": tests}))
    done = subprocess.run(
        ["promtool", "test", "rules", file], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr


def query_of(name: str, title: str, place: int) -> str:
    """One of a panel's queries."""
    (found,) = (one for one in DASHBOARDS[name].panels if one.title == title)
    return found.queries[place].expr
