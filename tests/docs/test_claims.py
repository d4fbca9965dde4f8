"""The page on claims says what the program does."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from fleet.catalogue import shipped
from foresail.cli import main
from scheduler.need import Need
from scheduler.need_annotations import FIELDS

PAGE = (Path(__file__).parents[2] / "docs" / "claims.md").read_text()
ROW = re.compile(r"\| `foresail\.io/([a-z-]+)` \| (.+) \| (.+) \| (.+) \|")
ROWS = {row[1]: row for line in PAGE.splitlines() if (row := ROW.fullmatch(line))}


def test_every_annotation_is_documented_and_no_other() -> None:
    assert set(ROWS) == {field.key for field in FIELDS}


def test_the_example_is_what_is_printed() -> None:
    (command,) = re.findall(r"^    foresail (claim .+)$", PAGE, re.MULTILINE)
    arguments = [part.strip("'") for part in command.split()]
    printed = CliRunner().invoke(main, arguments).output.splitlines()
    shown = PAGE.partition("```yaml\n")[2].partition("```")[0].splitlines()
    assert shown == [line for line in printed if line.startswith("#")]


@pytest.mark.parametrize(
    "key",
    [
        "prompt-tokens",
        "output-tokens",
        "concurrent-requests",
        "memory-margin",
        "bottleneck",
        "ttft",
        "itl",
        "same-pcie-root",
    ],
)
def test_the_documented_default_is_the_one_in_force(key: str) -> None:
    (field,) = [field for field in FIELDS if field.key == key]
    written = ROWS[key][3].strip("`")
    assert field.read(written, shipped()) == getattr(Need(memory_bytes=1), field.of)
    assert f"[{written}]" in field.what
