"""The table of processes in docs/how-it-works.md says what the manifests grant."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from foresail.cli import main
from tests.deploy.examples import FOLDER, documents_of

PAGE = (Path(__file__).parents[2] / "docs" / "how-it-works.md").read_text()
SECTION = PAGE.partition("\n## Processes\n")[2].partition("\n## ")[0]
READS = frozenset({"get", "list", "watch"})
OF_KUBE_SCHEDULER = "foresail-scheduler"
"""A Role of the other container beside `foresail scheduler`."""


def rows() -> list[list[str]]:
    lines = [line for line in SECTION.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[1:]]


def manifest_of(row: list[str]) -> str:
    (name,) = re.findall(r"\(\.\./deploy/examples/([a-z-]+\.yaml)\)", row[1])
    return str(name)


def rules(name: str) -> Iterator[dict[str, Any]]:
    for document in documents_of(name):
        role = document["kind"] in {"Role", "ClusterRole"}
        if role and document["metadata"]["name"] != OF_KUBE_SCHEDULER:
            yield from document["rules"]


def named(cell: str) -> set[str]:
    return set(re.findall(r"`([a-z0-9/]+)`", cell))


@pytest.mark.parametrize("row", rows(), ids=manifest_of)
def test_a_process_has_the_rights_of_its_manifest_and_no_others(row: list[str]) -> None:
    read, written = set(), set()
    for rule in rules(manifest_of(row)):
        for verbs, found in ((READS, read), (set(rule["verbs"]) - READS, written)):
            if verbs & set(rule["verbs"]):
                found |= set(rule["resources"])
    assert (named(row[2]), named(row[3])) == (read, written)


@pytest.mark.parametrize("row", [one for one in rows() if one[0].startswith("`")], ids=manifest_of)
def test_a_process_runs_as_its_manifest_says(row: list[str]) -> None:
    (command,) = re.findall(r"^`foresail ([a-z]+)`$", row[0])
    (workload,) = (
        one for one in documents_of(manifest_of(row)) if one["kind"] in {"Deployment", "DaemonSet"}
    )
    containers = workload["spec"]["template"]["spec"]["containers"]
    assert command in main.commands
    assert command in {(one.get("args") or [""])[0] for one in containers}
    beside = len(containers) > 1
    assert row[1].startswith("a container beside" if beside else workload["kind"])
    replicas = workload["spec"].get("replicas")
    assert (f"{replicas} replicas" in row[1]) == (replicas is not None)


def test_every_process_of_the_examples_has_a_row() -> None:
    running = {
        path.name
        for path in FOLDER.glob("*.yaml")
        for one in documents_of(path.name)
        if one.get("kind") in {"Deployment", "DaemonSet"} and "foresail" in str(one["spec"])
    }
    assert running - {"claims-workload.yaml"} == {
        manifest_of(row) for row in rows() if row[0].startswith("`")
    }


def test_commands_that_run_where_you_are_are_commands() -> None:
    (text,) = (one for one in SECTION.split("\n\n") if one.startswith("`foresail fleet`"))
    words = set(re.findall(r"`(?:foresail )?([a-z]+)`", text))
    assert words <= main.commands.keys()
