"""Forecasters that share the one that computes: none differs from a forecaster of its own."""

import gc
import tracemalloc
from collections.abc import Iterator
from copy import deepcopy

import numpy as np
import pytest

from scaler.events import parse
from scaler.forecast.announced import Calendar
from scaler.forecast.forecaster import Forecaster
from scaler.forecast.packed import PackedForecaster, SharedForecasters
from scaler.signals import READING_MAX

STEP = 60.0
EVENTS = "*/30 * * * * for 5m x3"


def make() -> Forecaster:
    return Forecaster(
        signal="requests",
        step_seconds=STEP,
        horizons_seconds=(60.0, 900.0, 1800.0),
        start=0.0,
        tz="Asia/Tokyo",
        calendar=Calendar(parse(EVENTS), "Asia/Tokyo"),
    )


def samples(seed: int, steps: int) -> Iterator[tuple[float, float | None, float | None]]:
    """Counts with gaps, a lost hour and a leading indicator now and then."""
    numbers = np.random.default_rng(seed)
    at = 0.0
    for _ in range(steps):
        at += STEP if numbers.random() > 0.01 else 60 * STEP
        value = None if numbers.random() < 0.05 else float(numbers.poisson(40))
        leading = float(numbers.poisson(30)) if numbers.random() < 0.5 else None
        yield at, value, leading


def test_forecasts_are_those_of_a_forecaster_of_its_own():
    forecasters = SharedForecasters()
    packed = [forecasters.packed("kind", make) for _ in range(3)]
    own = [make() for _ in range(3)]
    series = [samples(seed, 150) for seed in range(3)]
    for step in range(150):
        for mine, yours, its_samples in zip(own, packed, series, strict=True):
            at, value, leading = next(its_samples)
            mine.update(at, value, leading=leading)
            yours.update(at, value, leading=leading)
        if step % 50 == 0:
            for mine, yours in zip(own, packed, strict=True):
                assert yours.forecast() == mine.forecast()
    for mine, yours in zip(own, packed, strict=True):
        assert yours.forecast() == mine.forecast()
        assert yours.snapshot() == mine.snapshot()


def test_a_snapshot_goes_to_the_one_that_restores_it_alone():
    forecasters = SharedForecasters()
    lived, new, other = (forecasters.packed("kind", make) for _ in range(3))
    for i in range(30):
        lived.update(i * STEP, 10.0 + i, leading=None)
        other.update(i * STEP, 500.0, leading=None)
    before = other.forecast()
    new.restore(lived.snapshot())
    new.relabel(-3600.0)
    assert other.forecast() == before
    assert new.forecast().quantiles == lived.forecast().quantiles
    assert new.forecast().made_at_seconds == lived.forecast().made_at_seconds - 3600.0


@pytest.mark.parametrize("in_use", [True, False])
def test_a_copy_goes_on_alone(in_use: bool) -> None:
    forecasters = SharedForecasters()
    one, other = (forecasters.packed("kind", make) for _ in range(2))
    for i in range(30):
        other.update(i * STEP, 500.0, leading=None)
        one.update(i * STEP, 10.0 + i, leading=None)
    before = one.forecast()
    if not in_use:
        other.forecast()

    copied = deepcopy(one)
    copied.update(30 * STEP, 99.0, leading=None)

    assert one.forecast() == before
    one.update(30 * STEP, 99.0, leading=None)
    assert one.forecast() == copied.forecast()


def test_a_snapshot_that_does_not_fit_changes_none():
    forecasters = SharedForecasters()
    one, other = (forecasters.packed("kind", make) for _ in range(2))
    one.update(0.0, 10.0, leading=None)
    other.update(0.0, 20.0, leading=None)
    before = one.forecast(), other.forecast()
    with pytest.raises(ValueError, match="no snapshot"):
        one.restore(b"not a snapshot")
    assert (one.forecast(), other.forecast()) == before


def test_a_fault_in_one_update_reaches_no_other_forecast():
    forecasters = SharedForecasters()
    faulty, healthy = (forecasters.packed("kind", make) for _ in range(2))
    own = make()
    for i in range(40):
        for one in (faulty, healthy):
            one.update(i * STEP, 10.0, leading=None)
        own.update(i * STEP, 10.0, leading=None)
    with pytest.raises(TypeError):
        faulty.update(40 * STEP, "much", leading=None)  # type: ignore[arg-type]
    healthy.update(40 * STEP, 12.0, leading=READING_MAX)
    own.update(40 * STEP, 12.0, leading=READING_MAX)
    assert healthy.forecast() == own.forecast()


class Breaking(Forecaster):
    """Its state cannot be packed after the value 666."""

    odd: float | str

    def update(self, t_seconds: float, value: float | None, **also: float | None) -> None:
        self.odd = "broken" if value == 666 else 0.0
        super().update(t_seconds, value, leading=also.get("leading"))


def breaking() -> Breaking:
    made = Breaking(signal="requests", step_seconds=STEP, horizons_seconds=(60.0, 900.0))
    made.odd = 0.0
    return made


def test_one_that_cannot_be_packed_begins_anew_and_the_others_go_on() -> None:
    forecasters = SharedForecasters()
    broken, healthy = (forecasters.packed("kind", breaking) for _ in range(2))
    healthy.update(0.0, 10.0, leading=None)
    before = healthy.forecast()
    broken.update(0.0, 666.0, leading=None)

    with pytest.raises(AssertionError):
        healthy.forecast()

    assert healthy.forecast() == before
    assert not broken.forecast().measured


def test_one_that_is_gone_leaves_the_others_alone():
    forecasters = SharedForecasters()
    gone, stays = (forecasters.packed("kind", make) for _ in range(2))
    own = make()
    stays.update(0.0, 10.0, leading=None)
    own.update(0.0, 10.0)
    gone.update(0.0, 99.0, leading=None)
    del gone
    stays.update(STEP, 11.0, leading=None)
    own.update(STEP, 11.0)
    assert stays.forecast() == own.forecast()


def test_many_take_hardly_more_than_their_numbers():
    forecasters = SharedForecasters()
    lived = forecasters.packed("kind", make)
    for i in range(60):
        lived.update(i * STEP, 10.0 + i % 7, leading=None)
    snapshot = lived.snapshot()
    restored(forecasters, snapshot)
    gc.collect()
    tracemalloc.start()
    try:
        many = [restored(forecasters, snapshot) for _ in range(40)]
        gc.collect()
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The snapshot holds the numbers and the names of their places.
    assert taken < len(many) * len(snapshot)


def restored(forecasters: SharedForecasters, snapshot: bytes) -> PackedForecaster:
    one = forecasters.packed("kind", make)
    one.restore(snapshot)
    return one
