"""Launchers that come, answer, move and go, and when the sleepers of a node are known."""

from dataclasses import replace

from fleet.cluster.pods import Pod
from scheduler.hot_starts import NodeGpus, hot_start
from scheduler.launcher_state import LauncherState
from scheduler.launchers import Launcher, instances_of
from tests.scheduler.recorded_launchers import ANSWERS, LLAMA, PODS, QWEN, RECORDED

NODE: str = RECORDED["node"]


def state_of(*pods: Pod) -> LauncherState:
    made = LauncherState()
    for one in pods:
        made.changed(one)
    return made


def answer(state: LauncherState, *, but: str | None = None) -> None:
    """Every launcher answers as recorded, but one."""
    state.answered(
        {
            one: None if one.name == but else instances_of(one, ANSWERS[one.address])
            for one in state.launchers
        }
    )


def node(state: LauncherState, name: str = NODE, *, taken: int = 3) -> NodeGpus:
    return state.node(name, gpus=RECORDED["gpus"], taken=taken)


def test_the_recorded_node_is_known_once_all_its_launchers_have_answered() -> None:
    state = state_of(*PODS)
    assert node(state).instances is None
    answer(state)

    found = node(state)
    assert (found.gpus, found.taken, found.held) == (8, 3, {"GPU-0"})
    assert len(found.instances or ()) == 5
    # Seven GPUs may be free, and one of them has the sleeper.
    assert hot_start(QWEN, 1, found).probability == 1 / 7


def test_a_node_without_launchers_has_no_sleepers() -> None:
    assert node(state_of(*PODS), "h100-2").instances == ()


def test_a_launcher_that_stops_answering_makes_its_node_unknown_again() -> None:
    state = state_of(*PODS)
    answer(state)
    answer(state, but="launcher-b")
    assert node(state).instances is None
    answer(state)
    assert node(state).instances is not None


def test_a_launcher_that_is_made_anew_must_answer_anew() -> None:
    state = state_of(*PODS)
    answer(state)
    state.changed(replace(PODS[1], ip="10.0.0.99"))

    assert node(state).instances is None


def test_a_change_that_is_none_of_the_launchers_place_keeps_its_answer() -> None:
    state = state_of(*PODS)
    answer(state)
    before = state.changes
    state.changed(replace(PODS[1], annotations={"a": "b"}))

    assert node(state).instances is not None
    assert state.changes == before


def test_an_answer_that_comes_after_its_launcher_went_is_left_out() -> None:
    state = state_of(*PODS)
    asked: tuple[Launcher, ...] = state.launchers
    for pod in PODS[:3]:
        state.gone(pod.uid)
    state.answered({one: instances_of(one, ANSWERS[one.address]) for one in asked})

    assert node(state).instances == ()
    assert state.launchers == ()


def test_gpus_of_a_requester_that_went_are_free_and_its_engine_sleeps() -> None:
    """All eight may be free then; qwen3-32b sleeps on GPU-0 and GPU-4, llama-8b on two as well."""
    state = state_of(*PODS)
    answer(state)
    state.gone(PODS[3].uid)

    found = node(state, taken=2)
    assert found.held == frozenset()
    assert hot_start(QWEN, 1, found).probability == 2 / 8
    assert hot_start(LLAMA, 1, found).probability == 2 / 8


def test_a_sleeper_that_fma_deletes_after_a_start_on_other_gpus_is_no_chance_any_more() -> None:
    """A requester got GPU-1 of the node; the launcher freed the port that both engines want."""
    state = state_of(*PODS)
    answer(state)
    assert hot_start(QWEN, 1, node(state)).probability > 0
    of_b = ANSWERS["10.0.0.12"]
    left = [one for one in of_b["instances"] if one["instance_id"] != "i-qwen-4"]
    answers = {**ANSWERS, "10.0.0.12": {**of_b, "total_instances": 2, "instances": left}}
    state.answered({one: instances_of(one, answers[one.address]) for one in state.launchers})

    # The one on GPU-0 sleeps beneath another engine of the requester's GPU.
    assert hot_start(QWEN, 1, node(state)).probability == 0


def test_what_came_and_went_leaves_nothing_behind() -> None:
    state = LauncherState()
    for at in range(1000):
        pods = [replace(one, uid=f"{one.uid}-{at}", name=f"{one.name}-{at}") for one in PODS]
        for one in pods:
            state.changed(one)
        for one in pods:
            state.gone(one.uid)

    assert state.launchers == ()
    assert node(state) == NodeGpus(gpus=8, taken=3, held=frozenset(), instances=())
