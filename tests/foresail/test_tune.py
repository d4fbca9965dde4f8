"""`foresail tune`: the best setting of each rule, whatever interrupted the search for it."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import isnan
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from foresail.cli import main
from foresail.replaying.node_question import NodeQuestion
from foresail.replaying.plan import ReplayPlan
from foresail.tuning.command import Exploration, explored
from foresail.tuning.table import TuneReport, as_document, tables
from foresail.tuning.tuned import ForAll, Setting, for_all, tuned
from replay.contest import Entry
from replay.kept_runs import digest_of, rooms
from replay.simulate import Result
from replay.traces import Trace
from scaler.errors import ForesailError


def trace(name: str, rate: float) -> Trace:
    minutes = np.arange(50)
    return Trace(
        name=name,
        step_seconds=60.0,
        requests_per_second=rate * (1 + 0.5 * np.sin(minutes / 10)),
        prompt_tokens=np.full(50, 800.0),
        output_tokens=np.full(50, 200.0),
    )


PLAN = ReplayPlan.model_validate(
    {
        "startUp": [
            {"name": "node", "median": "90s", "oncePerNode": True},
            {"name": "weights", "median": "60s"},
        ],
        "gpuUsdHour": 2.0,
    }
)
ASKED = Exploration(
    workloads=(trace("calm", 6.0),),
    rules=("static-mean", "sky-qps"),
    plan=PLAN,
    seeds=(1,),
    questions=(NodeQuestion(policy="balanced"),),
)


class Here:
    """A `Spread` in this process, which is ended after so many pieces."""

    def __init__(self, *, pieces_max: int = 10_000) -> None:
        self.done = 0
        self._pieces_max = pieces_max

    def __call__(
        self, shared: Any, work: Callable[[Any, Any], Any], pieces: Sequence[Any], /
    ) -> Iterator[tuple[Any, Any]]:
        for piece in pieces:
            if self.done == self._pieces_max:
                raise KeyboardInterrupt
            self.done += 1
            yield piece, work(shared, piece)


def document(report: TuneReport) -> str:
    return json.dumps(as_document(report))


def test_a_search_that_was_killed_gives_the_same_table_and_repeats_nothing(tmp_path: Path) -> None:
    whole, first, second = Here(), Here(pieces_max=5), Here()
    expected = explored(ASKED, spread=whole)
    asked = replace(ASKED, state=tmp_path / "state.jsonl")
    with pytest.raises(KeyboardInterrupt):
        explored(asked, spread=first)
    with (tmp_path / "state.jsonl").open("a") as file:
        file.write('{"key": "cut off by the ki')
    found = explored(asked, spread=second)
    assert document(found) == document(expected)
    assert (first.done, second.done) == (5, whole.done - 5)
    again = Here()
    assert document(explored(asked, spread=again)) == document(expected)
    assert again.done == 0
    assert [one.fared.setting.rule for one in found.tuned] == ["static-mean", "sky-qps"]
    shown = tables(found)[0].caption
    assert "setting of sky-qps: share of a replica's profiled requests a second" in str(shown)
    (nodes,) = found.nodes
    assert nodes.cost <= nodes.shipped_cost


def run(*, rule: str, knob: float, scenario: int, seed: int, hours: float, in_time: float) -> Any:
    entry = Entry(scenario=scenario, policy=rule, knob=knob, seed=seed)
    result = Result(
        policy=rule, knob=knob, requests=100.0, attainment=in_time, gpu_hours=hours,
        ttft_p50=0.1, ttft_p95=0.1, ttft_p99=0.1, itl_p99=0.01, errors=0.0,
        cold_start_affected=0.0, actions=0, flips=0, days=(),
    )  # fmt: skip
    return entry, result


RUNS = dict(
    run(rule=rule, knob=knob, scenario=place, seed=seed, hours=hours, in_time=in_time)
    for place, rule, knob, seed, hours, in_time in (
        # On the first workload b's cheap setting is late on the second seed.
        (0, "a", 1.0, 1, 30.0, 0.99), (0, "a", 1.0, 2, 50.0, 0.99),
        (0, "a", 2.0, 1, 80.0, 1.00), (0, "a", 2.0, 2, 80.0, 1.00),
        (0, "b", 1.0, 1, 10.0, 0.99), (0, "b", 1.0, 2, 10.0, 0.90),
        (0, "b", 2.0, 1, 60.0, 0.99), (0, "b", 2.0, 2, 60.0, 0.99),
        # On the second none of b's is in time.
        (1, "a", 1.0, 1, 10.0, 0.95), (1, "a", 1.0, 2, 10.0, 0.95),
        (1, "a", 2.0, 1, 20.0, 0.99), (1, "a", 2.0, 2, 20.0, 0.99),
        (1, "b", 1.0, 1, 10.0, 0.50), (1, "b", 1.0, 2, 10.0, 0.50),
        (1, "b", 2.0, 1, 10.0, 0.80), (1, "b", 2.0, 2, 10.0, 0.80),
    )
)  # fmt: skip


def test_the_best_setting_is_the_cheapest_that_is_in_time_on_every_seed() -> None:
    found = tuned(RUNS, ("one", "two"), 0.99)
    rows = [
        (one.workload, one.fared.setting.rule, one.fared.setting.knob, one.reached, one.times_best)
        for one in found
    ]
    assert rows == [
        ("one", "a", 1.0, True, 1.0),
        ("one", "b", 2.0, True, 1.5),
        ("two", "a", 2.0, True, 1.0),
        ("two", "b", 2.0, False, 0.5),
    ]


def test_one_setting_for_all_is_in_time_on_most_workloads_first() -> None:
    found = {one.setting.rule: one for one in for_all(RUNS, ("one", "two"), 0.99)}
    # a at 2: twice the best on the first, the best on the second.
    assert found["a"] == ForAll(
        setting=Setting(rule="a", knob=2.0), reached=2, times_best=pytest.approx(2**0.5)
    )
    # b at 2: 1.5 times the best, and half of it but late.
    assert (found["b"].setting.knob, found["b"].reached) == (2.0, 1)
    assert found["b"].times_best == pytest.approx(0.75**0.5)


def test_a_workload_that_no_setting_serves_in_time_does_not_hide_which_is_cheapest() -> None:
    late = dict(
        run(rule=rule, knob=knob, scenario=2, seed=1, hours=5.0, in_time=0.5)
        for rule, knob in (("a", 1.0), ("a", 2.0), ("b", 1.0), ("b", 2.0))
    )
    workloads = ("one", "two", "none")
    assert for_all(RUNS | late, workloads, 0.99) == for_all(RUNS, ("one", "two"), 0.99)
    # Of two settings that are late alike, the second is cheaper.
    alone = dict(
        run(rule="a", knob=knob, scenario=0, seed=1, hours=hours, in_time=0.5)
        for knob, hours in ((1.0, 8.0), (2.0, 5.0))
    )
    (found,) = for_all(alone, ("one",), 0.99)
    assert (found.setting.knob, found.reached, isnan(found.times_best)) == (2.0, 0, True)


def test_a_run_is_kept_for_its_code_and_its_data_alone(tmp_path: Path) -> None:
    room = tmp_path / "fleet"
    (room / "__pycache__").mkdir(parents=True)
    digests = []
    for name, content in (
        ("prices.py", "1"), ("prices.py", "2"), ("generations.yaml", "H100"), ("prior.npz", "x"),
        ("__pycache__/prices.pyc", "compiled"), ("README.md", "text"),
    ):  # fmt: skip
        (room / name).write_text(content)
        digests.append(digest_of([room]))
    assert len(set(digests[:4])) == 4
    assert set(digests[3:]) == {digests[3]}
    assert {room.name for room in rooms()} == {"replay", "policies", "scaler", "fleet"}


def test_an_address_without_a_cluster_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", ModuleType("ray"))
    done = CliRunner().invoke(main, ["tune", "--generate", "step", "--ray", "127.0.0.1:9"])
    assert done.exit_code == 1
    assert "--ray 127.0.0.1:9: no cluster can be reached" in done.output


def test_two_workloads_of_one_name_are_told() -> None:
    asked = replace(ASKED, workloads=(trace("calm", 6.0), trace("calm", 12.0)))
    with pytest.raises(ForesailError, match="two workloads are called calm: rename one"):
        explored(asked, spread=Here())


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param((), 2, "a TRACE or --generate SHAPE is needed", id="nothing"),
        pytest.param(
            ("--generate", "step", "--rules", "hpa"), 1, "--rules 'hpa' is no rule", id="rule"
        ),
        pytest.param(
            ("--generate", "step", "--gpus-per-node", "8"), 2, "add --policy", id="no-policy"
        ),
        pytest.param(
            ("--generate", "step", "--ray", "auto"),
            1,
            "--ray auto: Ray is not installed in this environment: pip install ray",
            id="no-ray",
        ),
    ],
)
def test_what_cannot_be_explored_is_told(
    arguments: tuple[str, ...], code: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    done = CliRunner().invoke(main, ["tune", *arguments])
    assert done.exit_code == code
    assert message in done.output


@pytest.mark.parametrize(
    ("content", "taken"),
    [
        pytest.param(b"t_s,requests\n0,60\n", False, id="a-trace"),
        pytest.param(b"\xff\xfe\x00", False, id="no-text"),
        pytest.param(b"", True, id="empty"),
        pytest.param(b'{"key": "67f', True, id="cut-off-in-the-first-line"),
        pytest.param(b'\n{"key": "67fc", "result": \xff}\n', True, id="damaged"),
    ],
)
def test_finished_runs_are_added_to_no_other_file_of_the_user(
    tmp_path: Path, content: bytes, *, taken: bool
) -> None:
    state = tmp_path / "state"
    state.write_bytes(content)
    asked = replace(ASKED, state=state, questions=(), rules=("static-mean",))
    if taken:
        explored(asked, spread=Here())
        assert state.stat().st_size > len(content)
        again = Here()
        explored(asked, spread=again)
        assert again.done == 0
    else:
        with pytest.raises(ForesailError, match="state: not a file of finished runs"):
            explored(asked, spread=Here())
        assert state.read_bytes() == content
