"""What is kept of the last answers: columns of the best nodes, reasons of the refusals, bounded."""

from collections.abc import Sequence

import numpy as np
import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer

from scheduler.extender import Extender
from scheduler.fit import Filtered
from scheduler.machines import Machine
from scheduler.mix import Mix
from scheduler.placement import Shape
from scheduler.placement_state import PlacementState
from scheduler.pods import Pod
from scheduler.score.answers import NODES_MAX, PODS_MAX, REASONS_MAX, Answers, PlacementAnswer
from scheduler.score.columns import Columns, Term

pytestmark = pytest.mark.looptime(False)  # sockets live in real time

ONE_GPU = Shape(cpu_milli=4000, memory_mib=16_000, gpus=1, gpu_milli=1000)
MIX = Mix({ONE_GPU: 1.0})


def pod(
    name: str = "team/p", *, uid: str = "u1", weights: str | None = None, milli: int = 1000
) -> Pod:
    """A pod for one GPU, or for a share of one."""
    shape = Shape(cpu_milli=4000, memory_mib=16_000, gpus=1, gpu_milli=milli)
    return Pod(uid=uid, name=name, shape=shape, weights=weights)


def machine(name: str, gpus: int = 1, *, usd: float | None = None, weights: str = "") -> Machine:
    return Machine(
        name=name, cpu_milli=64_000, memory_mib=512_000, model="h100", gpus=gpus,
        usd_per_gpu_hour=usd, weights=frozenset(weights.split()),
    )  # fmt: skip


def asked(
    placement: PlacementState, one: Pod, names: list[str], *, at: float = 10.0
) -> PlacementAnswer | None:
    """Both questions of kube-scheduler, and what is kept of the answers."""
    result = placement.filter(one, names, now_seconds=at)
    placement.answers.filtered(one, len(names), result, note=None, now_seconds=at)
    if len(result.passed) > 1:
        placement.prioritise(one, result.passed, now_seconds=at)
    return placement.answers.of(one.name)


def columns(answer: PlacementAnswer | None) -> list[tuple[str, int, dict[str, float]]]:
    assert answer is not None
    return [
        (one.node, one.score, {term.name: milli for term, milli in one.columns.items()})
        for one in answer.candidates
    ]


class TestCandidates:
    def test_each_term_has_its_column_and_they_add_up(self) -> None:
        placement = PlacementState(
            [machine("dear", usd=3.0, weights="qwen"), machine("cheap", usd=2.0)], MIX
        )
        answer = asked(placement, pod(weights="qwen"), ["dear", "cheap"])
        # Each has one GPU, which all expected pods want: the pod takes 1000, a step of which is
        # 100, and each idle GPU costs 1. Dear costs half as much again: 0.5 x 200. Its weights
        # are there: 150.
        assert columns(answer) == [
            ("dear", 10, {"expected_pods": -1000, "begun_nodes": -1, "price": -100,
                          "weights": 150}),
            ("cheap", 0, {"expected_pods": -1000, "begun_nodes": -1}),
        ]  # fmt: skip
        assert answer is not None
        assert [one.milli for one in answer.candidates] == [-951, -1001]

    def test_one_node_left_has_its_columns_though_nobody_asks_which_is_best(self) -> None:
        placement = PlacementState([machine("a"), machine("none", 0)], MIX)
        answer = asked(placement, pod(), ["a", "none"])
        assert columns(answer) == [("a", 10, {"expected_pods": -1000, "begun_nodes": -1})]

    def test_the_node_that_got_the_highest_score_comes_first_among_equals(self) -> None:
        placement = PlacementState([machine(f"n{at:03}") for at in range(100)], MIX)
        names = [f"n{at:03}" for at in reversed(range(100))]
        answer = asked(placement, pod(), names)
        nodes = [(node, score) for node, score, _ in columns(answer)]
        assert nodes[0] == ("n000", 10)
        assert [score for _, score in nodes] == [10, *[9] * (NODES_MAX - 1)]

    def test_a_pod_that_is_asked_about_again_and_refused_shows_no_old_columns(self) -> None:
        placement = PlacementState([machine("a"), machine("b")], MIX)
        assert len(columns(asked(placement, pod(milli=500), ["a", "b"], at=10))) == 2
        placement.bound(pod("team/x", uid="x", milli=600), "a")
        placement.bound(pod("team/y", uid="y", milli=600), "b")
        answer = asked(placement, pod(milli=500), ["a", "b"], at=20)
        assert answer is not None
        assert (answer.passed, answer.candidates, answer.at_seconds) == (0, (), 20)

    def test_a_new_pod_of_the_same_name_shows_nothing_of_the_old_one(self) -> None:
        placement = PlacementState([machine("a"), machine("b")], MIX)
        asked(placement, pod(uid="old"), ["a", "b"])
        placement.answers.filtered(
            pod(uid="new"), 2, Filtered(["a", "b"]), note=None, now_seconds=10
        )
        answer = placement.answers.of("team/p")
        assert answer is not None
        assert (answer.uid, answer.candidates) == ("new", ())


