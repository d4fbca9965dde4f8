"""What changes between rounds, as the controller notes it."""

import pytest

from fleet.cluster.kinds import Kind, record_of
from fleet.cluster.reading import Cluster
from foresail.controller.pod_watch import PodWatch
from policies.rounds import Emptied
from tests.policies.test_assess import NOW, Json, node, owned, pod

SERVES = owned("ReplicaSet", "chat-1")
TRAINS = owned("Job", "tune")


def reading(*pods: Json) -> Cluster:
    """Of a node `a` and pods."""
    objects = {Kind.NODE: [node("a")], Kind.POD: [*pods]}
    records = {kind: [record_of(kind, one) for one in all_] for kind, all_ in objects.items()}
    return Cluster.of("test", records)


USED, EMPTY = reading(pod("x", 8, "a", **SERVES)), reading()


def test_a_node_without_its_last_pod_calls_for_a_round_once() -> None:
    watch = PodWatch()
    watch.see(USED, NOW)
    assert watch.see(EMPTY, NOW + 10) == {15}
    assert watch.see(EMPTY, NOW + 20) == set()
    assert watch.emptied == {"a": Emptied(at_seconds=NOW + 10, replaced_until_seconds=NOW + 25)}


@pytest.mark.parametrize(
    ("owner", "seconds"),
    [
        pytest.param(SERVES, 15, id="a ReplicaSet makes the next pod at once"),
        pytest.param(TRAINS, 30, id="a Job makes it after 10 s, or 20"),
        pytest.param(owned("StatefulSet", "lws"), 30, id="a StatefulSet waits until it is gone"),
        pytest.param({}, 30, id="nobody makes it, or it is not told who"),
        pytest.param(
            {"ownerReferences": [{"kind": "ReplicaSet", "name": "chat", "uid": "o"}]},
            30,
            id="an owner that does not control it",
        ),
    ],
)
def test_who_makes_the_next_pod_says_how_soon_a_round_is_made(owner: Json, seconds: float) -> None:
    watch = PodWatch()
    watch.see(reading(pod("x", 8, "a", **owner), pod("new", 8, **owner)), NOW)
    # The pod that waits is gone as well.
    assert watch.see(EMPTY, NOW) == {seconds}
    until = watch.emptied["a"].replaced_until_seconds
    assert until == NOW + seconds


def test_of_several_pods_the_one_whose_place_is_taken_last_counts() -> None:
    serves, trains = pod("x", 4, "a", **SERVES), pod("y", 4, "a", **TRAINS)
    watch = PodWatch()
    watch.see(reading(serves, trains), NOW)
    assert watch.see(reading(serves), NOW + 8) == set()
    assert watch.see(EMPTY, NOW + 16) == {22}
    left = Emptied(at_seconds=NOW + 16, replaced_until_seconds=NOW + 38)
    assert watch.emptied == {"a": left}
    # With a pod in between, and none of the Job for long.
    watch.see(reading(serves), NOW + 20)
    assert watch.see(EMPTY, NOW + 100) == {15}


def test_a_node_that_is_used_again_is_not_empty() -> None:
    watch = PodWatch()
    for at, cluster in enumerate((USED, EMPTY, USED)):
        watch.see(cluster, NOW + at)
    assert watch.emptied == {}


def test_a_node_that_is_gone_is_forgotten_and_calls_for_no_round() -> None:
    watch = PodWatch()
    watch.see(USED, NOW)
    gone = Cluster.of("test", {Kind.NODE: [], Kind.POD: []})
    assert watch.see(gone, NOW + 1) == set()
    assert watch.see(EMPTY, NOW + 2) == set()
    assert watch.emptied == {}


def test_after_the_clock_was_set_back_no_node_becomes_empty_in_the_future() -> None:
    watch = PodWatch()
    for at, cluster in ((0, USED), (10, EMPTY), (-3600, EMPTY), (-3500, EMPTY)):
        watch.see(cluster, NOW + at)
    (left,) = watch.emptied.values()
    assert left.at_seconds == NOW - 3600
    assert left.replaced_until_seconds <= NOW - 3600 + 30


@pytest.mark.parametrize(
    ("leaves", "rest", "changed"),
    [
        pytest.param(SERVES, pod("y", 4, "a", **SERVES), True, id="a ReplicaSet goes by ranks"),
        pytest.param(SERVES, pod("y", 4, "a", **TRAINS), False, id="a Job does not"),
        pytest.param(SERVES, pod("y", 4, "b", **SERVES), False, id="on another node"),
        pytest.param(TRAINS, pod("y", 4, "a", **SERVES), False, id="a Job may make it again"),
    ],
)
def test_a_pod_that_leaves_a_node_to_others_changes_the_ranking_once(
    leaves: Json, rest: Json, changed: bool
) -> None:
    watch = PodWatch()
    watch.see(reading(pod("x", 4, "a", **leaves), rest), NOW)
    assert not watch.ranking_changed
    watch.see(reading(rest), NOW + 8)
    assert watch.ranking_changed is changed
    watch.see(reading(rest), NOW + 9)
    assert not watch.ranking_changed


def test_pods_that_come_change_no_ranking() -> None:
    stays = pod("x", 2, "a", **SERVES)
    watch = PodWatch()
    watch.see(reading(stays), NOW)
    watch.see(reading(stays, pod("y", 2, "a", **SERVES), pod("z", 2, **SERVES)), NOW + 8)
    assert not watch.ranking_changed
