"""A gang gets nodes for all its pods or for none, and keeps them until it ends."""

from typing import Any

import pytest

from fleet.cluster.nodes import CapacityType
from fleet.cluster.owners import Workload
from fleet.reasons import Reason
from policies.node_plan import Verdict
from policies.policy.pool_policy import PoolPolicy, SpotHedge
from policies.situation import Checkpoints, GangDemand
from tests.policies.pools import (
    NOW,
    busy,
    coming,
    empty,
    forecast,
    named,
    node,
    ordered,
    plan_of,
    pod,
    pool,
    round_of,
    texts,
    verdicts,
)

TRAIN = Workload(kind="JobSet", namespace="ml", name="tune")
HOUR = 3600.0


def gang(waiting: int, **fields: Any) -> GangDemand:
    """Of pods with a whole node of 8 GPUs each."""
    defaults = {"workload": TRAIN, "pods": waiting, "gpus_per_pod": 8, "waiting_pods": waiting}
    return GangDemand(**(defaults | fields))


def eights(*nodes: Any, **fields: Any) -> Any:
    return pool(*nodes, **({"gpus_per_node": 8, "demand_gpus": 0.0} | fields))


def test_free_nodes_are_held_and_the_missing_ones_ordered() -> None:
    state = eights(busy("serve", 8), empty("a", 8), demand_gpus=8.0, gangs=(gang(4),))
    plan = plan_of(state)
    assert verdicts(plan)["a"] == "hold: gang"
    assert ordered(plan) == [(3, "gang")]
    assert plan.orders[0].workload == "JobSet ml/tune"


def test_a_limit_that_leaves_one_pod_out_keeps_no_node() -> None:
    state = eights(busy("serve", 8), empty("a", 8), demand_gpus=8.0, gangs=(gang(4),), nodes_max=4)
    plan = plan_of(state)
    assert named(plan, Verdict.HOLD) == []
    assert ordered(plan) == []
    assert "JobSet ml/tune needs 4 nodes, 1 are free and no more can be had" in texts(plan)


@pytest.mark.parametrize(
    ("ceiling_usd", "orders", "held"),
    [
        # Three nodes at $10 are missing, and the empty one is kept for the gang.
        pytest.param(40.0, [(3, "gang")], ["a"], id="enough"),
        pytest.param(39.0, [], [], id="a dollar short"),
    ],
)
def test_under_a_ceiling_a_gang_gets_all_its_nodes_or_none(
    ceiling_usd: float, orders: list[tuple[int, str]], held: list[str]
) -> None:
    state = eights(empty("a", 8, usd_per_hour=10.0), gangs=(gang(4),), usd_per_hour=10.0)
    plan = plan_of(state, PoolPolicy(idle_usd_per_hour_max=ceiling_usd))
    assert ordered(plan) == orders
    assert named(plan, Verdict.HOLD) == held
    assert orders or "JobSet ml/tune gets none of its 3 nodes" in texts(plan)


@pytest.mark.parametrize(
    ("fields", "held"),
    [
        pytest.param({"usd_per_hour": 10.0}, ["a", "b"], id="known"),
        pytest.param({"usd_per_hour": None}, [], id="unknown"),
        pytest.param(
            {"usd_per_hour": None, "capacity_type": CapacityType.RESERVED},
            ["a", "b"],
            id="reserved",
        ),
    ],
)
def test_under_a_ceiling_nodes_without_a_price_are_kept_for_no_gang(
    fields: dict[str, Any], held: list[str]
) -> None:
    nodes = (empty("a", 8, usd_per_hour=10.0), empty("b", 8, **fields))
    plan = plan_of(
        eights(*nodes, gangs=(gang(2),), usd_per_hour=None), PoolPolicy(idle_usd_per_hour_max=500.0)
    )
    assert named(plan, Verdict.HOLD) == held
    why = "JobSet ml/tune keeps none of its 2 nodes: its price is unknown"
    assert (why in texts(plan)) is (not held)