class TestRefusals:
    def test_equal_reasons_are_counted_and_some_nodes_named(self) -> None:
        full = [f"full{at}" for at in range(5)]
        placement = PlacementState([machine(name) for name in (*full, "free")], MIX)
        for name in full:
            placement.bound(pod(f"team/in-{name}", uid=name, milli=600), name)
        answer = asked(placement, pod(milli=500), [*full, "free"])
        assert answer is not None
        assert (answer.asked, answer.passed) == (6, 1)
        assert [(one.nodes, one.reason, one.examples, one.for_now) for one in answer.refusals] == [
            (5, "no GPU with 500 milli free", ("full0", "full1", "full2"), True)
        ]

    def test_reasons_are_bounded_in_number_and_in_length(self) -> None:
        failed = {f"n{at}": f"{at} milli CPU free" for at in range(100)} | {"long": "x" * 100_000}
        answers = Answers()
        answers.filtered(pod(), 101, Filtered([], failed), note="y" * 100_000, now_seconds=0)
        answer = answers.of("team/p")
        assert answer is not None
        assert (len(answer.refusals), answer.reasons_left_out) == (REASONS_MAX, 101 - REASONS_MAX)
        assert max(len(one.reason) for one in answer.refusals) <= 200
        assert len(answer.note or "") <= 200


class TestBounds:
    def test_only_the_last_pods_are_kept(self) -> None:
        answers = Answers()
        for at in range(PODS_MAX + 1):
            answers.filtered(pod(f"team/{at}"), 1, Filtered(["a"]), note=None, now_seconds=0)
            keep_score(answers, pod(f"team/{at}"), ["a"])
        assert answers.of("team/0") is None
        assert answers.of(f"team/{PODS_MAX}") is not None

    @pytest.mark.parametrize("count", [1, 2, 5, 6, 7, 500])
    def test_any_number_of_nodes_leaves_at_most_a_handful(self, count: int) -> None:
        answers = Answers()
        keep_score(answers, pod(), [f"n{at}" for at in range(count)])
        answer = answers.of("team/p")
        assert answer is not None
        assert len(answer.candidates) == min(count, NODES_MAX)
        assert answer.candidates[0].milli == count - 1

    def test_a_node_that_nobody_knows_is_no_candidate(self) -> None:
        placement = PlacementState([machine("a"), machine("b")], MIX)
        answer = asked(placement, pod(), ["a", "b", "unknown"])
        assert [node for node, _, _ in columns(answer)] == ["a", "b"]


def keep_score(answers: Answers, one: Pod, names: Sequence[str]) -> None:
    term = Term(name="order", meaning="", amount="")
    made: Columns = {term: np.arange(len(names), dtype=np.float64)}
    scores = [9] * (len(names) - 1) + [10]
    rows = np.arange(len(names))
    answers.scored(one, names, rows, (made, scores), now_seconds=0)


async def test_while_the_watch_is_down_the_answer_says_why_all_nodes_passed() -> None:

    placement = PlacementState([machine("a")], MIX)
    extender = Extender(
        placement=placement, clock=lambda: 5.0, stale="what is known of pods is old"
    )
    server = TestServer(extender.application())
    await server.start_server()
    body = {"Pod": {"metadata": {"name": "p", "namespace": "team", "uid": "u"}, "spec": {}},
            "NodeNames": ["a", "b"]}  # fmt: skip
    async with ClientSession(base_url=server.make_url("/")) as session:
        await session.post("/filter", json=body)
    await server.close()
    answer = placement.answers.of("team/p")
    assert answer is not None
    assert (answer.passed, answer.note) == (2, "what is known of pods is old")
