"""Bus bandwidth that NCCL realised, beside the links that the agent reports."""

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from fleet.cluster.nodes import node_of
from fleet.cluster.report import Report, Way, report_from
from foresail.cli import main
from scheduler.agent.nccl import BusBandwidth, best_of, with_bandwidth
from scheduler.machines import machine_of
from scheduler.mix import Mix
from scheduler.placement import Shape
from scheduler.placement_state import PlacementState
from scheduler.pods import Pod
from tests.agent.machines import report, told

FIXTURES = Path(__file__).parents[1] / "fixtures"
RUNS = FIXTURES / "nccl"
H100 = FIXTURES / "machines" / "h100-8-nvswitch.json"
EIGHT = Shape(cpu_milli=1000, memory_mib=1000, gpus=8, gpu_milli=1000)


def run(name: str) -> BusBandwidth | None:
    return best_of([(RUNS / name).read_text(encoding="utf-8")])


@pytest.mark.parametrize(
    ("name", "best"),
    [
        (
            "h100-8-all-reduce.txt",
            BusBandwidth(gb_s=476.58, ranks=8, collective="all_reduce"),
        ),
        # 476.58 x 0.19
        ("h100-8-slow.txt", BusBandwidth(gb_s=90.55, ranks=8, collective="all_reduce")),
        # The small message and the run over two nodes tell nothing of the links of one.
        ("inspector.prom", BusBandwidth(gb_s=361.5, ranks=8, collective="AllReduce")),
        ("two-nodes.txt", None),
    ],
)
def test_the_best_run_on_one_node_with_large_messages_counts(
    name: str, best: BusBandwidth | None
) -> None:
    assert run(name) == best


def test_a_size_in_no_unit_of_nccl_tells_nothing_and_stops_nothing() -> None:
    """The Kelvin sign is a K to whoever ignores case."""
    text = 'nccl_bus_bandwidth_gbs{n_nodes="1",nranks="8",message_size="%s"} 100\n'
    assert best_of([text % "512\u212aB", text % "512MB"]) == BusBandwidth(
        gb_s=100.0, ranks=8, collective=None
    )


def test_the_links_and_what_nccl_realised_are_compared() -> None:
    machine = report(told("h100-8-nvswitch"))

    # 18 links of 26,562 MB/s are 478.1 GB/s a direction, of which NCCL gets 0.8: 382.5.
    good = with_bandwidth(machine, run("inspector.prom")).nccl
    slow = with_bandwidth(machine, run("h100-8-slow.txt")).nccl

    assert good is not None
    assert (good.bus_gb_s, good.expected_gb_s, good.share, good.problem) == (360, 382.5, 0.94, None)
    assert slow is not None
    assert (slow.bus_gb_s, slow.share) == (90, 0.24)
    assert slow.problem == (
        "NCCL realised 24% of the bus bandwidth that the links allow: the driver says that all "
        "NVLinks are up: look at the fabric manager, and whether NCCL used NVLink (NCCL_DEBUG=INFO)"
    )


def test_links_that_are_down_explain_a_slow_run() -> None:
    machine = told("h100-8-nvswitch")
    for link in machine["gpus"][3]["links"][:6]:
        link["state"] = 0

    slow = with_bandwidth(report(machine), run("h100-8-slow.txt")).nccl

    assert slow is not None
    assert slow.problem is not None
    assert slow.problem.endswith("allow: GPU3 has 12 of 18 NVLinks up")


@pytest.mark.parametrize(
    ("machine", "ranks"),
    [
        pytest.param("a100-4-pairs", 4, id="over-two-islands"),
        pytest.param("l40s-8-two-sockets", 8, id="without-nvlink"),
        pytest.param("h100-8-nvswitch", 16, id="more-ranks-than-gpus"),
    ],
)
def test_where_the_links_do_not_say_what_to_expect_there_is_no_verdict(
    machine: str, ranks: int
) -> None:
    best = BusBandwidth(gb_s=20, ranks=ranks, collective=None)

    found = with_bandwidth(report(told(machine)), best).nccl

    assert found is not None
    assert (found.bus_gb_s, found.expected_gb_s, found.share, found.problem) == (
        *(20, None, None, None),
    )


