"""What makes a release: the image's file, workflows that call make, notes, the same bytes twice."""

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.release_notes import CHANGELOG, main, notes_of

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


# The image.


def instructions() -> list[tuple[str, str]]:
    """Of the Dockerfile, in order; continued lines are joined."""
    text = (ROOT / "deploy" / "Dockerfile").read_text()
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    words = [line.partition(" ") for line in lines if line and not line.startswith("#")]
    return [(name, rest.strip()) for name, _, rest in words]


def last_stage() -> list[tuple[str, str]]:
    found = instructions()
    begin = max(at for at, (name, _) in enumerate(found) if name == "FROM")
    return found[begin:]


def test_both_bases_of_the_image_are_values() -> None:
    arguments = {rest.partition("=")[0] for name, rest in instructions() if name == "ARG"}
    bases = [rest.split()[0] for name, rest in instructions() if name == "FROM"]

    assert arguments == {"BUILD_BASE", "RUN_BASE"}
    assert bases == ["${BUILD_BASE}", "${RUN_BASE}"]


def test_the_image_that_runs_needs_no_shell_and_no_root() -> None:
    stage = last_stage()
    (user,) = [rest for name, rest in stage if name == "USER"]
    (entry,) = [rest for name, rest in stage if name == "ENTRYPOINT"]

    assert {name for name, _ in stage} == {"FROM", "COPY", "ENV", "USER", "ENTRYPOINT"}
    assert user == "65532:65532"
    assert yaml.safe_load(entry) == ["/usr/bin/python3", "-m", "foresail.cli"]
    assert all("--from=build" in rest for name, rest in stage if name == "COPY")


def test_the_image_installs_locked_requirements_by_their_hashes() -> None:
    (run,) = [rest for name, rest in instructions() if name == "RUN"]
    first, second = run.split("&&")

    assert "--require-hashes" in first
    assert "--requirement /build/run.txt" in first
    assert "--no-deps" in second
    assert "--no-index" in second


def test_the_program_runs_as_the_image_runs_it() -> None:
    command = [sys.executable, "-m", "foresail.cli", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)

    assert "Usage" in done.stdout


@pytest.mark.parametrize("bases", [("python:3.11", "b"), ("python@sha256:12", "b"), ("", "")])
def test_an_image_of_a_base_without_digest_is_refused(bases: tuple[str, str]) -> None:
    command = [ROOT / "scripts" / "image.sh", "image", *bases]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert f"not named by its digest: '{bases[0]}'" in done.stderr


# The wheel and the sdist.


def built(folder: Path, environment: dict[str, str], mask: int) -> dict[str, str]:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-t", "sdist", "-d", folder],
        cwd=ROOT,
        check=True,
        capture_output=True,
        env={**os.environ, "SOURCE_DATE_EPOCH": "1790000000", **environment},
        umask=mask,
        timeout=300,
    )
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_built_twice_the_wheel_and_the_sdist_have_the_same_bytes(tmp_path: Path) -> None:
    first = built(tmp_path / "first", {"TZ": "UTC", "LANG": "C"}, 0o022)
    second = built(
        tmp_path / "second", {"TZ": "Asia/Tokyo", "LANG": "C.UTF-8", "PYTHONHASHSEED": "7"}, 0o077
    )

    assert first == second
    assert {Path(name).suffix for name in first} == {".whl", ".gz"}


# The audit.


