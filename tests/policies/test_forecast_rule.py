"""Nodes are held and ordered where that is worth more than it costs."""

from dataclasses import replace

import pytest

from policies.node_plan import Verdict
from policies.policy.pool_policy import Lever, PoolPolicy
from policies.rules.odds import Odds
from tests.policies.pools import (
    LEAD,
    NOW,
    busy,
    coming,
    empty,
    forecast,
    named,
    ordered,
    plan_of,
    pool,
    texts,
    verdicts,
)

# Demand is 4 and reaches 5 within 10 min with probability .1, 6 with .01.
RISING = forecast((4.0, 5.0, 6.0))
FOUR = tuple(busy(f"busy-{i}") for i in range(4))


@pytest.mark.parametrize(
    ("rho", "verdict"),
    [
        # rho w P > E: 10 * 480 * .1 = 480 GPU-seconds against 600 * .95 = 570
        pytest.param(10, "release: no reason", id="480 saved against 570 idle"),
        pytest.param(30, "hold: forecast hold", id="1440 saved against 570 idle"),
    ],
)
def test_an_empty_node_is_held_where_that_saves_more_than_it_idles(
    rho: float, verdict: str
) -> None:
    plan = plan_of(pool(*FOUR, empty("spare"), forecast=RISING), PoolPolicy(rho=rho))
    assert verdicts(plan)["spare"] == verdict


@pytest.mark.parametrize(
    ("rho", "orders"),
    [
        # .4 rho P > 1 - P
        pytest.param(20, [], id=".8 saved a minute against .9 idle"),
        pytest.param(25, [(1, "pre-warm")], id="1 saved a minute against .9 idle"),
    ],
)
def test_a_node_is_ordered_where_a_minute_earlier_saves_more_than_it_idles(
    rho: float, orders: list[tuple[int, str]]
) -> None:
    plan = plan_of(pool(*FOUR, forecast=RISING), PoolPolicy(rho=rho))
    assert ordered(plan) == orders


@pytest.mark.parametrize(
    ("rho", "verdict"),
    [
        # P(M >= 9) = .4, of 9 to 16 GPUs together 1.175; idle 8 * 600 * .8 = 3840 GPU-seconds
        pytest.param(3, "release: no reason", id="3 * 480 * 1.175 = 1692"),
        pytest.param(10, "hold: forecast hold", id="10 * 480 * 1.175 = 5640"),
    ],
)
def test_a_node_of_eight_counts_each_gpu_that_may_be_needed(rho: float, verdict: str) -> None:
    nodes = (busy("full", 8), empty("spare", 8))
    state = pool(
        *nodes, gpus_per_node=8, demand_gpus=8.0, forecast=forecast((8.0, 12.0, 16.0), last=8.0)
    )
    assert verdicts(plan_of(state, PoolPolicy(rho=rho)))["spare"] == verdict


def test_a_hold_saves_no_boot() -> None:
    # One GPU of the second node is needed with probability .9, and idle are 8 * 600 * .55 = 2640
    # GPU-seconds. The pod that need not wait counts 3 * 480 * .9 = 1296; a boot of the node would
    # be 8 * 360 * .9 = 2592 more, but is paid for with the hold and without it.
    one_more = replace(
        forecast((9.0, 9.0, 9.0), last=8.0),
        reach_values=(9.0, 10.0),
        reach_probabilities=((0.9, 1e-6),),
    )
    nodes = (busy("full", 8), empty("spare", 8))
    state = pool(*nodes, gpus_per_node=8, demand_gpus=8.0, forecast=one_more)
    assert verdicts(plan_of(state, PoolPolicy(rho=3)))["spare"] == "release: no reason"


def test_pods_that_come_after_a_node_could_be_there_do_not_wait_for_it() -> None:
    # Within 10 minutes at most one GPU of the second node is needed; within 20 all eight with
    # probability .2, so that 8 * .2 * 30 * 480 = 23040 GPU-seconds would be against 8 * 1080 idle.
    one_by_one = replace(
        forecast((8.0, 8.0, 9.0), (8.0, 8.0, 16.0), last=8.0, windows=(600.0, 1200.0)),
        reach_values=(9.0, 10.0, 16.0),
        reach_probabilities=((0.1, 1e-6, 1e-7), (0.2, 0.2, 0.2)),
    )
    nodes = (busy("full", 8), empty("spare", 8))
    state = pool(*nodes, gpus_per_node=8, demand_gpus=8.0, forecast=one_by_one)
    assert verdicts(plan_of(state, PoolPolicy(rho=30)))["spare"] == "release: no reason"


def test_the_time_until_a_node_is_needed_is_the_area_above_its_probability() -> None:
    odds = Odds(
        forecast=forecast((4.0, 5.0, 6.0), (4.0, 6.0, 8.0), windows=(600.0, 1200.0)),
        trust=1.0,
        gpus_per_node=1,
        windows_seconds=(600.0, 1200.0),
    )
    first, second = odds.of_rank(5)
    # .1 after 10 min and .3 after 20: 600 * (1 - .05), and 600 * (1 - .2) more
    assert (first.needed, first.wait_seconds) == pytest.approx((0.1, 570.0))
    assert (second.needed, second.wait_seconds) == pytest.approx((0.3, 1050.0))


def test_demand_that_fell_since_the_forecast_is_not_certain_to_return() -> None:
    odds = Odds(
        forecast=forecast((6.0, 7.0, 8.0), windows=(600.0,), last=6.0),
        trust=1.0,
        gpus_per_node=1,
        windows_seconds=(600.0,),
    )
    # Of node 5 it is known only that demand was 6; it rises to 7 with probability .1.
    (five,), (seven,) = odds.of_rank(5), odds.of_rank(7)
    assert (five.needed, seven.needed) == pytest.approx((0.1, 0.1))


