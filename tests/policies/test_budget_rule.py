"""Idle capacity stays within the policy's ceilings; the oldest hold goes first."""

import pytest

from fleet.cluster.nodes import CapacityType
from fleet.instances import instances
from policies.node_plan import Verdict
from policies.policy.pool_policy import PoolPolicy, SpotHedge
from policies.policy.resolve import policy_for
from policies.policy.shipped_policies import shipped
from tests.policies.pools import (
    NOW,
    busy,
    coming,
    empty,
    forecast,
    named,
    ordered,
    plan_of,
    pod,
    pool,
    round_of,
    texts,
    verdicts,
)

FLOOR = {"warm_floor_nodes": 3}
THREE = (empty("old", minutes=60), empty("new", minutes=5), empty("middle", minutes=30))


def test_the_oldest_hold_goes_when_the_hour_is_spent() -> None:
    policy = PoolPolicy(**FLOOR, idle_usd_per_hour_max=5.0)  # at $2 each
    plan = plan_of(pool(*THREE, demand_gpus=0.0), policy)
    assert verdicts(plan) == {
        "old": "release: budget",
        "middle": "hold: warm floor",
        "new": "hold: warm floor",
    }
    assert "not held: $2.00 an hour, and $1.00 is left of the hour's ceiling" in texts(plan)


def test_the_month_is_spent_lease_by_lease() -> None:
    # Each lease of 15 min costs $0.50, and $1.20 is left.
    policy = PoolPolicy(**FLOOR, idle_usd_per_month_max=100.0)
    plan = plan_of(pool(*THREE, demand_gpus=0.0), policy, month_usd=98.8)
    assert named(plan, Verdict.HOLD) == ["new", "middle"]
    assert "$0.50 for its lease, and $0.20 is left of the month's ceiling" in texts(plan)


def test_orders_are_dropped_before_holds() -> None:
    policy = PoolPolicy(warm_floor_nodes=5, idle_usd_per_hour_max=8.0)
    plan = plan_of(pool(*THREE, demand_gpus=0.0), policy)
    assert len(named(plan, Verdict.HOLD)) == 3
    assert ordered(plan) == [(1, "warm floor")]
    assert "1 of 2 nodes are not ordered: $2.00 an hour, and $0.00 is left" in texts(plan)


def test_nodes_on_their_way_ahead_of_demand_count_first() -> None:
    policy = PoolPolicy(**FLOOR, idle_usd_per_hour_max=5.0)
    state = pool(empty("a", minutes=9), empty("b"), coming("c"), demand_gpus=0.0)
    assert named(plan_of(state, policy), Verdict.HOLD) == ["a"]


@pytest.mark.parametrize(
    ("name", "nodes"), [("cost-first", 1), ("balanced", 2), ("latency-first", 4)]
)
def test_a_ready_made_ceiling_pays_for_the_nodes_that_it_names_and_no_more(
    name: str, nodes: int
) -> None:
    idle = [
        empty(f"n{at}", 8, usd_per_hour=instances()["p5.48xlarge"].usd_per_hour)
        for at in range(nodes + 1)
    ]
    # All of their GPUs are all but sure to be wanted again.
    wanted = forecast((8.0 * len(idle), 8.0 * len(idle) + 1, 8.0 * len(idle) + 2), last=0.0)
    state = pool(*idle, gpus_per_node=8, demand_gpus=0.0, forecast=wanted)
    plan, _ = round_of(state, policy=lambda one, at: policy_for([shipped(name)], one, at))
    assert len(named(plan.pools[0], Verdict.HOLD)) == nodes


@pytest.mark.parametrize(
    ("policy", "verdict"),
    [
        pytest.param(PoolPolicy(**FLOOR), "hold: warm floor", id="no ceiling"),
        pytest.param(
            PoolPolicy(**FLOOR, idle_usd_per_hour_max=500.0), "leave: budget", id="with a ceiling"
        ),
    ],
)
def test_a_node_of_unknown_price_is_neither_held_under_a_ceiling_nor_let_go_for_it(
    policy: PoolPolicy, verdict: str
) -> None:
    state = pool(empty("a", usd_per_hour=None), demand_gpus=0.0, usd_per_hour=None)
    plan = plan_of(state, policy)
    assert verdicts(plan) == {"a": verdict}
    unknown = "its price is unknown, and the policy has a ceiling"
    assert (unknown in texts(plan)) is (verdict == "leave: budget")


