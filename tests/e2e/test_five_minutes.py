"""`scripts/record_answer.sh`: from `git clone` to the answer, as a newcomer types it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests import prometheus

ROOT = Path(__file__).parents[2]
HOURS = 6
WEEK_HOURS = 168


class Recorded(NamedTuple):
    """What the terminal showed, the same as JSON, and what made the traffic."""

    screen: str
    told: dict[str, Any]
    truth: dict[str, Any]
    page: str


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    prometheus.require()
    folder = tmp_path_factory.mktemp("five-minutes")
    # In place of uvx, which needs a package index: the same command of the clone, where it runs.
    uvx = folder / "uvx"
    uvx.write_text(
        "#!/bin/sh\n"
        "shift 4  # --quiet --from . foresail\n"
        f'exec {sys.executable} -m foresail.cli "$@"\n'
    )
    uvx.chmod(0o755)
    done = subprocess.run(
        ["scripts/record_answer.sh", str(folder), str(HOURS)],
        cwd=ROOT,
        env={
            **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            "PROMETHEUS_PORT": str(prometheus.free_port()),
            "PYTHON": sys.executable,
            "UVX": str(uvx),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told, truth = (
        json.loads((folder / name).read_text()) for name in ("answer.json", "truth.json")
    )
    return Recorded(done.stdout, told, truth, (folder / "page.html").read_text())


def test_a_clone_answers_with_nothing_but_an_address_a_model_and_the_rule(
    recorded: Recorded,
) -> None:
    for part in (
        "git clone", "Learned from your past:", "To paste under triggers[].metadata:", "Assumed:",
        "How sure:", "yours", "Foresail", "best possible", recorded.told["verdict"].split(":")[0],
        "from clone to answer:",
    ):  # fmt: skip
        assert part in recorded.screen
    assert "<svg" in recorded.page


def test_its_numbers_are_those_of_the_generator(recorded: Recorded) -> None:
    told, truth = recorded.told, recorded.truth
    past = told["past"]
    # Counters tell what has ended: the first minutes fill the server, the last are still running.
    for name in ("requests", "promptTokens", "generatedTokens"):
        assert past[name] == pytest.approx(truth[name], rel=0.05)
    assert sorted(told["startsSeconds"]) == pytest.approx(truth["startsSeconds"])
    week = WEEK_HOURS / HOURS
    assert told["recordedGpuHoursPerWeek"] == pytest.approx(truth["gpuHours"] * week, rel=0.05)
    yours = told["perWeek"]["yours"]
    assert sum(yours["gpuHours"]) / len(yours["gpuHours"]) == pytest.approx(
        truth["gpuHours"] * week, rel=0.1
    )
    # Judged by the second, which is never kinder than by the request.
    in_time = sum(yours["inTime"]) / len(yours["inTime"])
    assert truth["inTime"] - 0.06 < in_time <= truth["inTime"] + 0.005
