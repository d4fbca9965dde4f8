"""The cheapest schedule: what it orders, what it keeps, and what a late minute moves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaler.decision.schedule import NeedAhead, cheapest, cheapest_of_each

LEAD = 300.0
LEVELS = (0.5, 0.7, 0.83, 0.9, 0.95, 0.99, 0.995)
HORIZONS = (0.0, 60.0, 180.0, 300.0, 600.0, 900.0, 1800.0)


def need(*medians: float, spread: float = 0.0) -> NeedAhead:
    """One median a horizon, the last one to the end; each level adds `spread` of it."""
    filled = (*medians, *[medians[-1]] * (len(HORIZONS) - len(medians)))
    return NeedAhead(
        seconds=HORIZONS,
        levels=LEVELS,
        quantiles=tuple(
            tuple(median * (1 + spread * step) for step in range(len(LEVELS))) for median in filled
        ),
    )


def planned(ahead: NeedAhead, *, supply: int, cost: float = 20.0, lead: float = LEAD) -> int:
    return cheapest(ahead, supply=supply, lead_seconds=lead, late_minute_cost=cost).replicas


def test_even_demand_keeps_the_replicas_that_it_needs() -> None:
    # 6.5 busy at every level: 7 serve them, and an eighth serves nobody
    assert planned(need(6.5), supply=7) == 7
    assert planned(need(6.5), supply=12) == 7


def test_a_rise_is_ordered_a_lead_time_before_and_not_earlier() -> None:
    # 4 busy now; 9 from 600 s on, or only from 1800 s on, which is beyond twice the lead time
    soon = need(4.0, 4.0, 4.0, 9.0)
    late = need(4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 9.0)

    assert planned(soon, supply=5) >= 9
    assert planned(late, supply=5) == 4


def test_nothing_is_released_that_the_forecast_wants_back_within_the_horizon() -> None:
    # A dip of five minutes: a new replica would cost a lead time of 300 s and its own drain
    dip = need(9.5, 4.0, 4.0, 9.5)
    end = need(9.5, 4.0, 4.0, 4.0)

    assert planned(dip, supply=10) == 10
    assert planned(end, supply=10) < 10


def test_demand_that_comes_back_beyond_the_horizon_is_released() -> None:
    # At a lead time of 60 s a new one is cheaper than to keep one for half an hour
    back = need(4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 9.0)

    assert planned(back, supply=10, lead=60.0) == 4


def test_a_dearer_late_minute_orders_more() -> None:
    uncertain = need(10.0, spread=0.1)
    found = [planned(uncertain, supply=10, cost=cost) for cost in (1, 5, 20, 100, 1000)]

    assert found == sorted(found)
    assert found[0] < found[-1]
    # The top quantile is 16: a late minute of any worth does not plan for the impossible
    assert found[-1] <= 18


def test_a_chance_of_demand_warms_a_workload_at_zero() -> None:
    # Nothing at the median, one replica in three of ten futures
    maybe = NeedAhead(
        seconds=HORIZONS,
        levels=LEVELS,
        quantiles=((0.0,) * 7, *[(0.0, 0.0, 0.8, 0.9, 0.9, 0.9, 0.9)] * 6),
    )

    assert planned(maybe, supply=0) == 1
    assert planned(maybe, supply=0, cost=1.0) == 0


@pytest.mark.parametrize("supply", [0, 3])
def test_a_forecast_that_is_nothing_but_a_rest_keeps_no_replica(supply: int) -> None:
    # 0.019 of a replica at the top quantile, in place of exactly nothing; 0.1 is demand
    rest, demand = need(0.01, spread=0.15), need(0.1)

    assert planned(rest, supply=supply, cost=15.0) == 0
    assert planned(demand, supply=supply, cost=15.0) == 1


def test_large_fleets_are_planned_in_steps_as_small_ones_are_one_by_one() -> None:
    small = planned(need(10.0, 11.0, 12.0, 14.0, spread=0.05), supply=12)
    large = planned(need(1000.0, 1100.0, 1200.0, 1400.0, spread=0.05), supply=1200)

    assert large / 100 == pytest.approx(small, abs=1)


@given(
    medians=st.lists(st.floats(0, 200), min_size=7, max_size=7),
    spread=st.floats(0, 1),
    supply=st.integers(0, 300),
)
def test_a_schedule_keeps_no_more_than_there_is_and_orders_no_more_than_can_be_needed(
    medians: list[float], spread: float, supply: int
) -> None:
    ahead = need(*medians, spread=spread)
    schedule = cheapest(ahead, supply=supply, lead_seconds=LEAD, late_minute_cost=20.0)

    most = max(max(row) for row in ahead.quantiles)
    assert 0 <= schedule.kept <= supply
    assert 0 <= schedule.at_lead <= max(most, supply) + 1 + 3 * (1 + max(most, supply) // 160)
    assert 0 <= schedule.exceeded <= 1


@given(
    medians=st.lists(st.floats(0, 200), min_size=7, max_size=7),
    spread=st.floats(0, 1),
    lead=st.floats(10, 2000),
    pairs=st.lists(st.tuples(st.integers(0, 400), st.floats(0.5, 10_000)), min_size=1, max_size=9),
)
def test_schedules_of_many_are_those_of_each_alone(
    medians: list[float], spread: float, lead: float, pairs: list[tuple[int, float]]
) -> None:
    ahead = need(*medians, spread=spread)

    together = cheapest_of_each(
        ahead,
        supplies=[supply for supply, _ in pairs],
        lead_seconds=lead,
        late_minute_costs=[cost for _, cost in pairs],
    )

    assert list(together) == [
        cheapest(ahead, supply=supply, lead_seconds=lead, late_minute_cost=cost)
        for supply, cost in pairs
    ]
