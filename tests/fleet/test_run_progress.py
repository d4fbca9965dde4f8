"""When a training run ends, from what it logged: within 10 %, and never for ever."""

import pytest

from fleet.run_progress import Goal, Point, Progress, Unit, progress_of
from tests.fleet.training_runs import SHAPES, START, Shape, logged

THOUSAND = Goal(metric="loss", total=1000.0, unit=Unit.STEPS)
HOUR = 3600.0


def progress(points: list[Point], now: float, goal: Goal | None = THOUSAND) -> Progress:
    past = [one for one in points if one.at_seconds <= now]
    return progress_of(past, goal, START, now)


def steps(*done: float, every: float = 60.0, start: float = START) -> list[Point]:
    return [Point(at_seconds=start + n * every, done=one) for n, one in enumerate(done)]


@pytest.mark.parametrize("part", [0.6, 0.8])
@pytest.mark.parametrize("name", SHAPES)
def test_the_end_of_ten_runs_is_told_within_a_tenth_of_what_is_left(name: str, part: float) -> None:
    points, end = logged(SHAPES[name], seed=3)
    now = START + part * (end - START)
    told = progress(points, now)
    assert not told.stalled
    assert told.ends_at_seconds == pytest.approx(end, abs=0.1 * (end - now))


def test_an_even_run_ends_at_the_second() -> None:
    # 250 steps in 250 min, and 750 are left.
    told = progress(steps(*range(251)), START + 250 * 60)
    assert (told.done, told.total, told.unit) == (250.0, 1000.0, Unit.STEPS)
    assert told.ends_at_seconds == pytest.approx(START + 1000 * 60)


def test_a_run_that_begins_again_at_step_0_goes_on_at_the_pace_of_before() -> None:
    # Ten steps a minute, so 1,000 take 100 min from the restart in minute 3.
    told = progress(steps(0, 10, 20, 0), START + 3 * 60)
    assert (told.done, told.ends_at_seconds) == (0.0, pytest.approx(START + 103 * 60))


def test_a_run_that_begins_again_at_step_0_meets_all_its_pauses_again() -> None:
    # 100 steps in 100 s, then a pause of 1,000 s; nine times, and back at step 0 at 10,000 s.
    points = [
        Point(at_seconds=START + step + 1000 * (max(step - 1, 0) // 100), done=float(step))
        for step in range(0, 902, 1)
    ]
    again = Point(at_seconds=START + 10_000, done=0.0)
    told = progress([*points, again], START + 10_000)
    # 1,000 steps and ten pauses from there; the last may come at the end or not.
    assert told.ends_at_seconds == pytest.approx(START + 10_000 + 1000 + 10_000, abs=1100)


def test_pauses_without_a_distance_between_them_tell_no_end() -> None:
    # Two pauses of an hour, 1e-306 steps apart; the next ones cannot be counted.
    seconds = [0, 1, 2, 3, 3603, 7203]
    done = [0, 1e-306, 2e-306, 3e-306, 4e-306, 5e-306]
    points = [Point(at_seconds=START + s, done=d) for s, d in zip(seconds, done, strict=True)]
    assert progress(points, START + 7203).ends_at_seconds is None


def test_a_run_that_logs_nothing_new_is_stalled_after_half_an_hour() -> None:
    points = steps(0, 10, 20)
    assert not progress(points, START + 120 + 1800).stalled
    told = progress(points, START + 120 + 1801)
    # What ends here is what is held for it.
    assert (told.stalled, told.ends_at_seconds) == (True, START + 120 + 1800)


def test_a_run_with_long_pauses_is_given_three_of_them() -> None:
    points = steps(0, 10, 20, every=HOUR)
    assert not progress(points, START + 2 * HOUR + 3 * HOUR).stalled
    assert progress(points, START + 2 * HOUR + 3 * HOUR + 1).stalled


def test_a_run_that_logs_the_same_step_again_and_again_is_stalled() -> None:
    points = steps(0, 10, 20, *[20] * 60)
    assert progress(points, START + 62 * 60).stalled


def test_a_run_that_crashes_at_the_same_step_again_and_again_is_stalled() -> None:
    once = [*range(40)]
    points = steps(*once, *(range(20, 40)), *(range(20, 40)), *(range(20, 40)), *(range(20, 40)))
    # First at step 39 after 39 min; half an hour and the 19 steps that are repeated are over.
    assert not progress(points, START + (39 + 30 + 19) * 60).stalled
    assert progress(points, START + 110 * 60).stalled


def test_a_run_without_a_step_is_given_a_day() -> None:
    assert progress([], START + 24 * HOUR) == Progress(total=1000.0)
    assert progress([], START + 24 * HOUR + 1).stalled


def test_a_run_without_an_end_has_none_and_is_stalled_all_the_same() -> None:
    points = steps(0, 10, 20)
    told = progress(points, START + 180, goal=None)
    assert (told.done, told.ends_at_seconds, told.stalled) == (20.0, None, False)
    assert progress(points, START + HOUR, goal=None).stalled


def test_an_end_in_more_than_ten_years_is_none() -> None:
    goal = Goal(metric="loss", total=1e12, unit=Unit.STEPS)
    assert progress(steps(0, 1, 2), START + 120, goal).ends_at_seconds is None


def test_the_first_step_alone_tells_no_pace() -> None:
    assert progress(steps(5), START + 60).ends_at_seconds is None


def test_a_run_that_is_late_with_its_next_step_does_not_end_in_the_past() -> None:
    told = progress(steps(*range(980, 1000)), START + 30 * 60)
    assert told.ends_at_seconds == START + 30 * 60


def test_two_hiccups_at_the_start_are_no_rhythm() -> None:
    hiccups = [Point(at_seconds=START, done=0.0)]
    for step in range(1, 501):
        wait = 3600.0 if step in {10, 20} else 6.0
        hiccups.append(Point(at_seconds=hiccups[-1].at_seconds + wait, done=float(step)))
    now = hiccups[-1].at_seconds
    told = progress(hiccups, now)
    # 500 steps of 6 s.
    assert told.ends_at_seconds == pytest.approx(now + 3000)


def test_the_shapes_are_ten_different_runs() -> None:
    assert len({logged(shape, seed=3)[1] for shape in SHAPES.values()}) == 10
    assert logged(Shape(noise=0.0))[1] == START + 6000
