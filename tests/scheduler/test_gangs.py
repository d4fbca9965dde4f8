"""Groups of pods: none of them begins where not all of them have room."""

from dataclasses import replace
from typing import Any

import pytest

from fleet.cluster.kinds import Kind
from scheduler.groups import UNSEEN_SECONDS
from scheduler.history import USUAL, History
from scheduler.intake import Intake
from scheduler.ledger import ANSWER_SECONDS
from scheduler.mix import Mix
from scheduler.placement_state import SCORE_MAX, PlacementState
from scheduler.pods import pod_of
from tests.scheduler.objects import H100, L40S, claim, device_class, node, pod, put, resource_slice

Json = dict[str, Any]
LWS = "leaderworkerset.sigs.k8s.io"


def intake(*nodes: Json) -> Intake:
    made = Intake(PlacementState((), Mix(dict(USUAL))), History())
    for one in nodes:
        put(made, Kind.NODE, one)
    return made


def member(
    name: str, *, gpus: int = 0, cpu: str = "1", size: int = 4, index: int | None = None,
    on: str | None = None,
) -> Json:  # fmt: skip
    """A pod of the first replica of a LeaderWorkerSet; the leader has index 0."""
    document = pod(name, gpus=gpus, on=on)
    document["spec"]["containers"][0]["resources"]["requests"]["cpu"] = cpu
    labels = {f"{LWS}/name": "llama", f"{LWS}/group-index": "0"}
    if index is not None:
        labels[f"{LWS}/worker-index"] = str(index)
    document["metadata"]["labels"] = labels
    document["metadata"]["annotations"] = {f"{LWS}/size": str(size)}
    return document


def grouped(name: str, *, gpus: int, of: str = "g", cpu: str = "1", **labels: str) -> Json:
    """A pod of a PodGroup of scheduler-plugins."""
    document = pod(name, gpus=gpus)
    document["spec"]["containers"][0]["resources"]["requests"]["cpu"] = cpu
    document["metadata"]["labels"] = {"scheduling.x-k8s.io/pod-group": of, **labels}
    return document


def told(made: Intake, *documents: Json) -> None:
    for one in documents:
        put(made, Kind.POD, one)


def asked(
    made: Intake, document: Json, *names: str, now: float = 0, shares: bool = False
) -> tuple[list[str], str]:
    """The nodes that are left, and why the first of the others is not, or what was assumed."""
    known = replace(made.known, shares=shares)
    result = made.placement.filter(pod_of(document, known), list(names), now_seconds=now)
    why = next(iter(result.failed.values()), result.assumed or "")
    return result.passed, why


def test_only_nodes_that_were_asked_about_count_as_room() -> None:
    # c is cordoned, tainted, or of another pool: kube-scheduler did not ask about it.
    made = intake(*(node(name, gpus=8) for name in "abc"))
    passed, why = asked(made, member("m0", gpus=8, size=3), "a", "b")
    assert passed == []
    assert why.startswith("room for 2 of the 3 pods that group llm/")
    assert asked(made, member("m0", gpus=8, size=3), "a", "b", "c")[0] == ["a", "b", "c"]


def test_a_leader_with_gpus_and_its_workers_without_fit_one_free_node() -> None:
    made = intake(node("a", gpus=8))
    workers = [member(f"w{at}", cpu="4", index=at) for at in (1, 2, 3)]
    told(made, *workers)
    assert asked(made, member("leader", gpus=8, index=0), "a") == (["a"], "")
    for at, worker in enumerate(workers):
        assert asked(made, worker, "a")[0] == ["a"], at


def test_each_member_counts_with_what_it_asks_itself() -> None:
    # 64 cores: the leader takes 1, and three workers of 22 more than are left.
    made = intake(node("a", gpus=8))
    told(made, *(member(f"w{at}", cpu="22", index=at) for at in (1, 2, 3)))
    passed, why = asked(made, member("leader", gpus=8, index=0), "a")
    assert (passed, why[:26]) == ([], "room for 3 of the 4 pods t")


