"""Rows of `python -m bench faults` that tests observe: pytest runs those of one bed in one go.

A test that passes is a row that is ok. Its figures come from what it gave to the fixture `observed`
(`tests/conftest.py`).
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from bench._faults_row import OBSERVED, ByTest, Fault, Observed

ROOT: Final = Path(__file__).parent.parent
NOT_RUN: Final = Observed(
    text="not run: needs make e2e's programs",
    wrong_scale_downs=None,
    lost=None,
    recovered_seconds=None,
    ok=None,
)
LOAD_OBJECTS: Final = "300"
"""That two servers are asked about while they have a fault: more than `make e2e` needs."""
_CHARACTERS_MAX: Final = 100


def observed_by_tests(faults: Sequence[Fault]) -> Iterator[tuple[str, Observed]]:
    """The name of each fault that is a test's, with what the test observed."""
    tests = [(one.name, one.run.test) for one in faults if isinstance(one.run, ByTest)]
    built = "FORESAIL_BED" in os.environ
    for group, named in groupby(sorted(tests, key=_group), key=_group):
        if group and not built:
            yield from ((name, NOT_RUN) for name, _ in named)
            continue
        ours = dict(named)
        found = _results(list(ours.values()))
        for name, test in ours.items():
            yield name, found.get(test) or _failed("the test did not run")


def _group(named: tuple[str, str]) -> str:
    """Tests that pytest runs in one go: of one control plane, or of none."""
    _, test = named
    return str(Path(test.partition("::")[0]).parent) if ByTest(test=test).needs_bed else ""


def _results(tests: Sequence[str]) -> dict[str, Observed]:
    """By test; one that pytest did not come to is left out."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", *tests, "-q", "-p", "no:cacheprovider"]
        command += ["-p", "no:rerunfailures"]  # a row that holds at the second try does not hold
        # Only this family of reports has properties of tests.
        command += [f"--junitxml={report}", "-o", "junit_family=xunit1"]
        environment = {"FORESAIL_LOAD_OBJECTS": LOAD_OBJECTS, **os.environ}
        subprocess.run(command, cwd=ROOT, env=environment, stdout=sys.stderr, check=False)
        if not report.exists():
            return {}
        cases = ET.parse(report).iter("testcase")  # noqa: S314 pytest wrote it just now
        return {f"{case.get('file')}::{case.get('name')}": _observed(case) for case in cases}


def _observed(case: ET.Element) -> Observed:
    for kind in ("failure", "error", "skipped"):
        trouble = case.find(kind)
        if trouble is not None:
            return _failed(f"{kind}: {trouble.get('message') or ''}")
    for one in case.iter("property"):
        if one.get("name") == OBSERVED:
            return Observed(**json.loads(one.get("value") or ""), ok=True)
    return _failed("the test says nothing to `observed`")


def _failed(why: str) -> Observed:
    first, *_ = why.splitlines() or [""]
    return Observed(
        text=first[:_CHARACTERS_MAX],
        wrong_scale_downs=None,
        lost=None,
        recovered_seconds=None,
        ok=False,
    )
