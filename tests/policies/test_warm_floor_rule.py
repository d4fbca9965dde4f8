"""The schedule's nodes are there on time and are not let go shortly before."""

from collections.abc import Callable

import pytest

from policies.node_plan import Verdict
from policies.policy.pool_policy import PoolPolicy
from policies.situation import PoolState
from tests.policies.pools import (
    NOW,
    busy,
    coming,
    empty,
    forecast,
    named,
    ordered,
    plan_of,
    pool,
    verdicts,
)

ONE_WANTED = forecast((1.0, 1.1, 1.2), last=1.0)


def from_minute(minute: float, nodes: int) -> Callable[[PoolState, float], PoolPolicy]:
    """A schedule that begins that many minutes from now."""

    def policy(_pool: PoolState, at_seconds: float) -> PoolPolicy:
        return PoolPolicy(warm_floor_nodes=nodes if at_seconds >= NOW + minute * 60 else 0)

    return policy


def test_busy_nodes_count_and_the_rest_is_held_and_ordered() -> None:
    state = pool(busy("a"), empty("b"), demand_gpus=1.0, forecast=ONE_WANTED)
    plan = plan_of(state, PoolPolicy(warm_floor_nodes=4))
    assert verdicts(plan) == {"a": "leave: serves", "b": "hold: warm floor"}
    assert ordered(plan) == [(2, "warm floor")]
    assert (
        plan.orders[0].steps[0].text == "nodes that the schedule wants now: 4; there or coming: 2"
    )


def test_nodes_on_their_way_count() -> None:
    state = pool(busy("a"), coming("b"), demand_gpus=1.0, forecast=ONE_WANTED)
    assert ordered(plan_of(state, PoolPolicy(warm_floor_nodes=2))) == []


@pytest.mark.parametrize(
    ("minute", "orders"),
    [
        pytest.param(10, [(1, "warm floor")], id="a boot (.9) and a pull are 10 min"),
        pytest.param(12, [], id="too early to order"),
    ],
)
def test_nodes_are_ordered_so_that_they_are_there_when_the_window_begins(
    minute: float, orders: list[tuple[int, str]]
) -> None:
    state = pool(busy("a"), demand_gpus=1.0, forecast=ONE_WANTED)
    plan = plan_of(state, from_minute(minute, 2))
    assert ordered(plan) == orders
    assert [step.text for one in plan.orders for step in one.steps] == [
        "nodes that the schedule wants in 10 min: 2; there or coming: 1" for _ in orders
    ]


@pytest.mark.parametrize(
    ("minute", "verdict"),
    [
        # 10 min to order, and 14 in which a released node is not ordered again
        pytest.param(22, "hold: warm floor", id="wanted again soon"),
        pytest.param(40, "release: no reason", id="wanted again much later"),
    ],
)
def test_a_node_that_is_wanted_back_soon_is_not_let_go(minute: float, verdict: str) -> None:
    state = pool(busy("a"), empty("b"), demand_gpus=1.0, forecast=ONE_WANTED)
    assert verdicts(plan_of(state, from_minute(minute, 2)))["b"] == verdict


def test_the_floor_holds_without_a_forecast() -> None:
    plan = plan_of(pool(empty("a"), demand_gpus=0.0), PoolPolicy(warm_floor_nodes=1))
    assert named(plan, Verdict.HOLD) == ["a"]


def test_a_node_beyond_the_floor_is_ordered_by_the_forecast() -> None:
    state = pool(busy("a"), demand_gpus=1.0, forecast=forecast((2.0, 3.0, 3.1), last=1.0))
    plan = plan_of(state, PoolPolicy(rho=50, warm_floor_nodes=2))
    # P(M >= 3) = .1 pays: 1.05 saved a minute against .9
    assert ordered(plan) == [(1, "warm floor"), (1, "pre-warm")]