def test_half_the_trust_is_half_the_probability() -> None:
    state = pool(*FOUR, empty("spare"), forecast=RISING)
    # 20 * 480 * .05 = 480 against 600 * .975 = 585, and 960 against 570
    assert named(plan_of(state, PoolPolicy(rho=20, trust=0.5)), Verdict.HOLD) == []
    assert named(plan_of(state, PoolPolicy(rho=20)), Verdict.HOLD) == ["spare"]


def test_without_any_trust_karpenter_decides() -> None:
    plan = plan_of(pool(*FOUR, empty("spare"), forecast=RISING), PoolPolicy(trust=0))
    assert verdicts(plan)["spare"] == "leave: no reason"
    assert "the policy does not trust forecasts: the present and Karpenter decide" in texts(plan)


def test_a_plan_shows_the_notes_of_its_policy_and_the_remarks_of_its_reading() -> None:
    state = pool(*FOUR, forecast=RISING, remarks=("a pod is in doubt",))
    plan = plan_of(state, PoolPolicy(notes=("rule 'spot' gives trust",)))
    assert [one.text for one in plan.steps[:2]] == ["a pod is in doubt", "rule 'spot' gives trust"]


def test_nothing_is_ordered_for_pods_that_wait_already() -> None:
    certain = forecast((6.0, 6.5, 7.0), last=6.0)
    state = pool(*FOUR, demand_gpus=6.0, forecast=certain)
    # P(M >= 7) = .01 pays at this rho, and Karpenter buys nodes 5 and 6.
    assert ordered(plan_of(state, PoolPolicy(rho=600))) == [(1, "pre-warm")]


def test_a_hold_runs_on_while_demand_that_has_no_pods_yet_wants_its_node() -> None:
    held = empty("held", held_by_us_until_seconds=NOW + 200)
    planned = pool(*FOUR, held, empty("other"), demand_gpus=6.0, forecast=RISING)
    plan = plan_of(planned, PoolPolicy(rho=30))
    assert verdicts(plan)["held"] == "hold: forecast hold"
    assert next(one for one in plan.nodes if one.node == "held").until_seconds == NOW + 200
    assert verdicts(plan)["other"] == "leave: no reason"
    assert ordered(plan) == []


def test_nodes_on_their_way_are_not_ordered_again() -> None:
    state = pool(*FOUR, coming("new"), forecast=RISING)
    assert ordered(plan_of(state, PoolPolicy(rho=50))) == []


def test_a_node_that_was_never_used_is_held_as_a_pre_warmed_one() -> None:
    new = empty("new", minutes=3, stage_since_seconds=NOW - 180)
    plan = plan_of(pool(*FOUR, new, forecast=RISING), PoolPolicy(rho=30))
    assert verdicts(plan)["new"] == "hold: pre-warm"


def test_a_longer_lead_time_makes_a_hold_worth_more() -> None:
    slow = replace(LEAD, boot_seconds=900.0)
    state = pool(*FOUR, empty("spare"), forecast=RISING, lead_time=slow)
    # 10 * 1020 * .1 = 1020 against 570
    assert verdicts(plan_of(state))["spare"] == "hold: forecast hold"


@pytest.mark.parametrize(
    "made_at", [NOW - 3600, NOW + 3600], ids=["an hour old", "an hour in the future"]
)
def test_a_forecast_of_another_time_counts_as_none(made_at: float) -> None:
    stale = replace(RISING, made_at_seconds=made_at)
    plan = plan_of(pool(*FOUR, empty("spare"), forecast=stale), PoolPolicy(rho=30))
    assert verdicts(plan)["spare"] == "leave: no reason"
    assert "is 3600 s old" in texts(plan) or "from 3600 s in the future" in texts(plan)


def test_without_a_forecast_a_hold_runs_out_and_nothing_is_released() -> None:
    held = empty("held", held_by_us_until_seconds=NOW + 200)
    plan = plan_of(pool(*FOUR, held, empty("other")), PoolPolicy(rho=30))
    assert verdicts(plan)["held"] == "hold: forecast hold"
    assert verdicts(plan)["other"] == "leave: no reason"
    assert next(one for one in plan.nodes if one.node == "held").until_seconds == NOW + 200


def test_an_order_stays_within_the_pools_limit() -> None:
    state = pool(*FOUR, forecast=RISING, nodes_max=4)
    plan = plan_of(state, PoolPolicy(rho=50))
    assert ordered(plan) == []
    assert "limits: 1 more nodes are wanted, and its limits allow 0" in texts(plan)


def test_a_lever_that_the_policy_does_not_list_is_not_used() -> None:
    policy = PoolPolicy(rho=50, levers=frozenset({Lever.POD_DELETION_COST}))
    plan = plan_of(pool(*FOUR, empty("a"), empty("b"), forecast=RISING), policy)
    assert named(plan, Verdict.HOLD) == named(plan, Verdict.RELEASE) == []
    assert "levers: the policy does not allow holds of nodes" in texts(plan)


def test_each_decision_shows_its_numbers() -> None:
    plan = plan_of(pool(*FOUR, empty("spare"), forecast=RISING), PoolPolicy(rho=30))
    of_pool, of_node = texts(plan).splitlines()
    assert of_pool == (
        "forecast: demand of 4 GPUs fills 4 nodes; 5 are worth keeping at rho 30, trust 1; node 6 "
        "is needed within 10 min with probability 0.01: 2.4 GPU-minutes saved against 9.9 idle"
    )
    assert of_node == (
        "forecast: node 5 is needed within 10 min with probability 0.10: 24.0 GPU-minutes saved "
        "against 9.5 idle"
    )
