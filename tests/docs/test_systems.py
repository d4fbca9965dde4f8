"""The table of systems claims what a test shows, and no more."""

import ast
from pathlib import Path

import pytest
import yaml

from scaler.signals import Signal
from scaler.sources.catalogue import load, shipped

ROOT = Path(__file__).parent.parent.parent
PAGES = ROOT / "docs" / "integrations"
SYSTEMS = yaml.safe_load((PAGES / "systems.yaml").read_text(encoding="utf-8"))
BEGIN, END = "<!-- systems: from docs/integrations/systems.yaml -->", "<!-- end of systems -->"
EVIDENCE = {
    "real": "a run",
    "recorded": "a recording",
    "written": "written",
}
SECTIONS = ("What is read", "What is written", "Rights", "Configuration", "What it does not do")


def table() -> str:
    rows = ["| system | read | written | shown by |", "|---|---|---|---|"]
    rows += [
        f"| [{one['system']}](integrations/{one['page']}) | {one['reads']} | {one['writes']} "
        f"| {EVIDENCE[one['evidence']]} |"
        for one in SYSTEMS
    ]
    return "\n".join(rows)


def functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}


def test_the_table_is_made_from_the_list() -> None:
    page = (ROOT / "docs" / "systems.md").read_text(encoding="utf-8")
    shown = page.partition(BEGIN)[2].partition(END)[0].strip()
    assert shown == table(), f"put this between the marks:\n{table()}"


@pytest.mark.parametrize("row", SYSTEMS, ids=lambda row: row["system"])
def test_every_row_names_tests_that_exist(row: dict[str, list[str]]) -> None:
    assert row["tests"]
    for test in row["tests"]:
        path, _, name = test.partition("::")
        assert name in functions(ROOT / path), f"{test} does not exist"


@pytest.mark.parametrize("row", SYSTEMS, ids=lambda row: row["system"])
def test_a_row_that_runs_the_system_is_an_integration_or_end_to_end_test(
    row: dict[str, list[str]],
) -> None:
    runs = ("tests/integration/", "tests/e2e/", "tests/sources/test_prometheus")
    if row["evidence"] == "real":
        assert all(test.startswith(runs) for test in row["tests"])


@pytest.mark.parametrize("page", sorted({row["page"] for row in SYSTEMS}))
def test_every_page_says_what_is_read_written_allowed_and_not_done(page: str) -> None:
    headings = [
        line.removeprefix("## ")
        for line in (PAGES / page).read_text(encoding="utf-8").splitlines()
        if line.startswith("## ")
    ]
    assert [one for one in headings if one in SECTIONS] == [*SECTIONS]


def test_every_page_has_a_row() -> None:
    assert {row["page"] for row in SYSTEMS} == {path.name for path in PAGES.glob("*.md")}


def test_the_signals_of_every_engine_are_those_of_its_preset() -> None:
    lines = (PAGES / "engines.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "|" in line]
    (head,) = [row for row in cells if row[0] == "signal"]
    marks = {row[0].strip("`"): row[1:] for row in cells if row[0].strip("`") in {*Signal}}
    shown = {
        engine: {signal for signal, row in marks.items() if row[place] == "✓"}
        for place, engine in enumerate(head[1:])
    }
    assert shown == {name: {*load(name).signals} for name in shipped()}
