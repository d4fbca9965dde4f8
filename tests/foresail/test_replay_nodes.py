"""`foresail replay --nodes` as an operator runs it: replicas, nodes and money in one report."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from foresail.cli import main

ROWS = "t_s,requests,prompt_tokens,output_tokens\n" + "".join(
    f"{minute * 60},{requests},{requests * 800},{requests * 200}\n"
    for minute in range(150)
    for requests in [600 if minute // 15 % 2 else 200]
)
PLAN = "replicas: {mean: 6}\ngpuUsdHour: 6.00\n"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["replay", *map(str, arguments)])


def spoken(result: Result) -> str:
    return " ".join(result.output.split())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nodes")
    (folder / "traffic.csv").write_text(ROWS)
    (folder / "plan.yaml").write_text(PLAN)
    return folder


@pytest.fixture(scope="module")
def replayed(folder: Path) -> Result:
    """Nodes of one GPU, under the policy that orders and holds most."""
    return run(
        folder / "traffic.csv", "--plan", folder / "plan.yaml", "--against", "hpa-inflight",
        "--nodes", "--policy", "latency-first", "--consolidate-after", "10m",
        "--json", folder / "r.json", "--html", folder / "r.html",
    )  # fmt: skip


@pytest.fixture(scope="module")
def told(folder: Path, replayed: Result) -> dict[str, Any]:
    assert replayed.exit_code == 0, replayed.output
    found: dict[str, Any] = json.loads((folder / "r.json").read_text())["nodes"]
    return found


def test_nodes_are_run_under_the_replicas_of_foresail_and_of_the_first_rule(
    told: dict[str, Any],
) -> None:
    assert [(one["replicasOf"], one["nodesBy"]) for one in told["runs"]] == [
        ("foresail", "Karpenter alone"),
        ("foresail", "policy latency-first"),
        ("hpa-inflight", "Karpenter alone"),
        ("hpa-inflight", "policy latency-first"),
    ]
    assert (told["gpusPerNode"], told["consolidateAfterSeconds"]) == (1, 600.0)
    # 30 idle GPU-minutes of $6 an hour.
    assert told["usdPerDelayedMinute"] == pytest.approx(3.0)


def test_dollars_are_those_of_the_hours_and_the_hours_have_a_reason(told: dict[str, Any]) -> None:
    for one in told["runs"]:
        idle = sum(one["idleGpuHours"].values())
        assert one["gpuHours"] == pytest.approx(one["usedGpuHours"] + idle)
        assert one["usd"] == pytest.approx(6.0 * one["gpuHours"])
    assert "forecast hold" in told["runs"][1]["idleGpuHours"]
    assert "forecast hold" not in told["runs"][0]["idleGpuHours"]


def test_a_policy_that_costs_more_than_karpenter_alone_is_said_to(
    told: dict[str, Any], replayed: Result
) -> None:
    alone, policy = told["runs"][:2]
    assert policy["usd"] > alone["usd"]
    assert policy["delayedMinutes"] < alone["delayedMinutes"]
    more, share = policy["usd"] - alone["usd"], policy["usd"] / alone["usd"] - 1
    assert f"${more:,.0f} ({share:.1%}) MORE than Karpenter alone" in spoken(replayed)
    for sentence in told["verdict"]:
        assert sentence in spoken(replayed)


def test_the_terminal_and_the_page_have_the_same_runs(
    folder: Path, told: dict[str, Any], replayed: Result
) -> None:
    page = (folder / "r.html").read_text()
    for one in told["runs"]:
        assert f"${one['usd']:,.0f}" in replayed.output
        assert f"${one['usd']:,.0f}" in page
    assert page.count("<svg") == 2 * 4 + 4
    assert "http" not in page.replace("http-equiv", "")
    assert max(map(len, replayed.output.splitlines())) <= 80
    assert "…" not in replayed.output


@pytest.mark.parametrize(
    ("plan", "options", "message"),
    [
        pytest.param(
            "", ("--nodes",), "give --node-price USD, of one node for an hour, or gpuUsdHour",
            id="no price",
        ),
        pytest.param(
            PLAN, ("--policy", "balanced"), "--policy is about nodes: add --nodes",
            id="a policy without nodes",
        ),
        pytest.param(
            PLAN, ("--consolidate-after", "5m"), "--consolidate-after is about nodes",
            id="a wait without nodes",
        ),
        pytest.param(
            PLAN, ("--nodes", "--consolidate-after", "5"), "'5' is no duration such as 10m",
            id="a wait without a unit",
        ),
        pytest.param(
            PLAN, ("--nodes", "--policy", "balancd"), "did you mean 'balanced'?", id="no policy",
        ),
        pytest.param(
            PLAN + "nodes: {gpus: 8, consolidateAfter: 5m}\n", ("--nodes", "--gpus-per-node", 4),
            "--gpus-per-node 4: the plan has nodes.gpus 8", id="another size than the plan's",
        ),
        pytest.param(
            PLAN + "nodes: {gpus: 8, consolidateAfter: 5m}\n",
            ("--nodes", "--consolidate-after", "10m"),
            "--consolidate-after: the plan has nodes.consolidateAfter 5m",
            id="another wait than the plan's",
        ),
        pytest.param(
            PLAN + "serves: {model: llama-3.1-8b, gpu: h100-sxm, gpus: 2}\n",
            ("--nodes", "--gpus-per-node", 1), "a replica of the plan has 2 GPUs and fits no node",
            id="a replica larger than a node",
        ),
        pytest.param(
            PLAN + "startUp: 5m\n", ("--nodes",), "mark those of the node with oncePerNode: true",
            id="a start-up in one",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_said_before_anything_runs(
    folder: Path, tmp_path: Path, plan: str, options: tuple[object, ...], message: str
) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text(plan)
    done = run(folder / "traffic.csv", "--plan", file, *options)
    assert done.exit_code in {1, 2}
    assert message in spoken(done)
    assert "replaying" not in done.output


def test_a_backtest_takes_the_same_options(folder: Path) -> None:
    stray = ["backtest", "--from", str(folder / "traffic.csv"), "--policy", "balanced"]
    unpriced = ["backtest", "--from", str(folder / "traffic.csv"), "--nodes"]

    assert "--policy is about nodes: add --nodes" in CliRunner().invoke(main, stray).output
    assert "give --node-price USD" in CliRunner().invoke(main, unpriced).output


def test_a_wait_shorter_than_a_round_is_remarked(folder: Path) -> None:
    done = run(
        folder / "traffic.csv", "--plan", folder / "plan.yaml", "--days", "0.03",
        "--against", "static-mean", "--nodes",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "consolidateAfter 0s Karpenter removes empty nodes before the policy" in spoken(done)
