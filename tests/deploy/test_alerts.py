"""The chart's alerts: of metrics that there are, each with a runbook, each tried on a past."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.queries import faults
from tests.docs.metrics_page import ALERTS, ROOT, alerts, series_labels

TRIED = Path(__file__).with_name("alerts.test.yaml")
RUNBOOK = ROOT / "docs" / "runbook.md"
EACH = [pytest.param(one, id=one["alert"]) for one in alerts()]
EXPORTED = series_labels()


@pytest.mark.parametrize("alert", EACH)
def test_an_alert_names_only_what_is_exported(alert: dict[str, Any]) -> None:
    assert list(faults(alert["expr"], EXPORTED)) == []


@pytest.mark.parametrize("alert", EACH)
def test_an_alert_says_how_soon_and_what_to_do(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in {"critical", "warning", "info"}
    assert alert["annotations"]["summary"].endswith(".")
    anchor = alert["alert"].lower()
    assert alert["annotations"]["runbook_url"] == f"docs/runbook.md#{anchor}"


def test_the_runbook_has_a_section_for_each_alert_and_no_other() -> None:
    sections = re.split(r"^## (\w+)\n", RUNBOOK.read_text(), flags=re.MULTILINE)[1:]
    texts = dict(zip(sections[::2], sections[1::2], strict=True))

    assert list(texts) == [one["alert"] for one in alerts()]
    for name, text in texts.items():
        heads = re.findall(r"^\* ([\w ]+):", text, re.MULTILINE)
        assert heads == ["Look at", "Cause", "What to do"], name


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not in PATH")
def test_each_alert_fires_when_it_should_and_not_before() -> None:
    done = subprocess.run(
        ["promtool", "test", "rules", TRIED], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_is_tried_firing_and_silent() -> None:
    tried = yaml.safe_load(TRIED.read_text())
    cases = [case for test in tried["tests"] for case in test.get("alert_rule_test", ())]
    firing = {case["alertname"] for case in cases if case.get("exp_alerts")}
    silent = {case["alertname"] for case in cases if not case.get("exp_alerts")}

    assert (ROOT / "tests" / "deploy" / tried["rule_files"][0]).resolve() == ALERTS
    assert firing == silent == {one["alert"] for one in alerts()}
