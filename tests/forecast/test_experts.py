"""What single experts know, worked out by hand."""

from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from scaler.forecast.experts.exogenous import Exogenous
from scaler.forecast.experts.holt import Holt
from scaler.forecast.experts.leading import Leading
from scaler.forecast.experts.port import Task
from scaler.forecast.experts.profile import Profile
from scaler.forecast.forecaster import Forecaster
from scaler.forecast.past import Past

TASK = Task(step_seconds=300.0, horizons_steps=np.array([1, 3], np.intp))
HOUR_STEPS = 12
DAY_STEPS = 288
BERLIN = ZoneInfo("Europe/Berlin")


def past(start: datetime | None = None) -> Past:
    zone = start.tzinfo.key if start and isinstance(start.tzinfo, ZoneInfo) else None
    return Past(step_seconds=300.0, start=start, tz=zone)


def test_a_constant_has_no_trend():
    series, holt = past(), Holt(TASK)
    for _ in range(50):
        series.advance(30.0)
        holt.advance(series)
    assert holt.points(series) == pytest.approx(np.full((2, 6), 30.0))


def test_a_trend_never_leads_above_twice_the_peak():
    series, holt = past(), Holt(Task(step_seconds=300.0, horizons_steps=np.array([500], np.intp)))
    for value in range(40):
        series.advance(float(value))
        holt.advance(series)
    assert holt.points(series).max() <= 2 * 39


def test_without_a_day_of_history_the_profile_is_silent():
    series = past()
    for _ in range(DAY_STEPS - 10):
        series.advance(10.0)
    assert np.isnan(Profile(TASK).points(series)).all()


def test_the_profile_expects_what_happened_yesterday_from_todays_level():
    # Yesterday 100, at its hour 12 up to 300 for good; today everything is half of that.
    series = past()
    for step in range(DAY_STEPS + 12 * HOUR_STEPS - 2):
        day, within = divmod(step, DAY_STEPS)
        series.advance((100.0 if within < 12 * HOUR_STEPS else 300.0) * (1.0 if day == 0 else 0.5))
    points = Profile(Task(step_seconds=300.0, horizons_steps=np.array([6], np.intp))).points(series)
    # The ratio is 3 less the little that is added to both sides of it; the level now is 50.
    assert 130 < points[0, 0] <= 150


@pytest.mark.parametrize(
    ("noon", "hours"),
    [
        pytest.param(datetime(2024, 3, 31, 12, tzinfo=BERLIN), 23, id="clocks-went-forward"),
        pytest.param(datetime(2024, 10, 27, 12, tzinfo=BERLIN), 25, id="clocks-went-back"),
        pytest.param(datetime(2024, 6, 1, 12, tzinfo=BERLIN), 24, id="an-ordinary-day"),
    ],
)
def test_yesterday_at_this_time_follows_the_workloads_clock(noon, hours):
    series = past(noon)
    series.advance(1.0)
    assert series.day_lags_seconds[0] == hours * 3600


def test_a_leading_signal_at_twice_its_level_announces_twice_the_demand():
    series, leading = past(), Leading(TASK)
    for step in range(2000):
        series.leading = 10.0 if step < 1999 else 20.0
        series.advance(500.0)
        leading.advance(series)
    # Half of a half-step mean is left of the old level after a jump: α = 1 − 2^(−1 / 0.5) = 0.75,
    # so the leading signal now is 17.5, and its long levels have hardly moved.
    assert leading.points(series)[0, 2] == pytest.approx(500 * 1.75, rel=0.02)


def test_a_signal_that_runs_ahead_earns_its_weight_and_a_useless_one_loses_none():
    noise = np.random.default_rng(4)
    # Demand that nobody could know from its own past, seen a step earlier by its leader.
    demand = noise.choice([50.0, 150.0], 900)
    errors = {}
    for name in ("ahead", "noise", "none"):
        target = Forecaster(signal="tokens", step_seconds=300.0, horizons_seconds=(300.0,))
        missed = []
        for step in range(899):
            leading = {"ahead": demand[step + 1], "noise": noise.uniform(1, 9), "none": None}[name]
            target.update(step * 300.0, demand[step], leading=leading)
            median = target.forecast().at(horizon_seconds=300, level=0.5)
            missed.append(abs(median - demand[step + 1]))
        errors[name] = np.mean(missed[450:])
    assert errors["ahead"] < 0.7 * errors["none"]
    assert errors["noise"] < 1.1 * errors["none"]


def test_nothing_leads_where_no_leading_signal_is_given():
    series, leading = past(), Leading(TASK)
    series.advance(500.0)
    leading.advance(series)
    assert np.isnan(leading.points(series)).all()


def test_a_foretelling_for_other_horizons_is_not_heard():
    series = past()
    series.exogenous = np.array([1.0, 2.0, 3.0])
    assert np.isnan(Exogenous(TASK).points(series)).all()


def test_a_foretelling_that_is_always_right_takes_over_and_a_wrong_one_does_not():
    def demand(step: int) -> float:
        # Unforeseeable from its own past, and known to whoever announced it.
        return float(np.random.default_rng(step).integers(50, 150))

    means = {}
    for told, offset in (("right", 0.0), ("wrong", 400.0), ("nothing", None)):
        target = Forecaster(signal="requests", step_seconds=300.0, horizons_seconds=(300.0,))
        errors = []
        for step in range(400):
            exogenous = None if offset is None else [demand(step + 1) + offset]
            target.update(step * 300.0, demand(step), exogenous=exogenous)
            median = target.forecast().at(horizon_seconds=300, level=0.5)
            errors.append(abs(median - demand(step + 1)))
        means[told] = np.mean(errors[200:])
    assert means["right"] < 0.6 * means["nothing"]
    assert means["wrong"] < 1.1 * means["nothing"]
