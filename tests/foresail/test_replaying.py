"""`foresail replay` as an operator runs it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from foresail.cli import main

ROWS = "t_s,requests,prompt_tokens,output_tokens\n" + "".join(
    f"{minute * 60},{600 if 30 <= minute < 60 else 300},"
    f"{(600 if 30 <= minute < 60 else 300) * 800},{(600 if 30 <= minute < 60 else 300) * 200}\n"
    for minute in range(90)
)


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "traffic.csv"
    path.write_text(ROWS)
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["replay", *map(str, arguments)])


def test_a_replay_ends_with_a_table_json_and_one_page(trace: Path, tmp_path: Path) -> None:
    page, results = tmp_path / "report.html", tmp_path / "results.json"
    done = run(
        trace, "--against", "hpa-inflight,static-peak", "--scale-to", 3, "--html", page,
        "--json", results,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "hpa-inflight" in done.output
    told = json.loads(results.read_text())
    assert set(told["usual"]) == {"foresail", "hpa-inflight", "static-peak"}
    assert told["usual"]["static-peak"]["attainment"] == 1.0
    assert told["seconds"] == (90 - 15) * 60  # a sixth is the past
    moves = told["usual"]["foresail"]["moves"]
    assert moves
    assert all(move["why"] for move in moves)
    html = page.read_text()
    # Demand, replicas beside two rivals, and cost, each for a wide screen and for a narrow one; and
    # what was late, once for each of three rules.
    assert html.count("<svg") == 2 * 4 + 3
    assert "http" not in html.replace("http-equiv", "")  # it needs nothing from anywhere


def test_an_interrupted_replay_goes_on_from_its_file(trace: Path, tmp_path: Path) -> None:
    kept = tmp_path / "runs.jsonl"
    arguments = (trace, "--against", "static-peak", "--scale-to", 3, "--kept", kept)
    first = run(*arguments)
    lines = kept.read_text().splitlines()
    # The last run was cut off in the middle of its line.
    kept.write_text("\n".join(lines[:-1]) + "\n" + lines[-1][:40] + "\n")
    again = run(*arguments)
    assert again.output == first.output
    assert kept.read_text().splitlines()[len(lines) :] == lines[-1:]


def test_a_replay_on_very_few_replicas_says_that_one_more_or_less_decides(
    trace: Path,
) -> None:
    remark = "one replica more or less decides the result; --scale-to 8"
    few = CliRunner().invoke(main, ["replay", str(trace), "--against", "static-mean"])
    assert few.exit_code == 0, few.output
    assert remark in " ".join(few.output.split())
    options = ("--against", "static-mean", "--scale-to", "8")
    many = CliRunner().invoke(main, ["replay", str(trace), *options])
    assert many.exit_code == 0, many.output
    assert remark not in " ".join(many.output.split())


def test_a_sweep_tells_the_cost_at_equal_attainment(trace: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    done = run(trace, "--against", "hpa-inflight", "--scale-to", 3, "--sweep", "--html", page)
    assert done.exit_code == 0, done.output
    assert "at 99%*" in done.output
    assert "Cost and requests in time" in page.read_text()


def test_a_bound_below_the_need_is_said_first_and_leaves_no_verdict(
    trace: Path, tmp_path: Path
) -> None:
    plan, page, results = (tmp_path / name for name in ("plan.yaml", "report.html", "r.json"))
    plan.write_text("replicas: {max: 3, mean: 6}\n")
    done = run(trace, "--plan", plan, "--against", "static-peak", "--html", page, "--json", results)
    assert done.exit_code == 0, done.output
    assert done.output.startswith("NOT VALID")
    said = " ".join(done.output.split())
    assert "3 are allowed" in said
    assert "Leave replicas.max out of the plan" in said
    assert "Foresail as it ships" not in done.output
    html = page.read_text()
    assert html.index("<b>Not valid:</b>") < html.index("<table>")
    assert "class=verdict" not in html
    told = json.loads(results.read_text())
    assert (told["valid"], told["verdict"]) == (False, [])
    rows = [line.split() for line in done.output.splitlines()]
    in_time = {
        row[0]: float(row[1].rstrip("%"))
        for row in rows
        if row and row[0] in {"foresail", "static-peak", "oracle"}
    }
    assert len(in_time) == 3
    assert in_time["oracle"] == max(in_time.values())


def test_traffic_that_needs_more_than_the_usual_bound_gets_one_that_holds_it(
    trace: Path, tmp_path: Path
) -> None:
    results = tmp_path / "results.json"
    # A mean of 60 with a third of the time at double the rest: 90 at the peak.
    done = run(trace, "--scale-to", 60, "--against", "static-peak", "--json", results)
    assert done.exit_code == 0, done.output
    told = json.loads(results.read_text())
    assert told["replicasMax"] == pytest.approx(180, rel=0.05)
    assert (told["valid"], told["limits"]) == (True, [])
    assert max(run["attainment"] for run in told["oracle"]) > 0.99
    assert len(told["verdict"]) >= 2


def test_the_verdict_stands_below_the_table_and_on_the_page(trace: Path, tmp_path: Path) -> None:
    page, results = tmp_path / "report.html", tmp_path / "results.json"
    done = run(
        trace, "--scale-to", 3, "--against", "static-peak", "--html", page, "--json", results
    )
    verdict = " ".join(json.loads(results.read_text())["verdict"])
    assert verdict in " ".join(done.output.split())
    assert f"<p class=verdict>{verdict}</p>" in page.read_text()


def test_a_pace_that_no_replica_keeps_is_a_fault_of_the_plan(trace: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text("ttft: 2s\nitl: 10ms\n")
    done = run(trace, "--plan", plan)
    assert done.exit_code == 1
    assert "plan.yaml:2: itl: 10 ms cannot be kept" in done.output
    assert "takes 14.5 ms for a token" in done.output


def test_traffic_that_counts_requests_only_takes_its_tokens_from_the_options(
    tmp_path: Path,
) -> None:
    counted, results = tmp_path / "counted.csv", tmp_path / "results.json"
    counted.write_text("t_s,requests\n" + "".join(f"{60 * m},300\n" for m in range(40)))
    refused = run(counted)
    assert refused.exit_code == 1
    assert "no column prompt_tokens and no output_tokens" in refused.output
    assert "--prompt-tokens 800 --output-tokens 200" in refused.output

    options = ("--prompt-tokens", 800, "--output-tokens", 200)
    done = run(counted, *options, "--against", "static-peak", "--json", results)
    assert done.exit_code == 0, done.output
    assert "of 800 prompt and 200 generated tokens" in " ".join(done.output.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(("--prompt-tokens", 800), "go together", id="one-of-two"),
        pytest.param(
            ("--prompt-tokens", 800, "--output-tokens", 200), "tokens of its own", id="both"
        ),
    ],
)
def test_tokens_from_two_places_or_half_of_them_are_refused(
    trace: Path, arguments: tuple[object, ...], message: str
) -> None:
    done = run(trace, *arguments)
    assert done.exit_code == 1
    assert message in done.output


@pytest.mark.parametrize("option", ["--html", "--json", "--kept"])
@pytest.mark.parametrize(
    ("path", "message"),
    [
        pytest.param("nowhere/out", "there is no folder", id="no-such-folder"),
        pytest.param(".", "is a folder; name a file in it", id="a-folder"),
    ],
)
def test_a_file_that_cannot_be_written_is_refused_before_the_work(
    trace: Path, tmp_path: Path, option: str, path: str, message: str
) -> None:
    done = run(trace, option, tmp_path / path)
    assert done.exit_code == 2
    assert f"Invalid value for '{option}'" in done.output
    assert message in done.output
    assert "in time" not in done.output


def test_an_unknown_rule_is_named_with_its_nearest(trace: Path) -> None:
    done = run(trace, "--against", "hpa-inflihgt")
    assert done.exit_code == 1
    assert "--against 'hpa-inflihgt' is no rule" in done.output
    assert "did you mean hpa-inflight?" in done.output


def test_a_plan_with_faults_is_told_with_lines(trace: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text("ttft: 2s\nstartUp: soon\nreplicas:\n  min: 9\n  max: 3\nitll: 60ms\n")
    done = run(trace, "--plan", plan)
    assert done.exit_code == 1
    for part in ("plan.yaml:2: startUp", "plan.yaml:4: ", "plan.yaml:6: itll"):
        assert part in done.output, done.output


def test_a_plan_is_what_is_replayed(trace: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    results = tmp_path / "results.json"
    plan.write_text(
        "startUp:\n- {name: node, median: 60s}\n- {name: weights, median: 30s, logSigma: 0}\n"
        "gpuUsdHour: 2.5\nreplicas: {max: 9, mean: 3}\nattainment: 0.95\n"
        "engine:\n  name: small\n  gpus: 2\n  fixedSeconds: 0.01\n  perSequenceSeconds: 0.0001\n"
        "  perKvTokenSeconds: 1.0e-7\n  perPrefillTokenSeconds: 5.0e-5\n"
        "  maxNumBatchedTokens: 2048\n  maxNumSeqs: 32\n  kvTokens: 100000\n"
    )
    page = tmp_path / "report.html"
    done = run(trace, "--plan", plan, "--against", "static-peak", "--json", results, "--html", page)
    assert done.exit_code == 0, done.output
    told = json.loads(results.read_text())
    assert told["attainment"] == 0.95
    # A whole number of replicas, two GPUs each, over the 65 minutes that are judged.
    replicas = told["usual"]["static-peak"]["gpuHours"] / (2 * 65 / 60)
    assert replicas == pytest.approx(round(replicas), abs=0.01)
    assert 3 <= replicas <= 9
    assert "start-up 90 s" in page.read_text()
    assert "$" in page.read_text()


def test_a_plan_may_have_nodes_and_their_hours_are_counted(trace: Path, tmp_path: Path) -> None:
    plan, results, page = (tmp_path / name for name in ("plan.yaml", "r.json", "report.html"))
    plan.write_text(
        "startUp:\n- {name: node, median: 90s, logSigma: 0, oncePerNode: true}\n"
        "- {name: weights, median: 60s, logSigma: 0}\n"
        "nodes: {gpus: 2, consolidateAfter: 1m}\nreplicas: {mean: 3}\n"
    )
    done = run(trace, "--plan", plan, "--against", "static-peak", "--json", results, "--html", page)
    assert done.exit_code == 0, done.output
    static = json.loads(results.read_text())["usual"]["static-peak"]
    # It never scales once it has what it wants, so its nodes cost half of its GPUs, rounded up.
    assert static["gpuHours"] / 2 - 0.1 <= static["nodeHours"] <= static["gpuHours"] / 2 + 1.4
    assert "node-hours" in page.read_text()


def test_a_replica_that_fits_no_node_is_said(trace: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text("serves: {model: llama-3.3-70b, gpu: h100-sxm, gpus: 4}\nnodes: {gpus: 2}\n")
    done = run(trace, "--plan", plan)
    assert done.exit_code == 1
    assert "plan.yaml:2: nodes: a replica of 4 GPUs fits no node of 2" in done.output


def test_a_file_that_is_no_trace_is_an_error_and_no_traceback(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("a,b\n1,2\n")
    done = run(wrong)
    assert done.exit_code == 1
    assert "wrong.csv: line 1: columns a, b; expected t_s" in done.output


def test_a_replica_that_nobody_measured_comes_from_data_sheets(trace: Path, tmp_path: Path) -> None:
    plan, page = tmp_path / "plan.yaml", tmp_path / "report.html"
    plan.write_text("serves: {model: llama-3.1-8b, gpu: NVIDIA-L40S}\nreplicas: {mean: 3}\n")
    done = run(trace, "--plan", plan, "--against", "static-peak", "--html", page)
    assert done.exit_code == 0, done.output
    assert "llama-3.1-8b-bf16-1xl40s" in page.read_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("{model: llama-3.1-8b, gpu: h900}", "gpu 'h900' is in no catalogue", id="gpu"),
        pytest.param("{model: llama-3.3-70b, gpu: l4}", "the weights take", id="too-large"),
        pytest.param("{model: llama, gpu: l4}", "model", id="model"),
    ],
)
def test_a_replica_that_cannot_be_is_said(
    trace: Path, tmp_path: Path, text: str, message: str
) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(f"ttft: 2s\nserves: {text}\n")
    done = run(trace, "--plan", plan)
    assert done.exit_code == 1
    assert "plan.yaml:2: " in done.output
    assert message in done.output