def test_the_reason_says_where_answers_and_no_pods_hold_the_room() -> None:
    made = intake(node("a", gpus=8))
    made.placement.prioritise(pod_of(pod("tried", gpus=1)), ["a"], now_seconds=0)
    document = member("m0", gpus=1, size=8)
    assert asked(made, document, "a")[1].startswith(
        "room for 7 of the 8 pods that group llm/leaderworkerset.sigs.k8s.io/name/llama/0 still"
        " lacks; counted there and not bound yet: 1; 7 of them not seen yet"
    )
    assert asked(made, document, "a", now=ANSWER_SECONDS)[0] == ["a"]


def test_members_on_their_nodes_need_no_room_any_more() -> None:
    made = intake(node("a", gpus=8), node("b", gpus=8))
    told(made, member("m0", gpus=8, size=2, on="a"))
    assert asked(made, member("m1", gpus=8, size=2), "b")[0] == ["b"]


def test_workers_that_nobody_has_seen_ask_what_those_of_another_replica_do() -> None:
    made = intake(node("a", gpus=8), node("b", gpus=8))
    told(made, member("w1", cpu="4", index=1, on="a"))  # of replica 0
    document = member("leader-1", gpus=8, index=0)
    document["metadata"]["labels"][f"{LWS}/group-index"] = "1"
    assert asked(made, document, "b") == (
        ["b"], "3 of them not seen yet, taken to ask what a worker of its set asks",
    )  # fmt: skip


def test_members_that_nobody_has_seen_are_waited_for_and_not_for_ever() -> None:
    # Some are created only when the leader runs.
    made = intake(node("a", gpus=8))
    leader = member("leader", gpus=8, index=0)
    passed, why = asked(made, leader, "a")
    assert passed == []
    assert "3 of them not seen yet, taken to ask what this pod asks" in why
    assert asked(made, leader, "a", now=UNSEEN_SECONDS - 1)[0] == []
    assert asked(made, leader, "a", now=UNSEEN_SECONDS) == (
        ["a"], "3 more not seen for 60 s, not waited for",
    )  # fmt: skip


def test_one_that_comes_meanwhile_is_counted_and_the_others_are_waited_for_anew() -> None:
    made = intake(node("a", gpus=8))
    leader = member("leader", gpus=8, index=0, size=3)
    asked(made, leader, "a")
    told(made, member("w1", gpus=8, index=1, size=3))
    passed, why = asked(made, leader, "a", now=UNSEEN_SECONDS)
    assert passed == []
    assert why.startswith("room for 1 of the 3 pods")


def test_other_members_may_go_where_kube_scheduler_asked_for_them() -> None:
    # The leader fits only on a, which it fills; its workers fit b, in another pool.
    made = intake(node("a", gpus=8), node("b"))
    workers = [member(f"w{at}", cpu="20", index=at) for at in (1, 2, 3)]
    leader = member("leader", gpus=8, cpu="60", index=0)
    told(made, leader, *workers)
    assert asked(made, leader, "a")[0] == []  # nobody has asked about b yet
    assert asked(made, workers[0], "b")[0] == ["b"]  # the leader has been asked about, on a
    told(made, *(member(f"w{at}", cpu="20", index=at, on="b") for at in (1, 2, 3)))
    assert asked(made, leader, "a")[0] == ["a"]


def test_of_more_members_than_a_group_needs_the_smallest_count() -> None:
    made = intake(node("a", gpus=8))
    size = {"metadata": {"name": "g", "namespace": "llm"}, "spec": {"minMember": 2}}
    put(made, Kind.POD_GROUP_PLUGIN, size)
    told(made, grouped("wide", gpus=8), grouped("narrow", gpus=1))
    assert asked(made, grouped("own", gpus=4), "a")[0] == ["a"]


def test_the_roles_of_a_job_set_in_a_pod_group_count_each_for_itself() -> None:
    made = intake(node("a", gpus=8))
    size = {"metadata": {"name": "g", "namespace": "llm"}, "spec": {"minMember": 3}}
    put(made, Kind.POD_GROUP_PLUGIN, size)
    role = "jobset.sigs.k8s.io/replicatedjob-name"
    driver = grouped("driver", gpus=0, cpu="8", **{role: "driver"})
    workers = [grouped(f"w{at}", gpus=4, **{role: "worker"}) for at in (0, 1)]
    told(made, driver, *workers)
    assert asked(made, workers[0], "a") == (["a"], "")
    told(made, grouped("w2", gpus=4, **{role: "worker"}))


