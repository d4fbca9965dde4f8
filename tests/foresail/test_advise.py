"""`foresail advise`: from a recorded cluster, a policy and a past to decisions with their steps."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from foresail.cli import main

CLUSTER = Path(__file__).parent.parent / "fixtures" / "clusters" / "karpenter.yaml"
RECORDED = 1_795_853_340  # 2026-11-28T08:09:00Z, the newest time stamp in the record


def advise(*arguments: object, columns: int = 150) -> Result:
    environment = {"COLUMNS": str(columns), "KUBECONFIG": "/nowhere/config"}
    return CliRunner().invoke(
        main, ["advise", "--file", str(CLUSTER), *map(str, arguments)], env=environment
    )


def decided(*arguments: object) -> dict[str, Any]:
    """By pool."""
    result = advise("-o", "json", *arguments)
    assert result.exit_code == 0, result.output
    (cluster,) = json.loads(result.output)["clusters"]
    return {one["pool"]: one for one in cluster["pools"]}


def remarks(*arguments: object) -> list[str]:
    (cluster,) = json.loads(advise("-o", "json", *arguments).output)["clusters"]
    found: list[str] = cluster["remarks"]
    return found


def demand(file: Path, *rows: str, columns: str = "time,gpus,pool") -> Path:
    file.write_text("\n".join((columns, *rows)) + "\n")
    return file


def test_each_node_has_its_verdict_reason_and_steps() -> None:
    nodes = {one["node"]: one for one in decided("--policy", "balanced")["h100"]["nodes"]}

    assert {name: (one["verdict"], one["reason"]) for name, one in nodes.items()} == {
        "claim-h100-a": ("leave", None),
        "claim-h100-b": ("hold", "veto"),
        # Without a forecast our own hold ends at the ceiling, and Karpenter decides on the other.
        "claim-h100-c": ("release", "budget"),
        "claim-h100-d": ("leave", "no reason"),
        "claim-h100-e": ("leave", "uninitialized"),
        "claim-h100-f": ("leave", "uninitialized"),
    }
    # A lease of 15 minutes from the record's newest time stamp.
    assert nodes["claim-h100-b"]["until"] == "2026-11-28T08:24:00+00:00"
    (step,) = nodes["claim-h100-b"]["steps"]
    assert step["rule"] == "veto"
    assert "loads its model for 4 min; the veto ends in" in step["text"]


def test_the_table_shows_pools_nodes_and_why() -> None:
    shown = advise("--policy", "balanced").output.splitlines()

    assert shown[0] == "karpenter at 2026-11-28T08:09:00+00:00, the newest time stamp in its record"
    assert "pool h100: nodes of 8 GPUs, h100-sxm; policy balanced (advise)" in shown
    rows = {line.split()[0]: line.split() for line in shown if line.startswith(" claim-")}
    assert rows["claim-h100-a"] == ["claim-h100-a", "8/8", "55.04", "leave", "serves"]
    assert rows["claim-h100-f"] == ["claim-h100-f", "launched", "55.04", "leave", "uninitialized"]
    assert rows["claim-block-b"][:5] == ["claim-block-b", "0/8", "24.80", "hold", "reserved"]
    assert "the forecast knows no past: give one with --demand" in shown


@pytest.mark.parametrize("columns", [80, 120])
def test_no_line_is_wider_than_the_terminal(columns: int) -> None:
    shown = advise("--policy", "balanced", columns=columns).output.splitlines()
    assert max(map(len, shown)) <= columns


def test_a_past_of_bursts_holds_a_node_as_far_as_the_ceiling_pays(tmp_path: Path) -> None:
    # Every half hour the pool wants 48 GPUs for ten minutes; the next burst is due.
    rows = [
        f"{RECORDED - 120 * ago},{48 if ago % 15 in {10, 11, 12, 13, 14} else 12},h100"
        for ago in range(3 * 720, 0, -1)
    ]
    past = demand(tmp_path / "past.csv", *rows)

    without = decided("--policy", "latency-first")["h100"]
    informed = decided("--policy", "latency-first", "--demand", past)["h100"]

    def empty_nodes(pool: dict[str, Any]) -> dict[str, tuple[str, str]]:
        return {
            one["node"]: (one["verdict"], one["reason"])
            for one in pool["nodes"]
            if one["node"] in {"claim-h100-c", "claim-h100-d"}
        }

    assert empty_nodes(without)["claim-h100-d"] == ("leave", "no reason")
    # The ceiling of $220 an hour pays for two machines of $55.04 on their way and for one hold.
    assert empty_nodes(informed) == {
        "claim-h100-c": ("hold", "forecast hold"),
        "claim-h100-d": ("release", "budget"),
    }
    (first, *_) = [one for one in informed["nodes"] if one["node"] == "claim-h100-c"]
    assert first["steps"][0]["text"].startswith("node 3 is needed within 20 min with probability")


def test_rows_after_the_record_are_not_known(tmp_path: Path) -> None:
    file = demand(tmp_path / "past.csv", f"{RECORDED - 60},12,h100", f"{RECORDED + 60},96,h100")
    assert remarks("--policy", "balanced", "--demand", file) == [
        "--demand: 1 rows are of after the reading, and not used"
    ]


def test_a_trace_with_a_clock_of_its_own_ends_now(tmp_path: Path) -> None:
    rows = [f"{120 * step},{step % 9},l40s" for step in range(200)]
    file = demand(tmp_path / "trace.csv", *rows, columns="t_s,gpus,pool")
    forecast = decided("--policy", "balanced", "--demand", file)["l40s"]["forecast"]
    # The step of the record's moment, which the reading itself is the newest sample of.
    assert forecast["madeAt"] == "2026-11-28T08:08:00+00:00"
    assert remarks("--policy", "balanced", "--demand", file) == []


@pytest.mark.parametrize(
    ("columns", "row", "why"),
    [
        pytest.param(
            "at,gpus", "1,2", "its columns are at, gpus; it takes a column `time`", id="a"
        ),
        pytest.param("time,gpus", "1,-2", ":2: gpus is '-2': it takes a number, 0 or more", id="b"),
        pytest.param(
            "time,gpus", "noon,2", ":2: the time is 'noon': it takes Unix seconds", id="c"
        ),
        pytest.param("t_s,gpus", "2026-11-28,2", "the time is '2026-11-28': it takes sec", id="d"),
        pytest.param(
            "time,gpus",
            "1,2",
            "cluster karpenter has the pools h100, h100-block, l40s: say in a column `pool`",
            id="no-pool",
        ),
    ],
)
def test_a_past_that_makes_no_sense_is_refused(
    tmp_path: Path, columns: str, row: str, why: str
) -> None:
    file = demand(tmp_path / "past.csv", row, columns=columns)
    result = advise("--policy", "balanced", "--demand", file)
    assert result.exit_code == 1
    assert why in result.output


def test_a_written_time_and_a_gap_are_understood(tmp_path: Path) -> None:
    file = demand(
        tmp_path / "past.csv", "2026-11-28T08:01:00Z,12,h100", "2026-11-28T08:05:00Z,,h100"
    )
    assert remarks("--policy", "balanced", "--demand", file) == []


def test_a_pool_that_is_not_there_is_named(tmp_path: Path) -> None:
    file = demand(tmp_path / "past.csv", f"{RECORDED - 60},12,h200")
    assert remarks("--policy", "balanced", "--demand", file) == [
        "--demand: no pool here is called h200"
    ]


def test_two_policies_with_one_name_are_refused(tmp_path: Path) -> None:
    result = advise("--policy", "balanced", "--policy", "balanced")
    assert result.exit_code == 1
    assert "the policy 'balanced'" in result.output