@pytest.mark.parametrize(
    ("ceiling_usd", "nodes"),
    [pytest.param(40.0, 4, id="enough"), pytest.param(39.0, 0, id="short")],
)
def test_a_ceiling_grants_both_parts_that_a_spot_hedge_splits_a_gang_into_or_none(
    ceiling_usd: float, nodes: int
) -> None:
    hedged = PoolPolicy(
        idle_usd_per_hour_max=ceiling_usd, spot_hedge=SpotHedge(on_demand_share=0.5, spare_nodes=0)
    )
    plan = plan_of(eights(gangs=(gang(4),), usd_per_hour=10.0), hedged)
    assert sum(order.nodes for order in plan.orders if order.reason is Reason.GANG) == nodes
    assert len(plan.orders) == (2 if nodes else 0)


def test_a_gang_that_is_too_dear_leaves_its_nodes_to_the_floor_and_the_forecast() -> None:
    # Two of three nodes at $2 are affordable; one is for the floor, one for the forecast.
    waits = gang(3, gpus_per_pod=1)
    policy = PoolPolicy(rho=30, warm_floor_nodes=1, idle_usd_per_hour_max=4.0)
    state = pool(
        *map(empty, ("a", "b", "c")),
        demand_gpus=0.0,
        gangs=(waits,),
        forecast=forecast((1.0, 2.0, 2.1), last=0.0),
    )
    plan = plan_of(state, policy)
    assert verdicts(plan) == {
        "a": "hold: warm floor",
        "b": "hold: forecast hold",
        "c": "leave: no reason",
    }
    assert "JobSet ml/tune keeps none of its 3 nodes: $6.00 an hour" in texts(plan)
    # Karpenter may have bought c for the gang's pods: it is not let go under them.
    assert "release: not released: a gang waits that could use it" in texts(plan)


@pytest.mark.parametrize("waits", [0, 2, 3])
def test_a_gang_that_is_too_dear_takes_no_node_from_present_demand(waits: int) -> None:
    # Of a replica that is planned and has no pod yet: Karpenter would remove b before it comes.
    held = empty("b", held_by_us_until_seconds=NOW + 200)
    gangs = (gang(waits, gpus_per_pod=1),) if waits else ()
    state = pool(
        busy("a"),
        held,
        empty("c"),
        demand_gpus=2.0,
        forecast=forecast((2.0, 2.1, 2.2), last=2.0),
        gangs=gangs,
    )
    plan = plan_of(state, PoolPolicy(rho=30, idle_usd_per_hour_max=2.0))
    assert verdicts(plan) == {
        "a": "leave: serves",
        "b": "hold: forecast hold",
        "c": "leave: no reason" if waits else "release: no reason",
    }


def test_gangs_of_which_each_is_too_dear_leave_nothing_behind() -> None:
    gangs = tuple(
        gang(3, workload=Workload(kind="Job", namespace="ml", name=f"t{at}")) for at in range(9)
    )
    nodes = tuple(empty(name, 8, usd_per_hour=10.0) for name in "abc")
    policy = PoolPolicy(warm_floor_nodes=1, idle_usd_per_hour_max=10.0)
    plan = plan_of(eights(*nodes, gangs=gangs, usd_per_hour=10.0), policy)
    assert named(plan, Verdict.HOLD) == ["a"]
    assert ordered(plan) == []


def test_pods_that_only_a_number_tells_of_keep_no_node() -> None:
    stated = gang(1_000_000, missing_pods=999_999)
    plan = plan_of(eights(empty("a", 8), gangs=(stated,)))
    assert ordered(plan) == []
    assert named(plan, Verdict.HOLD) == []
    assert "lacks 999999 of 1000000 pods: nodes are kept when all exist" in texts(plan)


def test_two_gangs_do_not_count_on_the_same_node() -> None:
    other = Workload(kind="RayJob", namespace="ml", name="other")
    gangs = (gang(1), gang(1, workload=other))
    plan = plan_of(eights(empty("a", 8), gangs=gangs))
    assert [(one.nodes, one.workload) for one in plan.orders] == [(1, "RayJob ml/other")]


def test_nodes_that_present_demand_wants_are_not_for_a_gang() -> None:
    state = eights(empty("a", 8), empty("b", 8), demand_gpus=8.0, gangs=(gang(2),))
    plan = plan_of(state)
    assert (len(named(plan, Verdict.HOLD)), ordered(plan)) == (1, [(1, "gang")])


