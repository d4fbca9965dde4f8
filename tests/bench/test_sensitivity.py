"""`bench sensitivity`: which guesses are played, and rows worked out from two runs."""

import json
from pathlib import Path

import pytest

from bench import sensitivity
from replay.policies.port import Figures
from replay.replay_input import Platform, served_in_time
from replay.simulate import Day, Result, Window
from replay.trigger import Overrides

PLATFORM = Platform()
TRUE_RATE = served_in_time(PLATFORM, 1000, 200)


def run(first: tuple[float, float], rest: tuple[float, float], *, learned: float) -> Result:
    """A run of 100 requests a window, each window (in time, GPU-hours)."""
    figures = Figures(
        replica_requests_per_second=learned * TRUE_RATE,
        prompt_tokens=1000,
        output_tokens=200,
        lead_seconds=200,
    )
    windows = tuple(
        Window(
            until_seconds=until,
            counted=Day(requests=100, in_time=in_time, gpu_seconds=hours * 3600),
            figures=figures,
        )
        for until, (in_time, hours) in ((7200, first), (86400, rest))
    )
    return Result(
        policy="foresail", knob=0.95, requests=200, attainment=1, gpu_hours=1, ttft_p50=0,
        ttft_p95=0, ttft_p99=0, itl_p99=0, errors=0, cold_start_affected=0, actions=0, flips=0,
        days=(), windows=windows,
    )  # fmt: skip


def test_the_truth_is_what_was_given_with_nothing_learned_beside_it() -> None:
    metadata = {"leadTime": "300s", "replicaPromptTokensPerSecond": "8000",
                "replicaGeneratedTokensPerSecond": "1600"}  # fmt: skip

    told = sensitivity.TRUTH.metadata(metadata)

    assert told == metadata | {"capacity": "fixed", "lead": "fixed"}


def test_a_guess_of_the_truth_is_played_beside_it_for_that_one_learns() -> None:
    assert sensitivity.wrong_guesses([1.0], [1.0]) == [sensitivity.TRUTH, Overrides()]


def test_each_figure_is_wrong_by_itself_and_then_nothing_is_given() -> None:
    assert sensitivity.wrong_guesses([0.5, 1.0, None], [2.0, None]) == [
        sensitivity.TRUTH,
        Overrides(capacity=0.5),
        Overrides(),
        Overrides(capacity=None),
        Overrides(lead=2.0),
        Overrides(lead=None),
        Overrides(capacity=None, lead=None),
    ]
    assert sensitivity.wrong_guesses([0.5], [None]) == [
        sensitivity.TRUTH,
        Overrides(capacity=0.5),
        Overrides(lead=None),
    ]


def test_a_row_compares_a_window_with_the_same_window_of_the_truth() -> None:
    results = {
        sensitivity.TRUTH: run((99, 20), (100, 160), learned=1.0),
        Overrides(capacity=None): run((97, 30), (99, 168), learned=0.9),
    }
    rows = list(sensitivity.rows_of("days", PLATFORM.profile, results, PLATFORM))
    assert [(row["capacity"], row["hours"]) for row in rows] == [
        ("truth", "0-2"), ("truth", "2-24"), ("none", "0-2"), ("none", "2-24"),
    ]  # fmt: skip
    assert [row["attainment"] for row in rows] == [0.99, 1.0, 0.97, 0.99]
    assert [row["truth_ratio"] for row in rows] == pytest.approx([1, 1, 1.5, 1.05])
    assert [row["gpu_hours"] for row in rows] == pytest.approx([20, 160, 30, 168])
    assert [row["learned_capacity_ratio"] for row in rows] == pytest.approx([1, 1, 0.9, 0.9])
    assert {row["learned_lead_seconds"] for row in rows} == {200}


def test_a_run_that_was_kept_is_not_made_again(tmp_path: Path) -> None:
    trace, kept, out = tmp_path / "day.csv", tmp_path / "kept", tmp_path / "rows.json"
    rows = "\n".join(f"{60 * minute},60,800,200" for minute in range(200))
    trace.write_text(f"t_s,requests,prompt_tokens,output_tokens\n{rows}\n")
    arguments = ["--trace", str(trace), "--replicas-mean", "2", "--capacity", "0.5", "--lead", "1"]
    arguments += ["--kept", str(kept), "--json", str(out)]

    sensitivity.main(arguments)
    first, lines = json.loads(out.read_text())["rows"], kept.read_text()
    sensitivity.main(arguments)

    assert [(row["capacity"], row["hours"]) for row in first] == [
        ("truth", "0-2"), ("truth", "2-2.78333"), ("0.5", "0-2"), ("0.5", "2-2.78333"),
        ("1", "0-2"), ("1", "2-2.78333"),
    ]  # fmt: skip
    assert json.loads(out.read_text())["rows"] == first
    assert kept.read_text() == lines


def test_days_that_end_before_the_first_window_are_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        sensitivity.main(["--days", "0.05"])
    assert "--days 0.05 leaves nothing after the first two hours" in capsys.readouterr().err
