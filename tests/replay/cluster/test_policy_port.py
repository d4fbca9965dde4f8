"""A node policy in the cluster of the replay: what it sees, and what becomes of its decisions."""

from dataclasses import replace

from fleet.reasons import Reason
from policies.node_plan import NodeDecision, NodeOrder, Verdict
from policies.policy.pool_policy import Mode, PoolPolicy
from policies.situation import NodeStage, Situation
from replay.cluster.cluster import Cluster
from replay.cluster.settings import ClusterSettings, GangRun
from replay.cluster.shipped import ShippedRules
from scaler.forecast.running_maximum import MaximumForecast
from tests.replay.cluster.small import CHAT, CODE, JOB, POOL, START_UP, Scripted, cluster, service


def hold(until: float) -> Scripted:
    def decide(situation: Situation) -> tuple[NodeDecision, ...]:
        return tuple(
            NodeDecision(
                node=node.name,
                uid=node.uid,
                verdict=Verdict.HOLD,
                reason=Reason.FORECAST_HOLD,
                until_seconds=until,
            )
            for node in situation.pools[0].nodes
        )

    return Scripted(nodes=lambda s: decide(s) if s.now_seconds < 1100 else ())


def release(*at: float) -> Scripted:
    def decide(situation: Situation) -> tuple[NodeDecision, ...]:
        return tuple(
            NodeDecision(
                node=node.name,
                uid=node.uid,
                verdict=Verdict.RELEASE if situation.now_seconds in at else Verdict.LEAVE,
            )
            for node in situation.pools[0].nodes
        )

    return Scripted(nodes=decide)


def ahead(at: float, nodes: int = 1, *, act: bool = True) -> Scripted:
    order = NodeOrder(nodes=nodes, reason=Reason.PRE_WARM)
    return Scripted(orders=lambda now: (order,) if now == at else (), act=act)


TRAINING = GangRun(
    workload=JOB,
    pods=1,
    gpus_per_pod=1,
    pools=("p",),
    created_seconds=240,
    run_seconds=100,
    pod_seconds=30,
)


def test_a_policy_is_asked_each_two_minutes() -> None:
    policy = Scripted()
    cluster(service((0, 1)), policy=policy).run(500)
    assert [seen.now_seconds for seen in policy.seen] == [0, 120, 240, 360, 480]


def test_a_policy_sees_nodes_and_pods_as_production_shows_them() -> None:
    policy = Scripted()
    pools = (replace(POOL, gpus_per_node=2),)
    cluster(service((0, 1), (950, 4)), pools=pools, policy=policy).run(2000)
    by_time = {seen.now_seconds: seen.pools[0] for seen in policy.seen}
    # A round is made a second after a pod begins to wait.
    first, second = by_time[951].nodes
    assert (first.stage, first.free_gpus) == (NodeStage.INITIALIZED, 0)
    # The second pod was bound at 950 and serves from 980 on.
    assert [pod.ready for pod in first.pods] == [True, False]
    assert (second.stage, second.ordered_seconds) == (NodeStage.ORDERED, 951)
    assert by_time[951].demand_gpus == 4
    assert [pod.ready for pod in by_time[1200].nodes[0].pods] == [True, True]
    assert by_time[1080].nodes[1].stage is NodeStage.INITIALIZED
    assert by_time[951].lead_time.boot_seconds == 100
    assert by_time[951].workloads == (CHAT,)


def test_a_held_node_goes_in_karpenters_time_after_the_lease() -> None:
    run = cluster(service((0, 1), (1003, 0)), policy=hold(until=1501))
    run.run(1530)
    # It is held at 1018, in the round 15 s after its pod. The lease ends at 1501, the pass is at
    # 1510, validated at 1525, gone at 1530.
    assert run.nodes("p") == 1
    run.run(1531)
    assert run.nodes("p") == 0
    idle = run.books["p"].idle_gpu_seconds
    assert idle == {Reason.NONE: 1018 - 1003 + 1530 - 1501, Reason.FORECAST_HOLD: 1501 - 1018}


def test_a_released_node_is_tainted_and_goes_in_the_next_round() -> None:
    policy = release(1018, 1028)
    run = cluster(service((0, 1), (1003, 0)), policy=policy)
    run.run(2000)
    assert [seen.now_seconds for seen in policy.seen][9:11] == [1018, 1028]
    assert run.gpu_seconds("p") == 1033


def test_a_node_that_has_not_been_empty_for_long_is_not_tainted_yet() -> None:
    # The round at 1080 is 4 s after its pod; the next one is at 1091.
    run = cluster(service((0, 1), (1076, 0)), policy=release(1080, 1091, 1101))
    run.run(2000)
    assert run.gpu_seconds("p") == 1106


def test_the_node_of_a_job_is_not_tainted_before_the_job_could_have_tried_again() -> None:
    run = cluster(gangs=(TRAINING,), policy=release(*range(492, 532)))
    run.run(2000)
    # Ordered at 241, initialized at 341, pulled at 361, ready at 391; its pod is gone at 491, the
    # taint is there at 521, and the round at 531 lets the node go.
    assert run.gpu_seconds("p") == 536 - 241


def test_of_two_pods_on_a_node_the_one_whose_place_is_taken_last_counts() -> None:
    wide = replace(POOL, gpus_per_node=2)
    policy = release(*range(371, 411))
    # The job's pod is gone at 370, the service's at 380.
    run = cluster(service((0, 1), (380, 0)), pools=(wide,), gangs=(TRAINING,), policy=policy)
    run.run(2000)
    assert [seen.now_seconds for seen in policy.seen if 370 < seen.now_seconds < 480] == [400, 410]
    assert run.gpu_seconds("p") == 2 * 415


