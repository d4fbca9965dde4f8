"""Hot starts by hand: a recorded node of eight GPUs, three launchers; and small ones made here."""

import json
from dataclasses import replace
from typing import Any

import pytest

from fleet.cluster.pods import pod_of
from scheduler.hot_starts import (
    HOT_MILLI,
    LOST_MAX,
    LOST_MILLI,
    HotStart,
    NodeGpus,
    hot_start,
    starts_at_once,
    without_room,
)
from scheduler.launchers import (
    INSTANCES_MAX,
    Config,
    Instance,
    Launcher,
    UnreadableLauncherError,
    config_of,
    held_gpus,
    instances_of,
    launcher_of,
)
from tests.scheduler.recorded_launchers import (
    ANSWERS,
    DOCUMENTS,
    LLAMA,
    LLAMA_70B,
    PODS,
    QWEN,
    RECORDED,
)


def launchers() -> list[Launcher]:
    return [found for one in PODS if (found := launcher_of(one)) is not None]


def recorded() -> NodeGpus:
    """Eight GPUs; GPU-0 is a requester's, and another pod holds two of which nothing is known."""
    instances = [
        instance for one in launchers() for instance in instances_of(one, ANSWERS[one.address])
    ]
    held = frozenset[str]().union(*(held_gpus(one) for one in PODS))
    return NodeGpus(gpus=RECORDED["gpus"], taken=3, held=held, instances=tuple(instances))


# Reading.


def test_launchers_are_known_by_their_component_and_hold_no_gpu() -> None:
    assert [(one.name, one.address, one.requests_gpus) for one in launchers()] == [
        ("launcher-a", "10.0.0.11", False),
        ("launcher-b", "10.0.0.12", False),
        ("launcher-empty", "10.0.0.13", False),
    ]
    assert without_room(launchers()) == {
        ("llm", "launcher-a"),
        ("llm", "launcher-b"),
        ("llm", "launcher-empty"),
    }


def test_a_launcher_that_asks_for_gpus_holds_them() -> None:
    document = json.loads(json.dumps(DOCUMENTS[1]))
    document["spec"]["containers"][0]["resources"]["limits"] = {"nvidia.com/gpu": "8"}
    found = launcher_of(pod_of(document))

    assert found is not None
    assert found.requests_gpus
    assert without_room([found]) == frozenset()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"spec": {}}, id="on-no-node"),
        pytest.param({"status": {"phase": "Failed"}}, id="over"),
        pytest.param({"metadata": {"labels": {}}}, id="another-pod"),
        pytest.param({"metadata": None, "spec": None, "status": None}, id="nothing"),
    ],
)
def test_other_pods_are_no_launchers(change: dict[str, Any]) -> None:
    assert launcher_of(pod_of({**DOCUMENTS[0], **change})) is None


def test_a_launcher_is_asked_at_an_ip_address_or_not_at_all() -> None:
    for text, expected in (("10.0.0.1", "10.0.0.1"), ("fd00::1", "fd00::1"), ("evil.example", None),
                           ("", None), (None, None)):  # fmt: skip
        found = launcher_of(pod_of({**DOCUMENTS[0], "status": {"podIP": text}}))
        assert found is not None
        assert found.address == expected


def test_a_requester_says_what_it_wants_and_which_gpus_it_has() -> None:
    launcher, _, _, requester, batch = PODS

    assert config_of(requester) == QWEN
    assert held_gpus(requester) == {"GPU-0"}
    # The launcher that serves it carries the same annotation, and holds nothing.
    assert (config_of(launcher), held_gpus(launcher)) == (None, frozenset())
    assert (config_of(batch), held_gpus(batch)) == (None, frozenset())


def test_stopped_instances_and_those_without_gpus_are_none() -> None:
    assert [(one.config, sorted(one.gpus)) for one in recorded().instances or ()] == [
        (QWEN, ["GPU-0"]),
        (LLAMA, ["GPU-0"]),
        (QWEN, ["GPU-4"]),
        (LLAMA, ["GPU-5"]),
        (LLAMA_70B, ["GPU-6", "GPU-7"]),
    ]
    no_gpus = {"instances": [{"status": "running", "annotations": {"isc-name": "x"}}]}
    assert instances_of(launchers()[0], no_gpus) == ()


def test_the_label_sleeping_is_true_of_empty_launchers_and_the_answer_counts() -> None:
    label = "dual-pods.llm-d.ai/sleeping"
    labelled = [one for one in DOCUMENTS if one["metadata"].get("labels", {}).get(label) == "true"]
    held = {
        one["metadata"]["name"]: len(instances_of(found, ANSWERS[found.address]))
        for one in labelled
        if (found := launcher_of(pod_of(one))) is not None
    }
    assert held == {"launcher-b": 3, "launcher-empty": 0}

    state = {}
    for name in ("launcher-b", "launcher-empty"):
        (one,) = [found for found in launchers() if found.name == name]
        node = NodeGpus(
            gpus=8, taken=0, held=frozenset(), instances=instances_of(one, ANSWERS[one.address])
        )
        state[name] = hot_start(QWEN, 1, node)
    # Of eight free GPUs one is the one that the sleeper of this model slept on.
    assert state["launcher-b"].probability == 1 / 8
    assert state["launcher-empty"] == HotStart(probability=0.0, sleepers_lost=0.0)


