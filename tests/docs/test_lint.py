"""docs/lint.md has the table that the rules make, and shows what the command says."""

import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from foresail.cli import main
from policies.lint.registry import FILE_RULES, reference
from tests.lint.manifests import GONE, SCALED, UP, edited

PAGE = (Path(__file__).parents[2] / "docs" / "lint.md").read_text()
MAKE = 'python -c "from policies.lint.registry import reference; print(reference())"'


def test_the_documented_rules_are_those_that_run() -> None:
    assert PAGE.endswith(f"\n\n{reference()}\n"), f"paste what this prints: {MAKE}"


def test_what_is_said_of_files_is_documented() -> None:
    assert all(f"`{one}`" in PAGE for one in FILE_RULES)


def test_the_finding_shown_is_the_one_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    default = edited(
        SCALED,
        {
            "spec maxReplicaCount": 60,
            "spec triggers 0 metadata maxReplicas": "60",
            f"{UP} policies": GONE,
        },
    )
    Path("scaledobject.yaml").write_text(yaml.safe_dump(default, sort_keys=False))

    said = CliRunner().invoke(main, ["lint", "scaledobject.yaml"]).output

    shown = re.search(r"```text\n(.*?)```", PAGE, re.DOTALL)
    assert shown is not None
    # The line is that of the file shown.
    assert re.sub(r"\n +\d+", "\n", said) == re.sub(r"\n +\d+", "\n", shown[1])
