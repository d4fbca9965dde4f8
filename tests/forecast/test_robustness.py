"""Whatever a collector delivers, quantiles stay finite, in order and not negative."""

import math
import tracemalloc
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaler.forecast.forecaster import Forecaster
from scaler.forecast.past import Past
from tests.cpu_time import cpu_seconds

HORIZONS = (60.0, 300.0, 900.0)
STEP = 60.0


def forecaster(**changes: object) -> Forecaster:
    arguments = {"signal": "requests", "step_seconds": STEP, "horizons_seconds": HORIZONS}
    return Forecaster(**(arguments | changes))


def feed(target: Forecaster, values: list[float | None], first_step: int = 0) -> Forecaster:
    for i, value in enumerate(values, start=first_step):
        target.update(i * STEP, value)
    return target


def assert_sound(target: Forecaster) -> None:
    rows = target.quantiles()
    assert np.isfinite(rows).all()
    assert (rows >= 0).all()
    assert (np.diff(rows, axis=1) >= 0).all()


readings = st.one_of(
    st.none(),
    st.just(0.0),
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(min_value=0, max_value=1e12),
)


@settings(max_examples=40, deadline=None)
@given(
    samples=st.lists(
        st.tuples(st.floats(min_value=-1e6, max_value=1e6), readings), min_size=1, max_size=60
    )
)
def test_any_times_and_any_values_leave_sound_quantiles(samples):
    target = forecaster()
    for t_seconds, value in samples:
        target.update(t_seconds, value)
        assert_sound(target)


@pytest.mark.parametrize("t_seconds", [math.nan, math.inf, -math.inf])
def test_a_sample_without_a_time_is_dropped(t_seconds):
    target = feed(forecaster(), [5.0] * 50)
    before = target.quantiles().tobytes()
    target.update(t_seconds, 900.0)
    assert target.quantiles().tobytes() == before


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param(lambda _: 0.0, id="zero"),
        pytest.param(lambda _: 42.0, id="constant"),
        pytest.param(lambda i: 500.0 if i % 40 < 20 else 0.0, id="on-off"),
        pytest.param(lambda i: 10.0 if i < 200 else 1000.0, id="jump-of-100-times"),
        pytest.param(lambda i: 1000.0 if i < 200 else 200.0, id="step-down"),
        pytest.param(lambda i: 1e12 + i, id="huge"),
        pytest.param(lambda i: 1e-12 * (1 + i % 3), id="tiny"),
        pytest.param(lambda i: float(i % 97 == 0), id="intermittent"),
    ],
)
def test_extreme_series_leave_sound_quantiles(shape):
    target = forecaster()
    for i in range(400):
        target.update(i * STEP, shape(i))
        if i % 7 == 0:
            assert_sound(target)


def test_a_constant_series_is_forecast_as_itself():
    target = feed(forecaster(), [42.0] * 400)
    assert target.quantiles() == pytest.approx(np.full((3, 7), 42.0), rel=0.02)


def test_a_zero_series_stays_at_zero():
    target = feed(forecaster(), [0.0] * 400)
    assert target.quantiles().max() < 1e-6


def test_a_jump_of_100_times_is_followed_within_minutes():
    target = feed(forecaster(), [10.0] * 600 + [1000.0] * 15)
    assert target.forecast().at(horizon_seconds=60, level=0.5) == pytest.approx(1000, rel=0.1)


def test_a_late_sample_changes_nothing():
    target = feed(forecaster(), [7.0 + i % 3 for i in range(100)])
    before = target.quantiles().tobytes()
    target.update(50 * STEP, 1e6)
    target.update(99 * STEP, 1e6)
    assert target.quantiles().tobytes() == before


def test_a_clock_set_back_for_good_is_accepted_after_three_samples():
    target = feed(forecaster(), [10.0] * 200)
    feed(target, [30.0] * 60, first_step=20)
    assert target.forecast().last_value == 30.0
    # Two samples taken for stragglers, then 58 steps that follow the 200.
    assert target.forecast().data_age_seconds == 0.0


def test_left_out_steps_are_the_same_as_steps_said_to_be_missing():
    values: list[float | None] = [20.0 + i % 5 for i in range(200)]
    predicted = feed(forecaster(), [*values, *[None] * 12, 30.0])
    skipped = feed(forecaster(), values)
    skipped.update(212 * STEP, 30.0)
    assert predicted.quantiles().tobytes() == skipped.quantiles().tobytes()


