"""Equal attainment by straight lines, and a knob that is picked each night."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.frontier import (
    at_attainment,
    cheapest,
    cheapest_known,
    picked_nightly,
    without_first_day,
)
from replay.simulate import Day, Result


def result(
    knob: float,
    attainment: float,
    gpu_hours: float,
    days: tuple[Day, ...] = (),
    behavior: str = "own",
) -> Result:
    return Result(
        policy="rule", knob=knob, requests=100, attainment=attainment, gpu_hours=gpu_hours,
        ttft_p50=0, ttft_p95=0, ttft_p99=0, itl_p99=0, errors=0, cold_start_affected=0,
        actions=0, flips=0, days=days, behavior=behavior,
    )  # fmt: skip


def day(in_time: float, gpu_hours: float) -> Day:
    return Day(requests=100, in_time=in_time, gpu_seconds=gpu_hours * 3600)


def test_between_two_settings_the_frontier_is_a_straight_line() -> None:
    point = at_attainment([result(0.5, 0.995, 120), result(0.7, 0.98, 90)], 0.99)
    assert point is not None
    # Two thirds of the way from .98 to .995.
    assert point.gpu_hours == pytest.approx(110)
    assert point.knob == pytest.approx(0.5667, abs=1e-4)


def test_a_setting_that_is_better_and_cheaper_wins_over_the_line() -> None:
    results = [result(0.5, 0.995, 120), result(0.6, 0.992, 80), result(0.7, 0.98, 90)]
    point = at_attainment(results, 0.99)
    assert point is not None
    assert point.gpu_hours == 80


def test_settings_of_two_behaviors_are_not_joined() -> None:
    results = [
        result(0.5, 0.995, 120),
        result(0.7, 0.98, 90),
        result(0.6, 0.985, 60, behavior="down-2m"),
        result(0.4, 0.995, 100, behavior="down-2m"),
    ]
    point = at_attainment(results, 0.99)
    assert point is not None
    # Halfway from .985 to .995 under "down-2m"; on the other line 110, between the two 73.
    assert (point.behavior, point.gpu_hours) == ("down-2m", pytest.approx(80))
    assert point.knob == pytest.approx(0.5)


def test_a_rule_that_never_gets_there_has_no_point_and_is_no_extrapolation() -> None:
    assert at_attainment([result(0.5, 0.98, 120), result(0.7, 0.9, 90)], 0.99) is None


def test_a_rule_that_did_better_than_the_oracle_is_the_best_schedule_known() -> None:
    oracle = [result(1, 0.995, 100), result(2, 0.98, 70)]
    found = cheapest_known(oracle, [result(9, 0.992, 60)], 0.99)
    assert found is not None
    assert (found.attainment, found.gpu_hours) == (0.992, 60)


def test_where_nobody_gets_there_the_most_in_time_is_the_bound() -> None:
    found = cheapest_known([result(1, 0.4724, 844)], [result(9, 0.4759, 1393)], 0.99)
    assert found is not None
    assert (found.attainment, found.gpu_hours) == (0.4759, 1393)


runs = st.lists(
    st.builds(result, st.floats(0.1, 400), st.floats(0, 1), st.floats(0.1, 9000)), max_size=8
)


@given(oracle=runs.filter(bool), rules=runs, asked=st.floats(0.5, 0.999))
def test_no_rule_is_better_than_the_best_schedule_known(
    oracle: list[Result], rules: list[Result], asked: float
) -> None:
    best = cheapest_known(oracle, rules, asked)
    assert best is not None
    for rule in rules:
        as_often = rule.attainment >= best.attainment
        assert not (as_often and rule.gpu_hours < best.gpu_hours)
        assert best.attainment >= min(rule.attainment, asked)


def test_the_cheapest_that_reaches_wins_and_else_the_nearest() -> None:
    results = [result(1, 0.999, 120), result(2, 0.991, 100), result(3, 0.9, 50)]
    assert cheapest(results, 0.99).knob == 2
    assert cheapest(results, 0.9999).knob == 1


def test_the_night_picks_from_the_days_before_only() -> None:
    # The cheap setting was enough on the first day and fails on the second.
    dear = result(1, 1.0, 20, days=(day(100, 10), day(100, 10), day(100, 10)))
    cheap = result(2, 0.6, 9, days=(day(100, 3), day(20, 3), day(60, 3)))
    point = picked_nightly([dear, cheap], 0.99)
    assert point is not None
    # Second day cheap: 20 in time for 3 h. Third day dear: 100 for 10 h.
    assert point.attainment == pytest.approx(120 / 200)
    assert point.gpu_hours == pytest.approx(13)


def test_one_day_leaves_no_night_to_pick_in() -> None:
    assert picked_nightly([result(1, 1.0, 10, days=(day(100, 10),))], 0.99) is None


def test_a_run_without_its_first_day_counts_the_others() -> None:
    run = result(1, 0.9, 30, days=(day(70, 10), day(100, 12), day(100, 8)))
    rest = without_first_day(run)
    assert rest.attainment == 1.0
    assert rest.gpu_hours == pytest.approx(20)
