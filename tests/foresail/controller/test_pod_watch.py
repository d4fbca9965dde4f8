"""What changes between rounds, as the controller notes it."""

from fleet.cluster.kinds import Kind, record_of
from fleet.cluster.reading import Cluster
from foresail.controller.pod_watch import PodWatch
from policies.rounds import EMPTY_SECONDS_MIN
from tests.policies.test_assess import NOW, Json, node, pod


def reading(*pods: Json) -> Cluster:
    """Of a node `a` and pods."""
    objects = {Kind.NODE: [node("a")], Kind.POD: [*pods]}
    records = {kind: [record_of(kind, one) for one in all_] for kind, all_ in objects.items()}
    return Cluster.of("test", records)


USED, EMPTY = reading(pod("x", 8, "a")), reading()


def test_a_node_without_its_last_pod_calls_for_a_round_once() -> None:
    watch = PodWatch()
    watch.see(USED, NOW)
    assert watch.see(EMPTY, NOW + 10) == {EMPTY_SECONDS_MIN}
    assert watch.see(EMPTY, NOW + 20) == set()
    assert watch.emptied_seconds == {"a": NOW + 10}


def test_a_node_that_is_used_again_is_not_empty() -> None:
    watch = PodWatch()
    for at, cluster in enumerate((USED, EMPTY, USED)):
        watch.see(cluster, NOW + at)
    assert watch.emptied_seconds == {}


def test_after_the_clock_was_set_back_no_node_becomes_empty_in_the_future() -> None:
    watch = PodWatch()
    for at, cluster in ((0, USED), (10, EMPTY), (-3600, EMPTY), (-3500, EMPTY)):
        watch.see(cluster, NOW + at)
    assert watch.emptied_seconds == {"a": NOW - 3600}
