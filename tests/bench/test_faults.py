"""`python -m bench faults`: a row is ok only when it was run, and the page has every row."""

import ast
import json
from dataclasses import replace
from pathlib import Path

import pytest

from bench import faults as command
from bench._faults_page import page
from bench._faults_row import ByTest, Observed
from bench._faults_tested import LOAD_OBJECTS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "when-things-fail.md"
FAULTS = command.faults()
TESTED = [one for one in FAULTS if isinstance(one.run, ByTest)]


def run_of(tmp_path: Path, *arguments: str) -> list[dict[str, object]]:
    rows = tmp_path / "rows.json"
    command.main([*arguments, "--json", str(rows)])
    found: list[dict[str, object]] = json.loads(rows.read_text())["rows"]
    return found


def test_a_row_of_the_bed_is_not_ok_where_there_is_no_bed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FORESAIL_BED", raising=False)
    (row,) = run_of(tmp_path, "--only", "rolling-update")
    assert (row["ok"], row["lost"]) == (None, None)
    assert row["observed"] == "not run: needs make e2e's programs"
    with pytest.raises(SystemExit):
        run_of(tmp_path, "--only", "rolling-update", "--page", str(tmp_path / "page.md"))
    assert not (tmp_path / "page.md").exists()
    assert "these were not run: rolling-update" in capsys.readouterr().err


def test_a_row_that_a_test_injects_is_ok_with_what_the_test_observed_and_not_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (full,) = [one for one in FAULTS if one.name == "state-disk-full"]
    mute = ByTest(test="tests/state/test_files.py::test_later_states_stand_behind_earlier_ones")
    monkeypatch.setattr(command, "faults", lambda: [full, replace(full, name="mute", run=mute)])
    with pytest.raises(SystemExit) as ended:
        run_of(tmp_path)
    assert ended.value.code == 1
    told, untold = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert (told["ok"], told["wrong_scale_downs"], told["lost"]) == (True, None, 0)
    assert told["observed"] == "2 of the 2 states that there was room for are read"
    assert (untold["ok"], untold["lost"]) == (False, None)
    assert untold["observed"] == "the test says nothing to `observed`"


def test_rows_of_an_earlier_run_stand_and_the_page_has_their_figures(tmp_path: Path) -> None:
    fault = FAULTS[0]
    seen = Observed(text="a|b", wrong_scale_downs=0, lost=2, recovered_seconds=1.25, ok=True)
    row = command.row(fault, seen)
    (tmp_path / "before.json").write_text(json.dumps({"rows": [row]}))
    rows = run_of(tmp_path, "--only", "unknown-keys", "--rows", str(tmp_path / "before.json"))
    assert [one["fault"] for one in rows] == [fault.name, "unknown-keys"]
    text = page([fault], [row])
    assert f"| `{fault.name}`: {fault.fault} | {fault.expected} | a\\|b | 0 | 2 | 1.2 |" in text


def test_names_are_unique_and_every_test_of_a_row_exists() -> None:
    assert len({one.name for one in FAULTS}) == len(FAULTS) >= 40
    for one in TESTED:
        assert isinstance(one.run, ByTest)
        file, _, name = one.run.test.partition("::")
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        tests = {getattr(node, "name", None) for node in ast.walk(tree)}
        assert name.partition("[")[0] in tests, one.run.test


def test_the_page_has_every_row_with_what_is_expected_and_none_is_not_ok() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert f" and {LOAD_OBJECTS} objects take the place of" in text
    shown = [line.split(" | ")[:2] for line in text.splitlines() if line.startswith("| `")]
    assert shown == [[f"| `{one.name}`: {one.fault}", one.expected] for one in FAULTS]
    assert "not ok" not in text
