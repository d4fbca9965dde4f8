"""Parts of the forecast of the running maximum, with expected values by hand."""

import numpy as np
import pytest

from scaler.forecast.maximum.idle_times import IdleTimes
from scaler.forecast.maximum.recalibration import Recalibration
from scaler.forecast.maximum.sums import sum_of
from scaler.forecast.maximum.thinned import thinned
from scaler.forecast.maximum.thresholds import quantiles, thresholds
from scaler.forecast.maximum.wanted_past import UNKNOWN, WantedPast
from scaler.forecast.running_maximum import MaximumForecast

WINDOWS = np.array([2, 4], np.intp)


def past_of(values: list[float]) -> WantedPast:
    past = WantedPast(step_seconds=600.0, windows_steps=WINDOWS)
    for value in values:
        past.advance(value)
    return past


def test_the_excess_of_a_window_is_known_when_it_has_passed() -> None:
    past = past_of([4.0, 6.0, 5.0, 4.0, 9.0])
    assert past.excess[0, :3].tolist() == [2.0, 0.0, 4.0]  # within two steps
    assert past.excess[0, 3] == UNKNOWN
    assert past.excess[1, :1].tolist() == [5.0]  # within four
    assert past.outcomes(np.array([0, 1])).tolist() == [4.0, 5.0]


def test_a_short_gap_repeats_the_value_and_a_long_one_is_unknown() -> None:
    short = past_of([4.0, np.nan, 6.0])
    assert short.excess[0, 0] == 2.0
    long = past_of([4.0, *[np.nan] * 8, 6.0])
    assert long.excess[0, 7] == UNKNOWN
    assert long.last == 6.0


def test_the_oldest_steps_are_dropped_and_the_rest_keeps_its_place() -> None:
    past = past_of([])
    for step in range(past.capacity + 1):
        past.advance(float(step % 7))
    assert past.length < past.capacity
    newest = past.capacity
    assert past.wanted[past.length - 3 : past.length].tolist() == [
        (newest - 2) % 7, (newest - 1) % 7, newest % 7,
    ]  # fmt: skip
    assert past.excess[0, past.length - 3] == max(x % 7 for x in range(newest - 2, newest + 1)) - (
        (newest - 2) % 7
    )


def test_idle_times_weigh_steps_at_which_a_value_was_idle_for_about_as_long() -> None:
    past = past_of([5.0, 1.0, 1.0, 5.0, 1.0, 1.0, 5.0, 1.0, 1.0])
    idle = IdleTimes(capacity=past.capacity, step_seconds=600.0)
    mass = idle.mass(past, np.array([4.0]), thinned(past))
    # 5 has been idle for 2 steps, as at two steps before, and it came within 2 steps (the window)
    # after both. At the three steps after it came, it was idle for 1 step: log(3/2) = 0.405 away,
    # and exp(-(0.405/0.35)^2/2) = 0.511. The last of them is not known yet, the others saw it come.
    assert mass.known[0, 0, 0] == pytest.approx(2 + 2 * 0.511, abs=0.002)
    assert mass.reached[0, 0, 0] == pytest.approx(2 + 2 * 0.511, abs=0.002)
    # Within an hour's minute of now lies the step an hour ago alone, the third one.
    assert mass.known[0, 0, 1] == pytest.approx(1.0)
    assert mass.reached[0, 0, 1] == pytest.approx(1.0)


def test_idle_times_count_steps_after_which_a_value_stayed_away() -> None:
    past = past_of([5.0, 1.0, 1.0, 1.0, 1.0, 5.0, 1.0])
    idle = IdleTimes(capacity=past.capacity, step_seconds=600.0)
    mass = idle.mass(past, np.array([4.0]), thinned(past))
    # Idle for 1, 2, 3 and 4 steps at the second to the fifth; within 2 steps 5 came after the last
    # two. log(4/2) and log(5/2) are 0.693 and 0.916: weights 0.141 and 0.0325; the others 1, 0.511.
    assert mass.known[0, 0, 0] == pytest.approx(1 + 0.511 + 0.141 + 0.0325, abs=0.002)
    assert mass.reached[0, 0, 0] == pytest.approx(0.141 + 0.0325, abs=0.002)


def test_of_steps_older_than_a_day_every_second_one_stands_for_two() -> None:
    past = past_of([float(step % 7) for step in range(150)])  # a day is 144 steps
    counted = thinned(past)
    steps = counted.of(np.arange(150))
    assert steps.tolist() == [0, 2, 4, *range(6, 150)]
    assert counted.weighted(np.ones(150, np.float32)).sum() == 150


def test_thresholds_are_single_gpus_for_small_pools_and_grow_with_large_ones() -> None:
    assert thresholds(1.0).tolist() == [1, 2, 3, 4, 5, 6, 7, 9, 14]
    assert thresholds(10.0).tolist() == [1, 5, 10, 20, 30, 40, 60, 90, 140]


def test_quantiles_are_the_largest_value_reached_often_enough() -> None:
    # 0 with .6, 1 with .3, 2 with .09, 3 and more with .01.
    found = quantiles(
        np.array([1.0, 2.0, 3.0]), np.array([[0.4, 0.1, 0.01]]), np.array([0.5, 0.7, 0.85, 0.95])
    )
    assert found.tolist() == [[0.0, 1.0, 1.0, 2.0]]


def test_a_forecast_that_says_too_little_is_corrected_by_what_came() -> None:
    recalibration = Recalibration(windows=1, thresholds=1, overlap=np.ones(1))
    random = np.random.default_rng(2)
    said = np.full((1, 1), 0.2, np.float32)
    assert recalibration.correct(said)[0, 0] == pytest.approx(0.2)
    for came in random.random(3000) < 0.5:
        recalibration.learn(np.array([0]), said, np.full((1, 1), came, np.float32))
    assert recalibration.correct(said)[0, 0] == pytest.approx(0.5, abs=0.08)


def forecast_of(last: float, probability: float, *, window: float = 600.0) -> MaximumForecast:
    """One GPU more with a probability, and hardly ever two."""
    return MaximumForecast(
        made_at_seconds=60.0,
        last_value=last,
        windows_seconds=(window,),
        levels=(0.5, 0.9),
        quantiles=((last, last + 1),),
        reach_values=(last + 1, last + 2),
        reach_probabilities=((probability, 1e-6),),
    )


def test_independent_demands_add_up_by_their_probabilities() -> None:
    total = sum_of([forecast_of(4.0, 0.5), forecast_of(2.0, 0.5)])
    assert total.last_value == 6.0
    assert total.probability_of_reaching(7.0, 0) == pytest.approx(0.75, abs=1e-4)
    assert total.probability_of_reaching(8.0, 0) == pytest.approx(0.25, abs=1e-4)
    assert total.probability_of_reaching(9.0, 0) < 0.001
    assert total.quantiles == ((7.0, 8.0),)


def test_parts_with_other_windows_make_no_sum() -> None:
    with pytest.raises(ValueError, match="same windows"):
        sum_of([forecast_of(4.0, 0.5), forecast_of(2.0, 0.5, window=60.0)])
    with pytest.raises(ValueError, match="one at least"):
        sum_of([])
