"""Traffic that starts by the clock is foreseen at its minutes, and not at the others."""

import numpy as np
import pytest

from scaler.forecast.experts.port import Task
from scaler.forecast.forecaster import Forecaster
from scaler.forecast.levels import LEVELS
from scaler.forecast.past import RECENT_STEPS, Past
from scaler.forecast.same_minute import SameMinute, samples_of

MINUTE = 60.0
FIVE = np.array([5])
Q95, Q99 = 6, 7
QUIET, BURST = 10.0, 30.0
OTHERWISE = np.linspace(QUIET, BURST, len(LEVELS))[None]


def past_of(values, step_seconds=MINUTE):
    past = Past(step_seconds=step_seconds, start=None, tz=None)
    for value in values:
        past.advance(value)
    return past


def bursts_at(minute, *, hours, length=6, gap=1):
    """Minutes of demand: a burst in each `gap`-th hour, and each hour is quiet besides."""
    values = np.full(hours * 60, QUIET)
    for hour in range(0, hours, gap):
        values[hour * 60 + minute : hour * 60 + minute + length] = BURST
    return values


def five_minutes_ahead_at(minute, values):
    """What the last hour's minute says of five minutes later."""
    until = len(values) - 60 + minute
    task = Task(step_seconds=MINUTE, horizons_steps=FIVE)
    return SameMinute(task).quantiles(past_of(values[: until + 1]), OTHERWISE)[0]


def test_a_burst_in_every_fourth_hour_is_its_95th_percentile_five_minutes_before_its_minute():
    asked = five_minutes_ahead_at(28, bursts_at(32, hours=26, gap=4))
    # A quarter of the samples rises by 20; the .5 is not moved by it.
    assert asked[Q95] == pytest.approx(BURST, abs=1.5)
    assert asked[2] == pytest.approx(QUIET, abs=1.0)


def test_at_minutes_at_which_nothing_ever_began_the_95th_percentile_stays_at_the_level():
    asked = five_minutes_ahead_at(12, bursts_at(32, hours=26, gap=4))
    # The samples are trusted for all but about 4 in 100, and the rest is what was said otherwise.
    assert asked[Q95] - QUIET < 0.1 * (OTHERWISE[0, Q95] - QUIET)
    assert asked[Q99] - QUIET < 0.1 * (OTHERWISE[0, Q99] - QUIET)


def test_samples_that_were_unlike_say_little():
    # In the evening demand is ten times the morning's and falls by half at each quarter past.
    morning = np.full(12 * 60, QUIET)
    evening = np.full(12 * 60, 10 * QUIET)
    for hour in range(12):
        evening[hour * 60 + 15 : hour * 60 + 60] = 5 * QUIET
    values = np.concatenate((evening, morning))
    asked = five_minutes_ahead_at(12, values)
    assert asked[:Q95] == pytest.approx(QUIET + (OTHERWISE[0, :Q95] - QUIET) * 0.1, abs=1.0)


def test_without_a_past_the_other_quantiles_stand():
    task = Task(step_seconds=MINUTE, horizons_steps=np.array([1, 5]))
    otherwise = np.vstack((OTHERWISE, OTHERWISE))
    for values in ([QUIET], [QUIET] * 29):
        assert np.array_equal(SameMinute(task).quantiles(past_of(values), otherwise), otherwise)


def test_a_gap_is_no_evidence_that_nothing_happens():
    task = Task(step_seconds=MINUTE, horizons_steps=FIVE)
    past = past_of(bursts_at(32, hours=26, gap=4))
    past.skip(RECENT_STEPS)
    past.advance(QUIET)
    assert np.array_equal(SameMinute(task).quantiles(past, OTHERWISE), OTHERWISE)


def test_after_a_gap_the_samples_before_it_count_as_they_did():
    values = bursts_at(32, hours=24, gap=4)
    task = Task(step_seconds=MINUTE, horizons_steps=FIVE)
    kept = [*values[: 14 * 60], *[np.nan] * (8 * 60), *values[22 * 60 : 23 * 60 + 29]]
    before, after = past_of(values[: 15 * 60 + 29]), past_of(kept)
    asked = [SameMinute(task).quantiles(past, OTHERWISE)[0, Q95] for past in (before, after)]
    assert asked[1] == pytest.approx(asked[0], abs=1.0)


@pytest.mark.parametrize("step_seconds", [15.0, 60.0, 600.0])
def test_a_gap_is_found_wherever_it_lies_in_the_ring_of_bins(step_seconds):
    past = past_of([QUIET], step_seconds)
    bin_steps = past.bin_steps
    gaps = [3 * bin_steps, len(past.bins) * bin_steps - 1, (len(past.bins) + 20) * bin_steps]
    for step in range(1, (len(past.bins) + 40) * bin_steps):
        gap = any(first <= step < first + 2 * bin_steps for first in gaps)
        past.advance(np.nan if gap else QUIET)
        if step % 97 or step < 300:
            continue
        lags = np.arange(300)
        assert past.has_gaps(299) == (not past.was_measured(lags).all())


@pytest.mark.parametrize("step_seconds", [1800.0, 3600.0])
def test_steps_of_half_an_hour_have_no_same_minute(step_seconds):
    task = Task(step_seconds=step_seconds, horizons_steps=FIVE)
    past = past_of([QUIET] * 100, step_seconds)
    assert np.array_equal(SameMinute(task).quantiles(past, OTHERWISE), OTHERWISE)


