"""docs/cost.md shows the table that is printed, and lists every reason."""

import re

from click.testing import CliRunner

from fleet.annotations import KEPT_BECAUSE, KEPT_UNTIL
from fleet.reasons import OF_EMPTY, Reason
from foresail.cli import main
from tests.docs.snippets import ROOT, Kind, snippets

FILE = ROOT / "docs" / "cost.md"
PAGE = FILE.read_text()


def rows(head: str) -> list[list[str]]:
    """The cells of the table with this head."""
    lines = PAGE.partition(f"| {head} |")[2].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_table_shown_is_the_one_printed() -> None:
    recorded = ROOT / "tests" / "fixtures" / "clusters" / "karpenter.yaml"
    environment = {"COLUMNS": "80"}
    printed = CliRunner().invoke(main, ["cost", "--file", str(recorded)], env=environment).output

    (shown,) = (one for one in snippets(FILE) if one.kind is Kind.OUTPUT)

    assert shown.text.strip("\n") == "\n".join(map(str.rstrip, printed.splitlines())).strip("\n")


def test_every_reason_is_explained_facts_first() -> None:
    listed = [Reason(name.strip("`")) for name, *_ in rows("reason")]

    assert sorted(listed) == sorted(Reason)
    facts = [one not in OF_EMPTY for one in listed]
    assert facts == sorted(facts, reverse=True)
    assert all(what and advice for _, what, advice in rows("reason"))


def test_the_annotations_are_those_that_are_read() -> None:
    assert set(re.findall(r"`(foresail\.io/kept[^`]*)`", PAGE)) == {KEPT_BECAUSE, KEPT_UNTIL}
