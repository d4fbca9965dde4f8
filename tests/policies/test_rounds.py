"""When the next round is due."""

import pytest

from policies.planning.demand import STEP_SECONDS
from policies.rounds import (
    RANK_REST,
    RANK_SECONDS,
    ROUND_SECONDS,
    URGENT_SECONDS,
    RoundTimes,
)


def begun(at: float) -> RoundTimes:
    """A round has begun; steps of forecasts begin at the same moments of this clock as `at`."""
    times = RoundTimes()
    times.begun(at, 0.0)
    return times


def test_without_news_a_round_is_due_two_minutes_after_the_last() -> None:
    times = begun(100.0)
    assert times.left_seconds(100.0) == ROUND_SECONDS
    assert times.left_seconds(100.0 + ROUND_SECONDS) == 0


@pytest.mark.parametrize(
    ("grid", "left"),
    [(0.0, 120), (1000.0, 80), (1079.0, 1), (1080.0, 120), (1_796_000_100.25, 59.75)],
)
def test_regular_rounds_begin_with_the_steps_of_forecasts_whenever_the_first_one_was(
    grid: float, left: float
) -> None:
    assert ROUND_SECONDS == STEP_SECONDS
    times = RoundTimes()
    times.begun(500.0, grid)
    assert times.due_seconds == pytest.approx(max(500 + left, 500 + URGENT_SECONDS))


def test_the_first_of_what_is_asked_for_is_due_and_the_rest_stays() -> None:
    times = begun(100.0)
    for at in (150.0, 130.0, 140.0):
        times.ask(at, 100.0)
    assert times.due_seconds == 130
    times.begun(130.0, 30.0)
    assert times.due_seconds == 140


def test_what_was_asked_for_before_a_round_is_done_with_it() -> None:
    times = begun(100.0)
    times.ask(130.0, 100.0)
    times.begun(135.0, 35.0)
    assert times.due_seconds == 100 + ROUND_SECONDS


def test_an_hour_of_news_in_which_no_round_is_made_asks_for_one_round() -> None:
    times = begun(100.0)
    for second in range(3600):
        times.ask(100.0 + second + 30, 100.0 + second)
    assert len(times._asked) <= 31
    assert times.left_seconds(3700.0) == 0
    times.begun(3800.0, 3700.0)
    assert times._asked == set()


def test_regular_rounds_keep_their_times_and_one_that_was_missed_is_not_made_up() -> None:
    times = begun(100.0)
    times.begun(100.0 + 3.5 * ROUND_SECONDS, 3.5 * ROUND_SECONDS)
    assert times.due_seconds == 100 + 4 * ROUND_SECONDS
    times.begun(100.0 + 4 * ROUND_SECONDS, 4 * ROUND_SECONDS)
    assert times.due_seconds == 100 + 5 * ROUND_SECONDS


def test_two_rounds_are_never_too_close() -> None:
    times = begun(100.0)
    times.ask(101.0, 100.0)
    assert times.due_seconds == 100 + URGENT_SECONDS


def test_a_timer_that_ends_a_moment_too_early_is_in_time() -> None:
    times = begun(100.0)
    times.ask(130.0, 100.0)
    assert times.left_seconds(130 - 1e-9) == 0
    times.begun(130 - 1e-9, 30 - 1e-9)
    assert times.due_seconds > 200
    times.begun(220 - 1e-9, 120 - 1e-9)
    assert times.due_seconds > 300


def test_pods_are_ranked_anew_a_while_after_the_last_round_however_many_leave() -> None:
    times = begun(100.0)
    for at in (101.0, 103.0, 104.0):
        times.ranking_changed(at)
    assert times.due_seconds == 100 + RANK_SECONDS
    times.begun(115.0, 15.0)
    assert times.due_seconds == 100 + ROUND_SECONDS


def test_pods_that_leave_long_after_a_round_are_ranked_anew_at_once() -> None:
    times = begun(100.0)
    times.ranking_changed(161.0)
    assert times.due_seconds == 161


def test_any_round_ranks_pods_anew_but_not_by_what_happens_after_it() -> None:
    times = begun(100.0)
    times.ranking_changed(101.0)
    times.ask(106.0, 101.0)
    times.begun(106.0, 6.0)
    assert times.due_seconds == 100 + ROUND_SECONDS
    times.ranking_changed(107.0)
    times.ranking_changed(109.0)
    times.begun(108.0, 8.0)
    assert times.due_seconds == 108 + RANK_SECONDS


def test_rounds_that_only_rank_pods_take_a_twentieth_of_the_time_at_most() -> None:
    times = RoundTimes()
    times.begun(100.0, 0.0, took_seconds=1.6)
    times.ranking_changed(101.0)
    assert times.due_seconds == 100 + 1.6 * RANK_REST
    assert 1.6 / (times.due_seconds - 100) <= 0.05


def test_a_long_round_moves_neither_the_regular_one_nor_what_is_asked_for() -> None:
    times = RoundTimes()
    times.begun(100.0, 0.0, took_seconds=20.0)
    times.ranking_changed(101.0)
    assert times.due_seconds == 100 + ROUND_SECONDS
    times.ask(130.0, 101.0)
    assert times.due_seconds == 130
