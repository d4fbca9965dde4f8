"""bfloat16 has the range of float32 and a precision of two to three digits."""

import numpy as np
import pytest

from scaler.forecast.bfloat16 import from_bfloat16, to_bfloat16


@pytest.mark.parametrize("number", [0.0, 1.0, -2.5, 2.0**-100, 2.0**100, np.inf, -np.inf])
def test_numbers_of_eight_significant_bits_come_back_exactly(number):
    assert from_bfloat16(to_bfloat16([number])).tolist() == [number]


def test_unknown_stays_unknown():
    assert np.isnan(from_bfloat16(to_bfloat16([np.nan]))).all()


def test_the_nearest_one_is_kept_within_a_256th():
    numbers = np.random.default_rng(3).lognormal(0, 20, 10_000) * [[1], [-1]]
    back = from_bfloat16(to_bfloat16(numbers)).astype(float)
    # Eight bits after the leading one would be 1/512; the leading one is among the eight.
    assert (np.abs(back / numbers - 1) <= 1 / 256).all()


def test_order_is_kept():
    numbers = np.sort(np.random.default_rng(4).normal(size=1000)).astype(np.float32)
    assert (np.diff(from_bfloat16(to_bfloat16(numbers))) >= 0).all()
