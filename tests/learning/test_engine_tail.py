"""The share of late requests by load, and the utilization that keeps an objective."""

import pytest

from scaler.learning.engine_tail import (
    LOADS,
    UTILIZATION_MAX,
    UTILIZATION_MIN,
    UTILIZATION_PRIOR,
    TailCurve,
)


@pytest.mark.parametrize("attainment", [0.9, 0.99, 0.999])
def test_without_evidence_it_is_the_usual_share(attainment: float) -> None:
    assert TailCurve().utilization(attainment) == pytest.approx(UTILIZATION_PRIOR)


def test_the_curve_never_falls_with_the_load() -> None:
    curve = TailCurve()
    curve.take(0.7, 0.5, minutes=100)
    curve.take(0.9, 0.0, minutes=100)

    shares = curve.shares(0.99)

    assert shares == sorted(shares)


def test_hours_in_time_at_a_high_load_raise_it_to_that_load() -> None:
    curve = TailCurve()
    curve.take(0.9, 0.0, minutes=600)
    assert 0.9 <= curve.utilization(0.99) <= UTILIZATION_MAX


def test_it_goes_at_most_a_tenth_beyond_what_was_shown() -> None:
    curve = TailCurve()
    curve.take(0.8, 0.0, minutes=600)
    assert curve.utilization(0.99) == pytest.approx(0.9)
    curve = TailCurve()
    curve.take(0.7, 0.0, minutes=600)
    assert curve.utilization(0.99) == pytest.approx(UTILIZATION_PRIOR)


def test_late_requests_at_a_load_hold_it_below_that_load() -> None:
    curve = TailCurve()
    curve.take(0.7, 0.0, minutes=1000)
    curve.take(0.8, 0.05, minutes=1000)

    assert 0.7 < curve.utilization(0.99) < 0.8


def test_requests_that_are_late_at_any_load_do_not_grow_the_fleet() -> None:
    curve = TailCurve()
    for load in LOADS[:12]:
        curve.take(load, 0.05, minutes=1000)

    assert curve.utilization(0.99) > 0.8


def test_it_never_falls_below_what_replicas_can_help() -> None:
    curve = TailCurve()
    for load in (0.65, 0.7, 0.75, 0.8):
        curve.take(load, 1.0, minutes=1000)
    assert curve.utilization(0.99) == pytest.approx(UTILIZATION_MIN, abs=0.02)
