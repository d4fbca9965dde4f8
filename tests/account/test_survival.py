"""Curves of durations that are known exactly, within bounds, or not to their end."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.account.survival import NOTHING, Curve, Duration, curve_of

PRIOR = Curve(seconds=(50.0, 100.0, 300.0), shares=(0.5, 0.25, 0.25))


def exact(seconds: float, weight: float = 1.0) -> Duration:
    return Duration(over=seconds, up_to=seconds, weight=weight)


def longer(seconds: float) -> Duration:
    return Duration(over=seconds, up_to=math.inf)


def between(over: float, up_to: float) -> Duration:
    return Duration(over=over, up_to=up_to)


def test_five_durations_two_of_them_unended_are_kaplan_and_meiers_table() -> None:
    # Of five at risk one ends at 10: 4/5 are left. Of three one ends at 30: 4/5 · 2/3 = 8/15.
    # The last one ends at 50.
    curve = curve_of([exact(10), longer(20), exact(30), longer(40), exact(50)])

    assert curve.seconds == (10, 30, 50)
    assert curve.shares == pytest.approx((3 / 15, 4 / 15, 8 / 15))
    assert curve.beyond == pytest.approx(0)
    assert [curve.quantile(level) for level in (0.2, 0.4, 0.5, 0.99)] == [10, 30, 50, 50]
    assert curve.mean(3600) == pytest.approx((30 + 120 + 400) / 15)


def test_one_that_outlasts_all_others_leaves_a_share_of_which_only_the_least_is_known() -> None:
    curve = curve_of([exact(10), exact(20), longer(30)])

    assert curve.beyond == pytest.approx(1 / 3)
    assert [curve.quantile(level) for level in (0.5, 0.7)] == [20, 30]
    assert curve.mean(90) == pytest.approx((10 + 20 + 90) / 3)


def test_one_that_is_longer_than_an_end_does_not_end_with_it() -> None:
    curve = curve_of([exact(10), longer(10), exact(20)])

    assert curve.shares == pytest.approx((1 / 3, 2 / 3))


@pytest.mark.parametrize(
    ("durations", "seconds", "shares"),
    [
        pytest.param(
            [exact(10), exact(20), between(0, 10)], (10, 20), (2 / 3, 1 / 3), id="one-end"
        ),
        pytest.param(
            # It is as likely at 20 as at 30.
            [exact(10), exact(20), exact(30), between(10, 30)],
            (10, 20, 30),
            (1 / 4, 3 / 8, 3 / 8),
            id="two-ends",
        ),
        pytest.param([exact(10), between(12, 17)], (10, 17), (1 / 2, 1 / 2), id="no-end"),
        pytest.param([between(0, 10), between(5, 15)], (10,), (1,), id="intervals-that-overlap"),
    ],
)
def test_a_duration_between_bounds_is_shared_by_the_ends_inside(
    durations: list[Duration], seconds: tuple[float, ...], shares: tuple[float, ...]
) -> None:
    curve = curve_of(durations)

    assert curve.seconds == seconds
    assert curve.shares == pytest.approx(shares)


def test_two_durations_are_drawn_to_a_prior_that_counts_like_four() -> None:
    curve = curve_of([exact(200), exact(400)], PRIOR, 4)

    assert curve.seconds == (50, 100, 200, 300, 400)
    assert curve.shares == pytest.approx((2 / 6, 1 / 6, 1 / 6, 1 / 6, 1 / 6))


def test_a_weight_counts_like_as_many_durations() -> None:
    assert curve_of([exact(10, weight=3), exact(20)]).shares == pytest.approx((3 / 4, 1 / 4))


def test_of_nothing_every_duration_is_unknown() -> None:
    assert curve_of([]) == NOTHING
    assert (NOTHING.beyond, NOTHING.mean(60)) == (1.0, 60)


def test_a_mean_is_not_moved_by_how_far_an_outlier_lies_beyond_its_limit() -> None:
    one_hour, one_day = (curve_of([exact(60), exact(far)]) for far in (3600, 86400))

    assert one_hour.mean(3600) == one_day.mean(3600) == 1830


SECONDS = st.integers(1, 400).map(float)
DURATIONS = st.lists(
    st.one_of(
        SECONDS.map(exact),
        SECONDS.map(longer),
        st.tuples(SECONDS, SECONDS).map(lambda pair: between(min(pair) - 1, max(pair))),
    ),
    max_size=12,
)
LEVELS = (0.1, 0.5, 0.9, 0.99)


@given(durations=DURATIONS, data=st.data())
def test_the_order_of_durations_changes_no_digit(
    durations: list[Duration], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(durations))

    assert curve_of(shuffled, PRIOR, 4) == curve_of(durations, PRIOR, 4)


@given(
    durations=st.lists(st.one_of(SECONDS.map(exact), SECONDS.map(longer)), max_size=12),
    unended=st.lists(SECONDS.map(longer), min_size=1, max_size=5),
)
def test_more_unended_ones_never_shorten_a_quantile(
    durations: list[Duration], unended: list[Duration]
) -> None:
    before = curve_of(durations, PRIOR, 4)
    after = curve_of([*durations, *unended], PRIOR, 4)

    assert all(after.quantile(level) >= before.quantile(level) for level in LEVELS)
    assert after.mean(3600) >= before.mean(3600) - 1e-9


@given(durations=DURATIONS)
def test_a_curve_shares_out_everything(durations: list[Duration]) -> None:
    curve = curve_of(durations, PRIOR, 4)

    assert math.fsum(curve.shares) + curve.beyond == pytest.approx(1)
    assert all(share >= 0 for share in curve.shares)
    quantiles = [curve.quantile(level) for level in LEVELS]
    assert quantiles == sorted(quantiles)
