"""docs/metrics.md has every metric that a process exports, and alerts on metrics that there are."""

import re
from pathlib import Path

import pytest

from tests.docs.metrics_page import PAGE, PROCESSES, names, page
from tests.docs.snippets import PAGES, ROOT

MAKE = "python -m tests.docs.metrics_page"
ROOMS = ("fleet", "foresail", "policies", "scaler", "scheduler")
IN_CODE = re.compile(r'"(foresail_[a-z_]+)"')


def test_the_tables_are_those_of_the_alerts_and_of_the_processes() -> None:
    assert PAGE.read_text() == page(PAGE.read_text()), f"run {MAKE}"


def test_every_metric_named_in_the_code_is_on_the_page() -> None:
    exported = {one.removesuffix("_total") for one in names()}

    named = {
        name.removesuffix("_total")
        for room in ROOMS
        for file in (ROOT / room).rglob("*.py")
        for name in IN_CODE.findall(file.read_text())
    }

    assert named - exported == set()


def test_a_metric_shows_its_labels_before_it_has_a_sample() -> None:
    labels = PROCESSES["foresail serve"]().labels()

    assert labels["foresail_refusals"] == ["reason"]
    assert labels["foresail_rpc_duration_seconds"] == ["method", "code"]
    assert labels["foresail_planned_replicas"] == ["namespace", "scaled_object"]
    assert labels["foresail_objects"] == []


@pytest.mark.parametrize(
    "one", [one for one in PAGES if one.name != "CHANGELOG.md"], ids=lambda one: one.name
)
def test_a_page_names_only_metrics_that_are_exported(one: Path) -> None:
    named = {
        re.sub(r"_(bucket|count|sum)$", "", name)
        for name in re.findall(r"\bforesail_[a-z_]*[a-z]\b", one.read_text())
    }

    assert named <= names()
