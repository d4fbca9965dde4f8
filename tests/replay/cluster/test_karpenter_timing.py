"""Karpenter's timing as event times worked by hand."""

from dataclasses import replace

import pytest

from replay.cluster.cluster import Cluster
from replay.cluster.settings import GangRun, Outage, Pool
from tests.replay.cluster.small import CHAT, CODE, JOB, POOL, START_UP, cluster, service


def gone_at(run: Cluster, nodes: int, *, until: int = 5000) -> int:
    """The first whole second after which so many nodes are left, seen each second."""
    for second in range(until):
        run.run(second + 0.5)
        if second > 100 and run.nodes("p") == nodes:
            return second
    raise AssertionError(f"there are still {run.nodes('p')} nodes")


def test_a_pod_waits_for_batch_boot_and_pull() -> None:
    run = cluster(service((0, 0), (103, 1)))
    run.run(400)
    # A second of batching, 100 s to the binding, 20 s until the image is there.
    assert run.waits[CHAT].seconds == [121]
    assert run.gpu_seconds("p") == 400 - 104


def test_a_batch_closes_a_second_after_the_last_pod() -> None:
    run = cluster(service((0, 0), (100, 1), (100.5, 2)))
    run.run(200)
    assert run.gpu_seconds("p") == 2 * (200 - 101.5)


def test_a_batch_closes_ten_seconds_after_its_first_pod_at_the_latest() -> None:
    run = cluster(service((0, 0), *((100 + 0.5 * n, n + 1) for n in range(40))))
    run.run(110.25)
    # 21 pods came by then, one each half second.
    assert run.nodes("p") == 21
    assert run.gpu_seconds("p") == 21 * 0.25


def test_the_second_pod_of_a_node_that_boots_orders_none() -> None:
    run = cluster(service((0, 0), (103, 1), (150, 2)), pools=(replace(POOL, gpus_per_node=2),))
    run.run(400)
    assert run.books["p"].launches == 1
    assert run.waits[CHAT].seconds == [121, 74]


def test_a_pod_that_finds_a_free_gpu_does_not_wait() -> None:
    run = cluster(service((0, 2), (500, 1), (520, 2)))
    run.run(1000)
    assert run.waits[CHAT].seconds == [0]


@pytest.mark.parametrize(
    ("removed", "gone"),
    [
        # +60 = 1063, the pass at 1070, validated at 1085, drained at 1090.
        pytest.param(1003, 1090, id="the-loop-looks-each-10-s"),
        pytest.param(1010, 1090, id="a-pass-at-that-very-moment"),
        pytest.param(1011, 1100, id="just-after-a-pass"),
    ],
)
def test_an_empty_node_goes_in_the_time_of_emptiness(removed: int, gone: int) -> None:
    assert gone_at(cluster(service((0, 1), (removed, 0))), 0) == gone


def test_a_pod_that_comes_while_emptiness_is_validated_saves_the_node() -> None:
    run = cluster(service((0, 1), (1003, 0), (1084, 1)))
    run.run(2000)
    assert run.waits[CHAT].seconds == [0]
    assert run.books["p"].launches == 1


def test_a_pod_that_comes_while_the_node_drains_gets_another() -> None:
    run = cluster(service((0, 1), (1003, 0), (1086, 1)))
    run.run(2000)
    assert run.waits[CHAT].seconds == [121]


def test_the_budget_lets_one_of_two_nodes_go_at_a_time() -> None:
    run = cluster(service((0, 2), (1003, 0)))
    # The pass right after the first success, at 1085, finds the budget used; the next is at 1095.
    assert gone_at(run, 1) == 1090
    assert gone_at(run, 0) == 1115


def test_a_validation_moves_the_passes_of_the_loop_for_every_pool() -> None:
    other = replace(POOL, name="q", consolidate_after_seconds=85)
    code = service((0, 1), (1003, 0), workload=CODE, pools=("q",))
    run = cluster(service((0, 1), (1003, 0)), code, pools=(POOL, other))
    # The first is validated from 1070 to 1085. Then the loop looks each 10 s from there: at 1085
    # and at 1095. The second is due at 1088, validated from 1095 to 1110, and gone at 1115.
    run.run(1114.5)
    assert (run.nodes("p"), run.nodes("q")) == (0, 1)
    run.run(1115.5)
    assert run.nodes("q") == 0