@pytest.mark.parametrize(
    ("way", "ranks", "expected"),
    [
        pytest.param(Way.SWITCH, 2, 382.5, id="fewer-over-switches"),
        pytest.param(Way.DIRECT, 2, None, id="fewer-over-links-that-lead-elsewhere-too"),
        pytest.param(Way.DIRECT, 8, 382.5, id="all"),
    ],
)
def test_of_a_smaller_run_the_links_tell_what_to_expect_where_they_end_at_switches(
    way: Way, ranks: int, expected: float | None
) -> None:
    machine = report(told("h100-8-nvswitch"))
    pairs = tuple(one.model_copy(update={"nvlink": way}) for one in machine.pairs)
    best = BusBandwidth(gb_s=80, ranks=ranks, collective=None)

    found = with_bandwidth(machine.model_copy(update={"pairs": pairs}), best).nccl

    assert found is not None
    assert (found.expected_gb_s, found.problem is None) == (expected, expected is None)


def test_the_agent_reads_the_files_of_the_last_day(tmp_path: Path) -> None:
    (tmp_path / "now.txt").write_bytes((RUNS / "h100-8-slow.txt").read_bytes())
    old = tmp_path / "old.txt"
    old.write_bytes((RUNS / "h100-8-all-reduce.txt").read_bytes())
    os.utime(old, (0, 0))
    # A job may write any time too.
    ahead = tmp_path / "ahead.txt"
    ahead.write_bytes(old.read_bytes())
    os.utime(ahead, (4e9, 4e9))

    words = ["agent", "--from", str(H100), "--nccl", str(tmp_path)]
    document = json.loads(CliRunner().invoke(main, [*words, "-o", "json"]).output)
    shown = CliRunner().invoke(main, [*words, "--print"]).output

    assert document["nccl"]["busGbS"] == 90
    assert "NCCL realised 24% of the bus bandwidth" in " ".join(shown.split())


def placed(slow: Report, good: Report, gpus: int) -> dict[str, float]:
    """What the term says of a node whose runs were slow, and of one whose runs were good."""
    machines = [
        machine_of(
            node_of(
                {
                    "metadata": {
                        "name": name,
                        "annotations": {"foresail.io/gpu-report": one.text()},
                    },
                    "status": {
                        "allocatable": {"cpu": "96", "memory": "1Ti", "nvidia.com/gpu": "8"},
                        "conditions": [{"type": "Ready", "status": "True"}],
                    },
                }
            )
        )
        for name, one in (("a-slow", slow), ("b-good", good))
    ]
    state = PlacementState(machines, Mix({EIGHT: 1.0}))
    shape = Shape(cpu_milli=1000, memory_mib=1000, gpus=gpus, gpu_milli=1000)
    pod = Pod(uid="u", name="llm/p", shape=shape)
    passed = state.filter(pod, ["a-slow", "b-good"], now_seconds=0).passed
    state.answers.filtered(
        pod, 2, state.filter(pod, passed, now_seconds=0), note=None, now_seconds=0
    )
    state.prioritise(pod, passed, now_seconds=0)
    answer = state.answers.of("llm/p")
    assert answer is not None
    assert answer.candidates[0].node == ("b-good" if gpus > 1 else "a-slow")
    return {
        one.node: milli
        for one in answer.candidates
        for term, milli in one.columns.items()
        if term.name == "bus_bandwidth"
    }


def test_realised_bus_bandwidth_below_expectation_lowers_a_placements_score() -> None:
    machine = report(told("h100-8-nvswitch"))
    slow = with_bandwidth(machine, run("h100-8-slow.txt"))
    good = with_bandwidth(machine, run("h100-8-all-reduce.txt"))

    # 8 GPUs x 1,000 x (1 - 0.24); nothing is said against the node in order, and nothing of one
    # GPU, which sends nothing over NVLink.
    assert placed(slow, good, 8) == {"a-slow": pytest.approx(-6080)}
    assert placed(slow, good, 1) == {}
    # A node without a run is no slow one.
    assert placed(slow, machine, 8) == {"a-slow": pytest.approx(-6080)}


def test_a_share_that_nobody_could_measure_counts_as_unknown() -> None:
    document = json.loads(
        with_bandwidth(report(told("h100-8-nvswitch")), run("h100-8-slow.txt")).text()
    )
    for share in (-1, 0, 1e9):
        document["nccl"]["share"] = share
        text = json.dumps(document)
        assert report_from(text).nccl is not None
        node = node_of({"metadata": {"name": "n", "annotations": {"foresail.io/gpu-report": text}}})
        assert node.report is not None
        assert node.report.bus_share is None