def test_small_pods_share_a_node() -> None:
    # 9 pods of 3 GPUs, 2 on a node
    assert ordered(plan_of(eights(gangs=(gang(9, gpus_per_pod=3),)))) == [(5, "gang")]


def test_a_pod_that_is_larger_than_a_node_is_named() -> None:
    plan = plan_of(eights(gangs=(gang(1, gpus_per_pod=16),)))
    assert ordered(plan) == []
    assert "JobSet ml/tune asks 16 GPUs a pod, and a node has 8" in texts(plan)


def test_karpenter_buys_for_the_pods_that_it_sees() -> None:
    assert ordered(plan_of(eights(gangs=(gang(4, seen_pods=3),)))) == [(1, "gang")]


def test_ordered_nodes_on_their_way_are_not_ordered_again() -> None:
    state = eights(coming("a", 8), coming("b", 8), gangs=(gang(3),))
    assert ordered(plan_of(state)) == [(1, "gang")]


def test_a_gang_prefers_the_nvlink_domain_with_most_free_nodes() -> None:
    nodes = (
        empty("lone", 8, minutes=1),
        empty("x", 8, clique="d1"),
        empty("y", 8, clique="d1"),
    )
    none = forecast((0.0, 0.0, 0.0), last=0.0)
    plan = plan_of(eights(*nodes, gangs=(gang(2, seen_pods=2),), forecast=none))
    assert named(plan, Verdict.HOLD) == ["x", "y"]
    assert named(plan, Verdict.RELEASE) == ["lone"]


@pytest.mark.parametrize(
    ("ends_at", "verdict", "until"),
    [
        pytest.param(None, "hold: gang", NOW + 900, id="end unknown"),
        pytest.param(NOW + HOUR, "hold: gang", NOW + 900, id="ends in an hour"),
        pytest.param(NOW - HOUR / 3, "hold: gang", NOW + 600, id="20 min over: 10 min more"),
        pytest.param(NOW - HOUR, "leave: serves", None, id="an hour over"),
    ],
)
def test_a_running_gang_holds_its_nodes_until_it_ends(
    ends_at: float | None, verdict: str, until: float | None
) -> None:
    runs = node("a", 8, pods=(pod("rank-0", 8, workload=TRAIN),))
    plan = plan_of(eights(runs, gangs=(gang(0, pods=1, ends_at_seconds=ends_at),)))
    assert verdicts(plan) == {"a": verdict}
    assert plan.nodes[0].until_seconds == until


@pytest.mark.parametrize(
    ("last", "verdict", "until"),
    [
        # Over for 40 minutes, 10 more than are granted; checkpoints each 30, the last 25 ago.
        pytest.param(NOW - 1500, "hold: gang", NOW + 300, id="until the next one in 5 min"),
        pytest.param(NOW - 300, "leave: serves", None, id="one was written meanwhile"),
        # A pod may state any time.
        pytest.param(NOW - 1500 + 1800e6, "hold: gang", NOW + 300, id="stated of a far future"),
    ],
)
def test_checkpoint_and_resume_lets_a_release_wait_for_the_checkpoint(
    last: float, verdict: str, until: float | None
) -> None:
    runs = node("a", 8, pods=(pod("rank-0", 8, workload=TRAIN),))
    writes = Checkpoints(last_seconds=last, every_seconds=1800)
    over = gang(0, pods=1, ends_at_seconds=NOW - 2400, checkpoints=writes)
    plan = plan_of(eights(runs, gangs=(over,)))
    assert verdicts(plan) == {"a": verdict}
    assert plan.nodes[0].until_seconds == until
    assert ("kept for its next checkpoint in 5 min" in texts(plan)) == (until is not None)


def test_a_gang_that_does_not_start_keeps_nodes_for_an_hour() -> None:
    state = eights(empty("a", 8), gangs=(gang(1),))
    plan, memory = round_of(state)
    assert verdicts(plan.pools[0]) == {"a": "hold: gang"}
    plan, _ = round_of(state, state=memory, now=NOW + HOUR + 60)
    assert verdicts(plan.pools[0]) == {"a": "leave: no reason"}
    assert "JobSet ml/tune did not start in 61 min" in texts(plan.pools[0])