def test_pods_that_go_within_ten_seconds_count_as_one_event() -> None:
    of_two = replace(POOL, gpus_per_node=2)
    # Empty since 1012, but by Karpenter's count without a pod event since 1003: as if it was alone.
    run = cluster(service((0, 2), (1003, 1), (1012, 0)), pools=(of_two,))
    assert gone_at(run, 0) == 1090
    # The second is an event of its own: +60 = 1073, the pass at 1080, gone at 1100.
    run = cluster(service((0, 2), (1003, 1), (1013, 0)), pools=(of_two,))
    assert gone_at(run, 0) == 1100


def test_a_wide_budget_lets_both_go_at_once() -> None:
    run = cluster(service((0, 2), (1003, 0)), pools=(replace(POOL, budget_share=1.0),))
    assert gone_at(run, 0) == 1090


def test_a_refused_order_is_tried_again_after_three_minutes() -> None:
    scarce = replace(POOL, outages=(Outage(begin_seconds=0, end_seconds=200),))
    run = cluster(service((0, 0), (103, 1)), pools=(scarce,))
    run.run(600)
    # Refused at 104 and asked again at 284, with a second of batching.
    assert run.waits[CHAT].seconds == [285 + 120 - 103]
    assert run.books["p"].refusals == 1


def test_a_refused_pool_sends_pods_to_their_next_one() -> None:
    scarce = replace(POOL, outages=(Outage(begin_seconds=0, end_seconds=999),))
    other = replace(POOL, name="q")
    run = cluster(service((0, 0), (103, 1), pools=("p", "q")), pools=(scarce, other))
    run.run(600)
    assert run.waits[CHAT].seconds == [121]
    assert (run.nodes("p"), run.nodes("q")) == (0, 1)


def test_a_failed_launch_is_paid_until_it_is_noticed_and_tried_again() -> None:
    never = replace(START_UP, failure_share=0.999999, noticed_seconds=(300, 300))
    run = cluster(service((0, 0), (103, 1)), pools=(replace(POOL, start_up=never),))
    run.run(500)
    # 104 to 404, and from 405 on.
    assert run.books["p"].failures == 1
    assert run.gpu_seconds("p") == 300 + 95
    assert run.waits[CHAT].seconds == []
    assert run.pending_waits_seconds() == [500 - 103]


def test_the_limit_of_a_pool_holds() -> None:
    run = cluster(service((0, 0), (103, 3)), pools=(replace(POOL, nodes_max=2),))
    run.run(1000)
    assert run.nodes("p") == 2


def test_a_pool_without_consolidate_after_keeps_what_it_has() -> None:
    run = cluster(service((0, 1), (100, 0)), pools=(replace(POOL, consolidate_after_seconds=None),))
    run.run(100_000)
    assert run.nodes("p") == 1


def test_a_static_pool_loses_no_empty_node() -> None:
    run = cluster(service((0, 1), (100, 0)), pools=(replace(POOL, static=True),))
    run.run(100_000)
    assert run.nodes("p") == 1


def test_a_pod_that_fits_no_node_of_its_pool_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="chat: a pod of 2 GPUs fits no node of 1 in pool p"):
        cluster(service((0, 1), gpus=2))


def test_an_unknown_pool_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="chat: no pool is named 'q'"):
        cluster(service((0, 1), pools=("q",)))


def test_the_expected_start_of_a_node_counts_launches_that_fail() -> None:
    start = Pool(name="p").start_up.lead_time()
    # 6 min, and 1 of 19 good launches has a failure of 10 min before it.
    assert start.boot_seconds == pytest.approx(360 + 600 * 0.05 / 0.95)


def test_a_node_that_karpenter_counts_on_for_pods_is_no_candidate() -> None:
    # The gang of two waits for its second node, which is refused until 900.
    scarce = replace(POOL, nodes_at_start=1, outages=(Outage(begin_seconds=0, end_seconds=700),))
    gang = GangRun(
        workload=JOB, pods=2, gpus_per_pod=1, pools=("p",), created_seconds=10, run_seconds=99
    )
    run = cluster(gangs=(gang,), pools=(scarce,))
    run.run(2000)
    assert run.books["p"].launches == 2