def test_a_gap_longer_than_any_forecast_leaves_the_steps_before_it():
    past = Past(step_seconds=STEP, start=0.0, tz=None)
    for value in range(100):
        past.advance(float(value))

    past.skip(40)

    # The newest value is repeated for 40 steps; before them stand 99, 98 and so on.
    assert past.lagged(np.array([0, 39, 40, 41, 139])).tolist() == [99, 99, 99, 98, 0]


@pytest.mark.parametrize("after", [9, 99, 2499], ids=["all", "old", "newest"])
def test_a_closed_gap_leaves_the_series_as_if_it_had_never_been(after):
    def filled(*, gap: int) -> Past:
        past = Past(step_seconds=STEP, start=0.0, tz=None)
        for step in range(2500):
            past.advance(float(step % 1440))
            if step == after:
                past.skip(gap)
        return past

    there = filled(gap=60)
    there.close_gap(after, 60)
    never = filled(gap=0)

    lags = np.arange(1440)
    assert (there.step, there.newest_measured_step) == (never.step, never.newest_measured_step)
    assert there.lagged(lags).tolist() == never.lagged(lags).tolist()
    ago = np.arange(600.0, 86_400.0, 300.0)
    assert there.binned(ago).tolist() == never.binned(ago).tolist()


def test_a_gap_of_a_week_costs_little_and_leaves_the_level():
    target = feed(forecaster(), [20.0] * 200)
    target.update(200 * STEP + 7 * 86_400, 20.0)
    assert_sound(target)
    assert target.forecast().at(horizon_seconds=300, level=0.5) == pytest.approx(20, rel=0.1)


def test_a_clock_set_to_the_year_9999_costs_no_more_than_a_week():
    year_9999 = 2.5e11

    def set_forward(target: Forecaster) -> Forecaster:
        for step in range(10):
            target.update(year_9999 + step * STEP, 100.0)
        return target

    target = feed(forecaster(start=0.0), [100.0] * 50)
    tracemalloc.start()
    set_forward(target)
    used = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert used < 10 * 2**20
    assert_sound(target)
    assert cpu_seconds(lambda: set_forward(feed(forecaster(start=0.0), [100.0] * 50))) < 2.0


def test_data_age_counts_from_the_newest_measured_step():
    target = feed(forecaster(), [20.0] * 100 + [None] * 5)
    assert target.forecast().data_age_seconds == 300.0


def test_before_any_value_the_age_is_infinite_and_the_forecast_zero():
    target = feed(forecaster(), [None, None])
    assert math.isinf(target.forecast().data_age_seconds)
    assert target.quantiles().max() == 0.0


def test_a_negative_reading_is_a_counter_reset_and_no_value():
    target = feed(forecaster(), [20.0] * 100)
    target.update(100 * STEP, -15.0)
    assert target.forecast().last_value == 20.0
    assert target.forecast().data_age_seconds == 60.0


def test_a_relabelled_series_goes_on_without_a_gap():
    values = np.random.default_rng(1).uniform(1.0, 9.0, 80).tolist()
    relabelled, undisturbed = feed(forecaster(), values[:50]), feed(forecaster(), values)

    relabelled.relabel(-30 * STEP)
    feed(relabelled, values[50:], first_step=20)

    assert relabelled.quantiles().tobytes() == undisturbed.quantiles().tobytes()
    assert relabelled.forecast().made_at_seconds == 49 * STEP


def test_days_are_those_of_the_calendar_wherever_time_0_of_the_samples_is():
    # Berlin's clocks go forward on 29 March 2026: yesterday's eight o'clock is then 23 hours ago.
    begin = datetime(2026, 3, 26, tzinfo=UTC)
    from_begin = forecaster(
        step_seconds=1800.0, horizons_seconds=(1800.0,), start=begin, tz="Europe/Berlin"
    )
    from_1970 = forecaster(
        step_seconds=1800.0, horizons_seconds=(1800.0,), start=0.0, tz="Europe/Berlin"
    )
    for step in range(4 * 48):
        at, value = 1800.0 * step, 500.0 + 400.0 * math.sin(2 * math.pi * step / 48)
        from_begin.update(at, value)
        from_1970.update(begin.timestamp() + at, value)

    assert from_1970.quantiles().tobytes() == from_begin.quantiles().tobytes()