def test_an_instance_that_does_not_say_what_it_serves_is_of_an_unknown_configuration() -> None:
    answer = {"instances": [{"status": "running", "gpu_uuids": ["GPU-1"]}]}
    (found,) = instances_of(launchers()[0], answer)

    assert found.config is None


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        pytest.param([], "no list `instances`", id="list"),
        pytest.param({}, "no list `instances`", id="nothing"),
        pytest.param({"instances": "x"}, "no list `instances`", id="text"),
        pytest.param({"instances": [7]}, r"instances\[0\] is no object", id="number"),
        pytest.param({"instances": [{"gpu_uuids": "GPU-1"}]}, "is no list of UUIDs", id="uuids"),
        pytest.param({"instances": [{}] * 65}, "65 instances are more than 64", id="many"),
    ],
)
def test_an_answer_that_no_launcher_gives_is_refused(answer: object, why: str) -> None:
    assert INSTANCES_MAX == 64
    with pytest.raises(UnreadableLauncherError, match=why):
        instances_of(launchers()[0], answer)


# Chances.


def test_the_chance_is_matching_sleepers_by_gpus_that_may_be_free() -> None:
    """Seven GPUs may be free: all but GPU-0. One of them, GPU-4, has a sleeping qwen3-32b.

    Of the others' sleepers llama-8b sits on one of the seven, llama-70b on two: 1/7 + 2/7.
    """
    found = hot_start(QWEN, 1, recorded())

    assert found.probability == pytest.approx(1 / 7)
    assert found.sleepers_lost == pytest.approx(3 / 7)


def test_an_awake_instance_and_a_sleeper_beneath_it_do_not_count() -> None:
    """GPU-0 is held: neither its qwen3-32b nor the llama-8b that sleeps there can be woken."""
    only = replace(recorded(), taken=1, instances=(recorded().instances or ())[:2])

    assert hot_start(QWEN, 1, only) == HotStart(probability=0.0, sleepers_lost=0.0)


def test_several_gpus_must_be_the_very_same() -> None:
    """Two of four: six pairs, and one of them is where the pair sleeps.

    Another's sleeper on one of the four is spared by the three pairs of the other three GPUs.
    """
    pair = Instance(node="n", config=LLAMA_70B, gpus=frozenset({"a", "b"}))
    other = Instance(node="n", config=QWEN, gpus=frozenset({"c"}))
    node = NodeGpus(gpus=4, taken=0, held=frozenset(), instances=(pair, other))

    assert hot_start(LLAMA_70B, 2, node) == HotStart(
        probability=pytest.approx(1 / 6), sleepers_lost=pytest.approx(1 / 2)
    )
    # For one GPU a sleeping pair is of no use.
    assert hot_start(LLAMA_70B, 1, node).probability == 0.0


def test_a_whole_free_node_with_its_sleeper_is_certain() -> None:
    gpus = frozenset(f"GPU-{at}" for at in range(8))
    whole = Instance(node="n", config=LLAMA_70B, gpus=gpus)
    node = NodeGpus(gpus=8, taken=0, held=frozenset(), instances=(whole,))

    assert hot_start(LLAMA_70B, 8, node) == HotStart(probability=1.0, sleepers_lost=0.0)
    assert hot_start(QWEN, 8, node) == HotStart(probability=0.0, sleepers_lost=1.0)


def test_where_no_gpu_is_free_nothing_starts_and_nothing_dies() -> None:
    full = replace(recorded(), taken=8)

    assert hot_start(QWEN, 1, full) == HotStart(probability=0.0, sleepers_lost=0.0)


def test_the_same_name_in_another_namespace_is_another_model() -> None:
    stranger = Config(namespace="other", name="qwen3-32b")

    assert hot_start(stranger, 1, recorded()).probability == 0.0


def test_a_pod_that_is_no_requester_costs_sleepers_and_never_starts_hot() -> None:
    """Four sleepers on five of seven GPUs: qwen3-32b, llama-8b, and llama-70b on two."""
    found = hot_start(None, 1, recorded())

    assert found.probability == 0.0
    assert found.sleepers_lost == pytest.approx(4 / 7)


def test_a_launcher_that_did_not_answer_makes_the_chance_unknown_and_not_zero() -> None:
    silent = replace(recorded(), instances=None)

    assert hot_start(QWEN, 1, silent) == HotStart(probability=None, sleepers_lost=None)
    assert hot_start(QWEN, 1, silent).milli == 0.0


# Worth.


def test_the_sleeper_is_preferred_then_no_sleepers_then_the_sleepers_of_others() -> None:
    def milli(*configs: Config) -> float:
        instances = tuple(
            Instance(node="n", config=config, gpus=frozenset({f"GPU-{at}"}))
            for at, config in enumerate(configs)
        )
        node = NodeGpus(gpus=2, taken=0, held=frozenset(), instances=instances)
        return hot_start(QWEN, 1, node).milli

    # One of two GPUs each; a lost sleeper counts a third of a hot start.
    assert milli(LLAMA) == -LOST_MILLI / 2
    assert milli() == 0.0
    assert milli(QWEN) == HOT_MILLI / 2
    assert milli(QWEN, QWEN) == HOT_MILLI


def test_what_launchers_say_cannot_outweigh_everything() -> None:
    liar = tuple(
        Instance(node="n", config=LLAMA, gpus=frozenset({"GPU-0"})) for _ in range(INSTANCES_MAX)
    )
    node = NodeGpus(gpus=1, taken=0, held=frozenset(), instances=liar)

    assert hot_start(QWEN, 1, node).sleepers_lost == INSTANCES_MAX
    assert hot_start(QWEN, 1, node).milli == -LOST_MILLI * LOST_MAX


@pytest.mark.parametrize(
    ("unbound", "free", "gpus", "starts"),
    [(3, 8, 1, 3), (3, 2, 1, 2), (3, 0, 1, 0), (0, 8, 1, 0), (3, 3, 2, 1), (3, 8, 0, 0)],
)
def test_launchers_start_no_more_than_there_are_free_gpus(
    unbound: int, free: int, gpus: int, starts: int
) -> None:
    assert starts_at_once(unbound_launchers=unbound, free_gpus=free, gpus=gpus) == starts
