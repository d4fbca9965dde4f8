"""Numbers at half the space: the range of float32, the precision of three digits."""

import numpy as np
import pytest

from scaler.forecast.halves import halved, whole


@pytest.mark.parametrize("number", [0.0, 1.0, -2.5, 2.0**-100, 2.0**100, np.inf, -np.inf])
def test_numbers_of_eight_significant_bits_come_back_exactly(number):
    assert whole(halved([number])).tolist() == [number]


def test_unknown_stays_unknown():
    assert np.isnan(whole(halved([np.nan]))).all()


def test_the_nearest_one_is_kept_within_a_256th():
    numbers = np.random.default_rng(3).lognormal(0, 20, 10_000) * [[1], [-1]]
    back = whole(halved(numbers)).astype(float)
    # Eight bits after the leading one would be 1/512; the leading one is among the eight.
    assert (np.abs(back / numbers - 1) <= 1 / 256).all()


def test_order_is_kept():
    numbers = np.sort(np.random.default_rng(4).normal(size=1000)).astype(np.float32)
    assert (np.diff(whole(halved(numbers))) >= 0).all()