def test_the_noise_of_one_minute_hardly_moves_the_quantiles():
    random = np.random.default_rng(1)
    values = 100.0 + 5.0 * random.standard_normal(26 * 60)
    task = Task(step_seconds=MINUTE, horizons_steps=FIVE)
    low, high = (
        SameMinute(task).quantiles(past_of([*values, last]), np.tile(100.0, (1, len(LEVELS))))[0]
        for last in (90.0, 110.0)
    )
    # The newest of eight steps has a quarter of the weight: a change of 20 moves them by 5.
    assert high[2] - low[2] == pytest.approx(5.0, abs=2.0)
    assert high[Q95] - low[Q95] < 10.0


def test_where_steps_follow_each_other_closely_changes_are_counted_from_the_newest():
    values = 1000.0 + 50.0 * np.sin(np.arange(26 * 60) / 7.0)  # no noise
    task = Task(step_seconds=MINUTE, horizons_steps=FIVE)
    at, above = (
        SameMinute(task).quantiles(past_of([*values, last]), OTHERWISE)[0]
        for last in (values[-1], values[-1] + 4.0)
    )
    # Nearly all of it: a few samples in a hundred are not trusted.
    assert above[2] - at[2] == pytest.approx(4.0, rel=0.1)


def test_to_foresee_bursts_that_are_rarer_than_one_minute_in_ten_is_a_skill():
    # At one half hour of five demand is five times as high for eight minutes: 5 % of all minutes.
    random = np.random.default_rng(2)
    forecaster = Forecaster(signal="prompt_tokens", step_seconds=MINUTE, horizons_seconds=[300.0])
    burst = 0
    for minute in range(24 * 60):
        if minute % 30 == 1 and random.random() < 0.2:
            burst = 8
        usual = 100.0 * (1 + 0.03 * random.standard_normal())
        forecaster.update(minute * MINUTE, usual * (5 if burst > 0 else 1))
        burst -= 1
    [skill] = forecaster.forecast().skill
    # By the .9 quantile alone it is -9 %.
    assert skill.day > 0.05


def plain_level(values, at, weight):
    """Of the steps until `at`, each with `weight` of the one after it."""
    weights = [weight**back for back in range(8)]
    return sum(w * values[at - back] for back, w in enumerate(weights)) / sum(weights)


@pytest.mark.parametrize("step_seconds", [5.0, 15.0, 60.0, 300.0, 600.0])
@pytest.mark.parametrize("steps", [40, 500, 3 * RECENT_STEPS + 7])
def test_quantiles_are_those_of_a_plain_walk_over_the_samples(step_seconds, steps):
    random = np.random.default_rng(steps)
    values = 100.0 + random.gamma(4.0, 5.0, steps)  # no two samples are both 0
    ahead = np.array([1, 5, 30])
    task = Task(step_seconds=step_seconds, horizons_steps=ahead)
    past = past_of(values, step_seconds)
    otherwise = np.tile(OTHERWISE, (3, 1))
    found = SameMinute(task).quantiles(past, otherwise)
    samples = samples_of(step_seconds)
    mean = past.ewma[10]
    reached = min(steps, RECENT_STEPS) - 8
    errors = dict.fromkeys((0.0, 0.4, 0.8), 0.0)
    for weight in errors:
        for lag in (int(lag) for lag in samples.lags if 5 <= lag <= reached):
            then = plain_level(values, steps - 1 - lag, weight)
            errors[weight] += abs(values[steps - 1 - lag + 5] - then)
    best = min(errors, key=errors.__getitem__)
    now = plain_level(values, steps - 1, best)
    for row, horizon in zip(found, ahead, strict=True):
        pairs = []
        near = others = 0.0
        for lag, weight, other in zip(samples.lags, samples.weight, samples.other, strict=True):
            if lag < horizon or lag > reached:
                continue
            then = plain_level(values, steps - 1 - lag, best)
            after = values[steps - 1 - lag + horizon]
            small, large = sorted((then + 0.05 * mean, now + 0.05 * mean))
            alike = (small / large) ** 2
            near += alike * weight
            others += alike * other
            pairs.append((max(now + after - then, 0.0), alike * weight, alike * other))
        total, passed, heights, places = near + 2.0 * (others > 0), 0.0, [], []
        for height, weight, other in sorted(pairs):
            share = weight + (other * 2.0 / others if others else 0.0)
            heights.append(height)
            places.append((passed + share / 2) / total)
            passed += share
        plain = np.interp(LEVELS, places, heights) if pairs else otherwise[0]
        trust = near / (near + 4.0)
        assert row == pytest.approx(otherwise[0] + trust * (plain - otherwise[0]), rel=1e-4)


def test_all_series_of_a_step_share_the_places_of_their_samples():
    assert samples_of(MINUTE) is samples_of(MINUTE)


def test_a_forecaster_foresees_bursts_of_the_clock_after_a_day():
    values = bursts_at(32, hours=48, gap=3)
    forecaster = Forecaster(signal="x", step_seconds=MINUTE, horizons_seconds=(300.0,))
    before, elsewhere = [], []
    for step, value in enumerate(values):
        forecaster.update(step * MINUTE, value)
        if step < 36 * 60 or value == BURST:
            continue
        q95 = forecaster.quantiles()[0, 4]
        if step % 60 in (27, 28, 29):
            before.append(q95)
        elif 8 <= step % 60 < 25:  # the other half hour's minute has half the weight
            elsewhere.append(q95)
    assert min(before) > QUIET + 0.7 * (BURST - QUIET)
    assert max(elsewhere) < QUIET + 0.3 * (BURST - QUIET)
