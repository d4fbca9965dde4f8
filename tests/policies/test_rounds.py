"""When the next round is due."""

from policies.rounds import ROUND_SECONDS, URGENT_SECONDS, RoundTimes


def test_without_news_a_round_is_due_two_minutes_after_the_last() -> None:
    times = RoundTimes()
    times.begun(100.0)
    assert times.left_seconds(100.0) == ROUND_SECONDS
    assert times.left_seconds(100.0 + ROUND_SECONDS) == 0


def test_the_first_of_what_is_asked_for_is_due_and_the_rest_stays() -> None:
    times = RoundTimes()
    times.begun(100.0)
    for at in (150.0, 130.0, 140.0):
        times.ask(at)
    assert times.due_seconds == 130
    times.begun(130.0)
    assert times.due_seconds == 140


def test_what_was_asked_for_before_a_round_is_done_with_it() -> None:
    times = RoundTimes()
    times.begun(100.0)
    times.ask(130.0)
    times.begun(135.0)
    assert times.due_seconds == 100 + ROUND_SECONDS


def test_regular_rounds_keep_their_times_and_one_that_was_missed_is_not_made_up() -> None:
    times = RoundTimes()
    times.begun(100.0)
    times.begun(100.0 + 3.5 * ROUND_SECONDS)
    assert times.due_seconds == 100 + 4 * ROUND_SECONDS
    times.begun(100.0 + 4 * ROUND_SECONDS)
    assert times.due_seconds == 100 + 5 * ROUND_SECONDS


def test_two_rounds_are_never_too_close() -> None:
    times = RoundTimes()
    times.begun(100.0)
    times.ask(101.0)
    assert times.due_seconds == 100 + URGENT_SECONDS


def test_a_timer_that_ends_a_moment_too_early_is_in_time() -> None:
    times = RoundTimes()
    times.begun(100.0)
    times.ask(130.0)
    assert times.left_seconds(130 - 1e-9) == 0
    times.begun(130 - 1e-9)
    assert times.due_seconds > 200
