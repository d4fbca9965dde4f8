import math

import pytest

from scaler.signals import LatencyCounts


def counts(*numbers: float, total: float | None = None) -> LatencyCounts:
    return LatencyCounts(bounds_seconds=(0.1, 0.2, math.inf), counts=numbers, total_seconds=total)


def test_the_share_above_a_limit_is_linear_inside_its_bucket() -> None:
    # 10 up to 0.1 s, 8 from there to 0.2 s, 2 above: half of the 8 lie above 0.15 s.
    assert counts(10, 8, 2).share_above(0.15) == pytest.approx((4 + 2) / 20)


def test_what_lies_above_every_finite_bound_is_above_any_limit() -> None:
    assert counts(10, 8, 2).share_above(60) == 2 / 20


def test_a_histogram_that_counted_nothing_has_no_share_and_no_mean() -> None:
    nothing = counts(0, 0, 0, total=0.0)
    assert nothing.share_above(0.1) is None
    assert nothing.mean_seconds is None


def test_a_bucket_of_any_width_leaves_a_share() -> None:
    wide = LatencyCounts(bounds_seconds=(0.1, 1e300, math.inf), counts=(0, 1e15, 0))
    assert wide.share_above(2.0) == 1.0


def test_the_infinite_bucket_alone_tells_no_share() -> None:
    one = LatencyCounts(bounds_seconds=(math.inf,), counts=(10,), total_seconds=0.5)
    assert one.share_above(0.1) is None
    assert one.mean_seconds == 0.05


def test_the_mean_needs_the_sum() -> None:
    assert counts(1, 1, 0).mean_seconds is None
    assert counts(1, 1, 0, total=0.3).mean_seconds == 0.15