def test_a_spot_node_is_not_let_go_for_the_price_that_it_would_have_on_demand() -> None:
    idle = {"usd_per_hour": None, "capacity_type": CapacityType.SPOT}
    state = pool(empty("a", **idle), empty("b", **idle), demand_gpus=0.0, usd_per_hour=55.04)
    plan = plan_of(state, PoolPolicy(warm_floor_nodes=2, idle_usd_per_hour_max=56.0))
    assert verdicts(plan) == {"a": "hold: warm floor", "b": "leave: budget"}


def test_a_node_that_present_demand_wants_is_not_let_go_for_a_ceiling() -> None:
    held = empty("a", held_by_us_until_seconds=NOW + 200)
    state = pool(held, empty("b"), demand_gpus=1.0, forecast=forecast((1.0, 1.1, 1.2), last=1.0))
    plan = plan_of(state, PoolPolicy(warm_floor_nodes=2, idle_usd_per_hour_max=0.0))
    assert verdicts(plan) == {"a": "leave: budget", "b": "release: budget"}


def test_a_node_that_is_not_let_go_holds_up_no_order() -> None:
    # The hold of one node for present demand is too dear; a new one beside it is not.
    dear = empty("a", usd_per_hour=9.0)
    state = pool(dear, demand_gpus=1.0, forecast=forecast((1.0, 1.1, 1.2), last=1.0))
    plan = plan_of(state, PoolPolicy(warm_floor_nodes=2, idle_usd_per_hour_max=3.0))
    assert verdicts(plan) == {"a": "leave: budget"}
    assert ordered(plan) == [(1, "warm floor")]


def test_pools_of_one_policy_share_its_ceiling() -> None:
    first = pool(empty("a", minutes=5), demand_gpus=0.0, name="first")
    second = pool(empty("b", minutes=50), demand_gpus=0.0, name="second")
    policies = {
        name: PoolPolicy(policy=name, warm_floor_nodes=1, idle_usd_per_hour_max=3.0)
        for name in ("first", "second")
    }
    shared, _ = round_of(first, second, policy=policies["first"])
    assert [len(named(plan, Verdict.HOLD)) for plan in shared.pools] == [1, 0]
    own, _ = round_of(first, second, policy=lambda one, _at: policies[one.name])
    assert [len(named(plan, Verdict.HOLD)) for plan in own.pools] == [1, 1]


def test_running_work_and_loading_models_are_not_touched() -> None:
    policy = PoolPolicy(idle_usd_per_hour_max=0.0, idle_usd_per_month_max=0.0)
    loading = busy("a", pods=(pod("x", ready=False, created_seconds=NOW - 60),))
    plan = plan_of(pool(loading, busy("b"), demand_gpus=2.0), policy)
    assert verdicts(plan) == {"a": "hold: veto", "b": "leave: serves"}


def test_a_pool_that_gives_up_a_node_orders_none_for_less() -> None:
    # The dear node is not affordable, a new one would be: it would be a swap, round by round.
    policy = PoolPolicy(rho=50, warm_floor_nodes=2, idle_usd_per_hour_max=3.0)
    state = pool(
        empty("dear", usd_per_hour=9.0),
        demand_gpus=0.0,
        forecast=forecast((0.0, 0.1, 0.2), last=0.0),
    )
    plan = plan_of(state, policy)
    assert verdicts(plan) == {"dear": "release: budget"}
    assert ordered(plan) == []


def test_an_order_that_may_be_on_demand_counts_at_the_price_of_that() -> None:
    hedge = SpotHedge(on_demand_share=1.0)
    policy = PoolPolicy(warm_floor_nodes=4, idle_usd_per_hour_max=11.0, spot_hedge=hedge)
    for capacity_type, nodes in ((CapacityType.SPOT, 4), (None, 2)):
        state = pool(
            demand_gpus=0.0, usd_per_hour_on_demand=5.0, capacity_type=capacity_type
        )  # a spot machine costs $2
        assert ordered(plan_of(state, policy)) == [(nodes, "warm floor")]


def test_nodes_of_a_reservation_cost_nothing_more() -> None:
    policy = PoolPolicy(**FLOOR, idle_usd_per_hour_max=0.0)
    reserved = CapacityType.RESERVED
    state = pool(coming("a", capacity_type=reserved), demand_gpus=0.0, capacity_type=reserved)
    assert ordered(plan_of(state, policy)) == [(2, "warm floor")]