def test_a_tainted_node_takes_no_pods_until_a_round_keeps_it() -> None:
    # Tainted at 1018. A pod comes at 1020, and the round at 1023 takes the taint off.
    run = cluster(service((0, 1), (1003, 0), (1020, 1)), policy=release(1018))
    run.run(1500)
    assert run.waits[CHAT].seconds == [3]
    assert run.nodes("p") == 1


def test_rounds_are_five_seconds_apart_at_least() -> None:
    policy = Scripted()
    cluster(service((0, 0), (500, 1), (503, 2), (504, 3)), policy=policy).run(600)
    assert [seen.now_seconds for seen in policy.seen] == [0, 120, 240, 360, 480, 501, 506]


def test_pods_that_leave_a_node_to_others_call_for_a_round_each_15_seconds() -> None:
    policy = Scripted()
    wide = (replace(POOL, gpus_per_node=8),)
    shrinks = service((0, 8), *((490 + 4 * n, 7 - n) for n in range(6)))
    cluster(shrinks, pools=wide, policy=policy).run(590)
    # The first is seen at 491, 11 s after the regular round.
    assert [seen.now_seconds for seen in policy.seen if seen.now_seconds >= 480] == [
        480,
        495,
        510,
        525,
    ]


def test_a_replica_set_goes_by_what_another_one_has_left_half_a_minute_before() -> None:
    # Four pods of chat fill the first node, two of it and two of code the second. At 490 code's are
    # gone, and at 520 two of chat's go, which empty the second node.
    policy = PoolPolicy(mode=Mode.ACT, rho=3)
    settings = ClusterSettings(
        pools=(replace(POOL, gpus_per_node=4),),
        services=(service((0, 6), (520, 4)), service((0, 2), (490, 0), workload=CODE)),
        begin_seconds=0,
    )
    run = Cluster(settings, policy=ShippedRules(lambda _pool, _at: policy), forecasts={})
    run.run(700)
    assert run.nodes("p") == 1


def test_a_pod_that_waits_no_longer_is_seen_after_a_while() -> None:
    policy = Scripted()
    cluster(service((0, 0), (500, 1), (540, 0)), policy=policy).run(600)
    assert [seen.now_seconds for seen in policy.seen][5:] == [501, 555]


def test_the_pods_of_a_released_node_are_made_again() -> None:
    run = cluster(service((0, 1)), policy=release(1080))
    run.run(2000)
    assert run.waits[CHAT].seconds == [121]
    assert run.gpu_seconds("p") == 1085 + 2000 - 1081


def test_a_node_ordered_ahead_spares_the_wait() -> None:
    # Initialized at 340 and pulled at 360; it would go at 420.
    run = cluster(service((0, 0), (380, 1)), policy=ahead(240))
    run.run(600)
    assert run.waits[CHAT].seconds == [0]
    assert run.gpu_seconds("p") == 360


def test_a_pod_waits_for_what_is_left_of_an_order_ahead() -> None:
    run = cluster(service((0, 0), (300, 1)), policy=ahead(240))
    run.run(600)
    assert run.waits[CHAT].seconds == [340 + 20 - 300]
    assert run.books["p"].launches == 1
    assert run.books["p"].idle_gpu_seconds == {Reason.UNINITIALIZED: 100}


def test_a_node_ordered_ahead_and_not_used_is_idle_for_that_reason() -> None:
    run = cluster(service((0, 0)), policy=ahead(240))
    run.run(1000)
    # Initialized at 340, consolidatable at 400, validated at 415, drained at 420.
    assert run.books["p"].idle_gpu_seconds == {
        Reason.UNINITIALIZED: 100,
        Reason.PRE_WARM: 75,
        Reason.NONE: 5,
    }


def test_a_node_that_is_let_go_while_it_boots_is_paid_until_then() -> None:
    """By the shipped rules: the forecast wants a second node for two rounds and then no more."""

    def forecast(now: float) -> MaximumForecast:
        wanted = (2.0, 2.1, 2.2) if now < 3840 else (1.0, 1.1, 1.2)
        return MaximumForecast(
            made_at_seconds=now,
            last_value=1.0,
            windows_seconds=(600.0,),
            levels=(0.5, 0.9, 0.99),
            quantiles=(wanted,),
        )

    pool = replace(POOL, start_up=replace(START_UP, boot_seconds=(400, 400)))
    policy = PoolPolicy(mode=Mode.ACT, rho=30)
    settings = ClusterSettings(pools=(pool,), services=(service((0, 1)),), begin_seconds=3600)
    run = Cluster(
        settings, policy=ShippedRules(lambda _pool, _at: policy), forecasts={"p": forecast}
    )
    run.run(5000)
    books = run.books["p"]
    assert books.launches == 2  # with the node that the pod has from the beginning
    assert books.idle_gpu_seconds == {Reason.UNINITIALIZED: 3840 + 5 - 3600}
    assert run.gpu_seconds("p") == 5000 - 3600 + 3840 + 5 - 3600


def test_a_policy_that_only_advises_changes_nothing() -> None:
    run = cluster(service((0, 0)), policy=ahead(240, act=False))
    run.run(1000)
    assert run.gpu_seconds("p") == 0