def test_kube_scheduler_has_just_found_room_for_one_on_every_node() -> None:
    # What the watch tells is older: both nodes look full.
    made = intake(node("a", gpus=8), node("b", gpus=8))
    told(made, *(pod(f"old-{name}", gpus=8, on=name) for name in "ab"))
    assert asked(made, member("m0", gpus=8, size=2), "a", "b")[0] == ["a", "b"]
    assert asked(made, member("m1", gpus=8, size=3), "a", "b")[0] == []


def test_a_node_that_nobody_knows_here_may_have_room_for_all() -> None:
    made = intake(node("a", gpus=8))
    passed, why = asked(made, member("m0", gpus=8, size=3), "a", "new")
    assert passed == ["a", "new"]
    assert "1 of the nodes asked about are not known" in why


def test_a_node_whose_gpu_model_nobody_told_may_have_room_for_all() -> None:
    made = intake(node("a", gpus=8), node("b", gpus=8, product=""), node("c", gpus=8, product=L40S))
    first = member("m0", gpus=8, size=3)
    first["metadata"]["annotations"]["foresail.io/gpu-models"] = "h100-sxm"
    passed, why = asked(made, first, "a", "b")
    assert passed == ["a", "b"]
    assert why.count("1 of the nodes have GPUs of a model that is not known") == 1
    # Where models are known they decide.
    passed, why = asked(made, first, "a", "c")
    assert passed == []
    assert why.startswith("room for 1 of the 3 pods")


def test_shares_of_a_gpu_count_by_what_is_left_of_each() -> None:
    made = intake(node("a", gpus=2))

    def share(name: str, size: int) -> Json:
        document = member(name, gpus=1, size=size)
        document["metadata"]["annotations"]["foresail.io/gpu-milli"] = "400"
        return document

    # Two of 400 a GPU.
    assert asked(made, share("m0", 4), "a", shares=True)[0] == ["a"]
    made.placement.gone("m0")
    assert asked(made, share("m1", 5), "a", shares=True)[0] == []


@pytest.mark.parametrize(("size", "passes"), [(4, True), (5, False)])
def test_members_with_claims_count_the_devices_that_they_would_get(
    size: int, *, passes: bool
) -> None:
    made = intake(node("a"), node("b"))
    put(made, Kind.CLASS, device_class())
    for name in "ab":
        put(made, Kind.SLICE, resource_slice(name, *[H100] * 4))
    put(made, Kind.CLAIM, claim("c", (H100, 2)))
    document = member("m0", size=size)
    document["spec"]["resourceClaims"] = [{"name": "c", "resourceClaimName": "c"}]
    assert asked(made, document, "a", "b")[0] == (["a", "b"] if passes else [])


def test_a_group_whose_size_is_not_told_is_not_held_back() -> None:
    made = intake(node("a", gpus=8))
    document = pod("p", gpus=8)
    document["metadata"]["labels"] = {"jobset.sigs.k8s.io/jobset-name": "train"}
    assert asked(made, document, "a") == (["a"], "")


def test_the_reason_is_said_once_and_never_long() -> None:
    names = [f"n{at}" for at in range(5)]
    made = intake(*(node(name, gpus=8) for name in names))
    document = member("m0", gpus=8, size=9)
    document["metadata"]["labels"][f"{LWS}/name"] = "x" * 5000
    result = made.placement.filter(pod_of(document), names, now_seconds=0)
    assert len(result.failed[names[0]]) <= 240
    assert [result.failed[name] for name in names[1:]] == ["no room for its whole group"] * 4


def test_members_that_share_a_node_are_all_counted_where_a_clique_is_chosen_for_the_rest() -> None:
    cliques = {"full": 2, "tight": 2, "roomy": 3}
    labels = {name: {"nvidia.com/gpu.clique": f"clique-of-{name}"} for name in cliques}
    made = intake(*(node(name, gpus=gpus, labels=labels[name]) for name, gpus in cliques.items()))
    told(made, *(member(f"w{at}", gpus=1, index=at, on="full") for at in (0, 1)))
    third = pod_of(member("w2", gpus=1, index=2), made.known)
    scores = made.placement.prioritise(third, list(cliques), now_seconds=0)
    assert scores[1] == SCORE_MAX
