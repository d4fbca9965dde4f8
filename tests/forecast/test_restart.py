"""A restart is not noticed: a restored forecaster goes on with byte-equal quantiles."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaler.forecast.forecaster import Forecaster

STEP = 60.0


def forecaster(horizons: tuple[float, ...] = (60.0, 900.0, 1800.0)) -> Forecaster:
    return Forecaster(
        signal="requests", step_seconds=STEP, horizons_seconds=horizons, start=0.0, tz="Asia/Tokyo"
    )


@pytest.mark.parametrize("steps", [0, 1, 7, 700, 1700])
def test_restored_and_never_stopped_say_the_same(steps):
    values = np.random.default_rng(5).poisson(40, steps + 100).astype(float)
    values[steps // 2 : steps // 2 + 9] = np.nan
    running = forecaster()
    for i in range(steps):
        running.update(i * STEP, values[i])
    restored = forecaster()
    restored.restore(running.snapshot())
    assert restored.quantiles().tobytes() == running.quantiles().tobytes()
    for i in range(steps, steps + 100):
        running.update(i * STEP, values[i])
        restored.update(i * STEP, values[i])
    assert restored.quantiles().tobytes() == running.quantiles().tobytes()
    assert restored.forecast() == running.forecast()


readings = st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True), st.just(0.0))


@settings(max_examples=15, deadline=None)
@given(
    before=st.lists(st.tuples(st.floats(-1e5, 1e5), readings), max_size=30),
    after=st.lists(st.tuples(st.floats(-1e5, 1e5), readings), max_size=10),
)
def test_a_restart_between_any_samples_is_not_noticed(before, after):
    running, restored = forecaster(), forecaster()
    for t_seconds, value in before:
        running.update(t_seconds, value)
    restored.restore(running.snapshot())
    for t_seconds, value in after:
        running.update(t_seconds, value)
        restored.update(t_seconds, value)
    assert restored.quantiles().tobytes() == running.quantiles().tobytes()


def test_times_in_whole_numbers_make_the_same_snapshot():
    running, restored = forecaster(), forecaster()
    for i in range(20):
        running.update(i * 60, i)
    restored.restore(running.snapshot())
    assert restored.forecast() == running.forecast()


def test_a_snapshot_of_other_horizons_is_refused_and_changes_nothing():
    other, mine = forecaster((60.0, 900.0)), forecaster()
    for i in range(50):
        other.update(i * STEP, 10.0)
        mine.update(i * STEP, 20.0)
    before = mine.quantiles().tobytes()
    with pytest.raises(ValueError, match="another forecaster"):
        mine.restore(other.snapshot())
    assert mine.quantiles().tobytes() == before


@pytest.mark.parametrize("snapshot", [b"", b"not a snapshot", b"\x80\x04K\x01."])
def test_bytes_that_are_no_snapshot_are_refused(snapshot):
    with pytest.raises(ValueError, match="snapshot"):
        forecaster().restore(snapshot)