@pytest.mark.parametrize(
    ("told", "ended", "required", "status"),
    [
        pytest.param("No known vulnerabilities found", 0, "", 0, id="none"),
        pytest.param("Found 2 known vulnerabilities in 1 package", 1, "", 1, id="two"),
        pytest.param("ERROR: x: Dependency not found on PyPI", 1, "", 0, id="no-data"),
        pytest.param("ERROR: x: Dependency not found on PyPI", 1, "required", 1, id="needs-data"),
        pytest.param("error: no network", 2, "", 0, id="no-tool"),
    ],
)
def test_an_audit_without_data_says_that_it_was_none(
    tmp_path: Path, told: str, ended: int, required: str, status: int
) -> None:
    uv = tmp_path / "uv"
    uv.write_text(f"#!/bin/sh\necho '{told}' >&2\nexit {ended}\n")
    uv.chmod(0o755)
    done = subprocess.run(
        [ROOT / "scripts" / "audit.sh", uv, "requirements/run.txt"],
        env={**os.environ, "AUDIT": required},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == status
    assert told in done.stderr
    assert ("not audited" in done.stderr) is (told.lower().startswith("error"))


# Workflows.


def steps(path: Path) -> list[dict[str, Any]]:
    jobs = yaml.safe_load(path.read_text())["jobs"]
    return [step for job in jobs.values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_action_is_pinned_by_commit_and_says_its_version(path: Path) -> None:
    used = re.findall(r"uses: (.*)", path.read_text())

    assert used
    for one in used:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", one), one


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_call_targets_that_make_has(path: Path) -> None:
    run = "\n".join(step.get("run", "") for step in steps(path))
    called = set(re.findall(r"\bmake ([a-z0-9-]+)", run))

    assert called
    assert called <= TARGETS


def test_ci_runs_what_ci_runs_here() -> None:
    here = set(re.findall(r"^make ([a-z0-9-]+)", (ROOT / ".ci" / "run").read_text(), re.MULTILINE))
    there = "\n".join(step.get("run", "") for step in steps(ROOT / ".github/workflows/ci.yml"))

    assert here == {"test", "check", "e2e"}
    assert here <= set(re.findall(r"\bmake ([a-z0-9-]+)", there))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_job_has_no_more_rights_than_it_says_and_an_end(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())

    assert workflow["permissions"] == {"contents": "read"}
    assert all("timeout-minutes" in job for job in workflow["jobs"].values())
    # What a tag or a branch is called must not become part of a command.
    assert [step["run"] for step in steps(path) if "${{" in step.get("run", "")] == []


def test_the_image_of_a_release_has_the_tag_that_the_chart_asks_for(tmp_path: Path) -> None:
    job = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())["jobs"]["image"]
    chart = yaml.safe_load((ROOT / "deploy/chart/foresail/Chart.yaml").read_text())
    (named,) = [one["run"] for one in job["steps"] if "GITHUB_ENV" in one.get("run", "")]
    subprocess.run(
        ["bash", "-c", named],
        env={
            **os.environ,
            "GITHUB_REPOSITORY": "Someone/foresail",
            "GITHUB_REF_NAME": f"v{chart['appVersion']}",
            "GITHUB_ENV": str(tmp_path / "env"),
        },
        check=True,
    )

    image = f"ghcr.io/someone/foresail:{chart['appVersion']}"
    assert (tmp_path / "env").read_text() == f"IMAGE={image}\n"
    # Nothing is pushed of what was not audited.
    assert job["needs"] == "files"


# Notes.

TEXT = """# Changelog

## [Unreleased]

### Changed

- Later.

## [0.2.0] - 2026-11-01

### Fixed

- A fault.

## [0.1.0] - 2026-10-01

[0.2.0]: https://example.com
"""


def test_notes_are_the_section_of_the_version() -> None:
    assert notes_of(TEXT, "0.2.0") == "### Fixed\n\n- A fault.\n"


@pytest.mark.parametrize(
    ("version", "told"),
    [("0.3.0", r"no section \[0.3.0\] .*has Unreleased, 0.2.0"), ("0.1.0", "is empty")],
)
def test_a_version_without_notes_is_named(version: str, told: str) -> None:
    with pytest.raises(LookupError, match=told):
        notes_of(TEXT, version)


def test_our_changelog_has_notes_of_what_comes_next(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["Unreleased"]) == 0
    assert capsys.readouterr().out.startswith("### ")
    assert CHANGELOG.exists()
    assert main(["v99.0.0"]) == 1
    assert "rename [Unreleased]" in capsys.readouterr().err
