"""docs/agent.md lists the fields that the report has, and shows the matrix that is printed."""

import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path

from click.testing import CliRunner
from pydantic import BaseModel

from fleet.cluster.report import Report
from foresail.cli import main

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "agent.md").read_text()


def fields(part: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in part.model_fields.items():
        key = prefix + (field.alias or name)
        inner = [one for one in _types(field.annotation) if issubclass(one, BaseModel)]
        many = "[]" if "tuple" in str(field.annotation) else ""
        for one in inner:
            yield from fields(one, f"{key}{many}.")
        if not inner:
            yield key


def _types(annotation: object) -> Iterator[type]:
    if typing.get_origin(annotation) in {tuple, typing.Union, types.UnionType}:
        for one in typing.get_args(annotation):
            yield from _types(one)
    elif isinstance(annotation, type):
        yield annotation


def test_every_field_is_documented_and_no_other() -> None:
    documented = re.findall(r"^\| `([^`]+)` \|", PAGE, re.MULTILINE)

    assert sorted(documented) == sorted(fields(Report))


def test_the_matrix_shown_is_the_one_printed() -> None:
    machine = ROOT / "tests" / "fixtures" / "machines" / "a100-4-pairs.json"
    printed = CliRunner().invoke(main, ["agent", "--print", "--from", str(machine)]).output

    shown = [line.split() for line in PAGE.splitlines() if line.startswith("     ")]
    assert shown[1:] == [
        line.split()
        for line in printed.splitlines()
        if line.strip().startswith("GPU") and "X" in line
    ]
