"""The demo as somebody sees it who pipes it: lines, one comparison, the same for the same seed."""

import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

import pytest

from foresail.demo.day import Frame
from foresail.demo.screen import line
from replay.world import View

COMMAND = (sys.executable, "-m", "foresail.cli", "demo", "--seconds", "1", "--seed", "7")
"""The shortest playback, as fast as the machine can."""
PLAYED_SECONDS = 720


@dataclass
class Played:
    frames: list[dict[str, Any]]
    scores: dict[str, dict[str, Any]]
    lines: list[str]
    errors: str


def test_what_nobody_measured_is_a_question_mark_in_a_line() -> None:
    view = View(
        at_seconds=0.0,
        ready=0,
        starting=0,
        draining=0,
        waiting=0,
        running=0,
        demand_requests_per_second=math.nan,  # no time has passed
        demand_prompt_tokens_per_second=math.nan,
        ttft_p95_seconds=math.nan,  # no request came
        timed_out=0,
        killed=0,
        gpu_hours=0.0,
    )
    frame = Frame(
        at_seconds=0,
        clock_seconds=0.0,
        view=view,
        asked=None,
        why=(),
        control="",
        band={},
        status=None,
    )

    shown = line(frame)

    assert "demand     ? requests/s       ? prompt tokens/s  asked ?" in shown
    assert "TTFT p95 ? s" in shown


@pytest.fixture(scope="module")
def played() -> Played:
    """The demo twice, side by side: as JSON, and into a pipe with nothing asked for."""
    processes = [
        subprocess.Popen(
            [*COMMAND, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        for options in (["-o", "json"], [])
    ]
    try:
        (records, problems), (lines, more) = [p.communicate(timeout=300) for p in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], problems + more
    *frames, last = [json.loads(line, parse_constant=not_json) for line in records.splitlines()]
    scores = {score["policy"]: score for score in last["scores"]}
    return Played(frames, scores, lines.splitlines(), problems + more)


def not_json(constant: str) -> NoReturn:
    raise AssertionError(f"{constant} is not JSON")


def test_each_frame_is_one_json_object(played: Played) -> None:
    assert [frame["atSeconds"] for frame in played.frames] == list(range(0, PLAYED_SECONDS, 15))
    assert all(frame["asked"] >= 1 and frame["why"] for frame in played.frames)


def test_a_forecast_is_there_from_the_first_frame_on(played: Played) -> None:
    first = played.frames[0]["forecastPromptTokens"]

    assert all(low <= middle <= high for low, middle, high in first.values())
    assert max(float(ahead) for ahead in first) >= 1800


def test_foresail_and_the_reactive_rules_are_scored_on_the_same_requests(played: Played) -> None:
    assert {"foresail", "keda-waiting", "hpa-inflight"} <= set(played.scores)
    assert all(0 <= score["attainment"] <= 1 for score in played.scores.values())
    assert all(score["gpuHours"] > 0 for score in played.scores.values())


def test_a_pipe_gets_lines_for_a_log(played: Played) -> None:
    assert "\x1b" not in "".join(played.lines)
    assert any(line.startswith("07:00  demand ") and "asked" in line for line in played.lines)


def test_the_comparison_names_every_rule_and_is_the_same_for_the_same_seed(
    played: Played,
) -> None:
    rows = {words[0]: words[1:] for line in played.lines if (words := line.split())}

    for policy, score in played.scores.items():
        in_time, first_token = f"{score['attainment']:.2%}", f"{score['ttftP95']:.2f}"
        assert rows[policy][:2] == [in_time, first_token], policy


def test_nothing_is_said_on_the_side(played: Played) -> None:
    assert played.errors == ""


def test_a_demo_that_is_interrupted_says_how_far_it_came_and_ends_in_one_word() -> None:
    process = subprocess.Popen(
        # So long that it goes on for half a minute after its first frames, however busy the cores.
        [sys.executable, "-m", "foresail.cli", "demo", "--seconds", "40", "--seed", "7"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        start_new_session=True,
        # A shell's background job ignores the signal, and so would its children.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    assert process.stdout is not None
    # At the first frame no request has ended yet.
    frames = (line for line in process.stdout if line.startswith("07:"))
    _ = next(frames), next(frames)

    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of its processes
    said, errors = process.communicate(timeout=60)

    assert (process.returncode, errors.split()) == (1, ["Aborted!"])
    assert "Stopped at 07:" in said
    assert "requests in time" in said
