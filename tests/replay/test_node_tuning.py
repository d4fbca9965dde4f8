"""The rules' constants are chosen again each night, one step at most, with the evidence kept."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.planning.node_planning import NodePlanning
from policies.planning.state_bytes import decode_state, encode_state
from policies.planning.tuning import NoChoice
from policies.policy.pool_policy import Mode, PoolPolicy
from policies.rules.constants import RuleConstants
from replay.cluster.settings import ClusterSettings
from replay.cluster.shipped import ShippedRules
from replay.node_tuning import (
    HOLD_FACTORS,
    ORDER_FACTORS,
    choose_again,
    choose_by_replay,
    neighbours,
    replayed_cost,
)
from scaler.forecast.running_maximum import MaximumForecast
from tests.replay.cluster.small import POOL, service

SHIPPED = RuleConstants()


def steps_between(before: RuleConstants, after: RuleConstants) -> int:
    holds = HOLD_FACTORS.index(after.hold_factor) - HOLD_FACTORS.index(before.hold_factor)
    orders = ORDER_FACTORS.index(after.order_factor) - ORDER_FACTORS.index(before.order_factor)
    return abs(holds) + abs(orders)


def test_the_shipped_constants_are_on_the_grid() -> None:
    assert steps_between(SHIPPED, SHIPPED) == 0


def test_a_night_looks_one_step_around() -> None:
    pairs = [(one.hold_factor, one.order_factor) for one in neighbours(SHIPPED)]
    assert pairs == [(1.0, 0.4), (0.7, 0.4), (1.4, 0.4), (1.0, 0.3), (1.0, 0.6)]


def test_the_cheapest_neighbour_is_taken_and_all_evidence_is_kept() -> None:
    record = choose_again(SHIPPED, lambda one: 100 + 50 * one.order_factor, at_seconds=7)
    assert record.after == replace(SHIPPED, order_factor=0.3)
    assert [one.cost for one in record.evidence] == pytest.approx([120, 120, 120, 115, 130])
    assert "hold 1, order 0.3 (-4.2%)" in record.text


def test_a_gain_below_two_per_cent_moves_nothing() -> None:
    record = choose_again(SHIPPED, lambda one: 100 + 10 * one.order_factor, at_seconds=7)
    assert record.after == SHIPPED
    assert "stay" in record.text


def test_days_that_cost_nothing_move_nothing() -> None:
    record = choose_again(SHIPPED, lambda _: 0, at_seconds=7)
    assert record.after == SHIPPED
    assert "as dear" in record.text


def _next(costs: Iterator[float], _: RuleConstants) -> float:
    return next(costs)


@given(costs=st.lists(st.floats(0, 1e6), min_size=5, max_size=60))
def test_no_night_moves_further_than_one_step(costs: list[float]) -> None:
    constants = SHIPPED
    for night in range(len(costs) // 5):
        cost_of = partial(_next, iter(costs[5 * night :]))
        record = choose_again(constants, cost_of, at_seconds=night)
        assert steps_between(constants, record.after) <= 1
        assert record.before == constants
        constants = record.after


NIGHTS = st.lists(
    st.tuples(
        st.none() | st.lists(st.floats(0, 1e6), min_size=5, max_size=5),
        st.booleans(),
    ),
    max_size=20,
)


@given(nights=NIGHTS)
def test_through_nights_without_a_choice_and_restarts_a_pool_stays_on_the_grid(
    nights: list[tuple[list[float] | None, bool]],
) -> None:
    planning, constants = NodePlanning(), SHIPPED
    for night, (costs, restarts) in enumerate(nights):
        if costs is None:
            planning.take_night("p", NoChoice(at_seconds=night, why="no past"))
            expected = constants
        else:
            record = choose_again(constants, partial(_next, iter(costs)), at_seconds=night)
            planning.take_night("p", record)
            expected = record.after
        if restarts:
            planning = NodePlanning(decode_state(encode_state(planning.state)))
        found = planning.state.tuned.constants_of("p")
        assert found == expected
        assert steps_between(constants, found) <= 1
        constants = found


def test_the_replayed_cost_is_idle_time_and_waits_at_rho() -> None:
    settings = ClusterSettings(
        pools=(POOL,), services=(service((0, 1), (103, 2)),), begin_seconds=0
    )
    policy = ShippedRules(lambda _pool, _now: PoolPolicy(mode=Mode.ACT, rho=10))
    cost = replayed_cost(settings, policy, {}, rho=10, until_seconds=1000)
    # A node boots for 100 s, and its pod waits 121 s.
    assert cost == 100 + 10 * 121


def test_a_forecast_that_promises_too_much_makes_holds_shorter() -> None:
    def even_odds(now: float) -> MaximumForecast:
        return MaximumForecast(
            made_at_seconds=now,
            last_value=1.0,
            windows_seconds=(600.0,),
            levels=(0.5, 0.9),
            quantiles=((2.0, 2.0),),
        )

    # The second node is never wanted again. A wait of 120 s at rho 10 is saved with probability .5,
    # against 450 s: 600 holds, .7 * 600 does not.
    settings = ClusterSettings(
        pools=(POOL,), services=(service((0, 2), (123, 1)),), begin_seconds=0
    )
    record = choose_by_replay(
        SHIPPED,
        settings,
        lambda _pool, _now: PoolPolicy(mode=Mode.ACT, rho=10),
        {"p": even_odds},
        rho=10,
        until_seconds=3600,
    )
    assert record.after == replace(SHIPPED, hold_factor=0.7)
    assert record.at_seconds == 3600
    # Tainted at 138, released at 148 and gone at 153, instead of held to the end.
    assert [one.cost for one in record.evidence[:2]] == [3600 - 123, 153 - 123]
