"""The running maximum of a pool's demand is forecast causally, with honest probabilities."""

from itertools import pairwise

import numpy as np
import pytest

from scaler.forecast.maximum.forecaster import DEFAULT_LEVELS, RunningMaximumForecaster
from scaler.forecast.running_maximum import MaximumForecast
from scaler.forecast.trees import Trees, nothing

STEP = 120.0
DAY_STEPS = 720
WINDOWS_STEPS = (5, 10, 20, 40, 80)


def forecast_after(values: list[float | None]) -> MaximumForecast:
    forecaster = RunningMaximumForecaster()
    for i, value in enumerate(values):
        forecaster.update(i * STEP, value)
    forecast = forecaster.forecast()
    assert forecast is not None
    return forecast


def jumps(*, days: float, seed: int = 3) -> list[float]:
    """Four GPUs, and with 3 % probability a step three more for twenty steps."""
    random = np.random.default_rng(seed)
    values = np.full(int(days * DAY_STEPS), 4.0)
    for begin in np.flatnonzero(random.random(len(values)) < 0.03):
        values[begin : begin + 20] = 7.0
    return list(values.tolist())


def daily(days: int) -> list[float]:
    """Two GPUs, and ten from the twelfth to the fourteenth hour of each day."""
    hour = np.arange(days * DAY_STEPS) % DAY_STEPS / 30
    return list(np.where((hour >= 12) & (hour < 14), 10.0, 2.0).tolist())


def returning(days: int, *, every: int) -> list[float]:
    """Four GPUs, and nine more for five steps, which begin again after so many steps."""
    step = np.arange(days * DAY_STEPS) % every
    return list(np.where(step < 5, 13.0, 4.0).tolist())


def always(logit: float) -> Trees:
    """A prior that adds one number to every logit."""
    return Trees(
        feature=np.zeros((1, 1), np.uint8),
        threshold=np.zeros((1, 1), np.float32),
        leaf=np.full((1, 2, 1), logit, np.float32),
    )


def test_there_is_no_forecast_before_the_first_measured_value() -> None:
    forecaster = RunningMaximumForecaster()
    assert forecaster.forecast() is None
    forecaster.update(0.0, None)
    assert forecaster.forecast() is None
    forecaster.update(STEP, 4.0)
    assert forecaster.forecast() is not None


def test_what_returns_after_a_usual_time_is_foreseen_whatever_the_clock_says() -> None:
    # Every 67 steps are 134 minutes: a new time of day and minute of the hour each time. The prior
    # is away, so that it is the pool's own past that knows.
    forecaster = RunningMaximumForecaster(trees=nothing(levels=1))
    demand = returning(4, every=67)
    soon, late = list[float](), list[float]()
    for step, value in enumerate(demand):
        forecaster.update(step * STEP, value)
        forecast = forecaster.forecast()
        assert forecast is not None
        if step > 3 * DAY_STEPS and step % 67 in (25, 45, 64):  # the next begins at 67
            probability = forecast.probability_of_reaching(13.0, 0)  # within 5 steps
            (soon if step % 67 == 64 else late).append(probability)
    assert min(soon) > 2 * max(late)


def test_no_quantile_is_below_the_present_and_all_ascend_in_level_and_window() -> None:
    forecaster = RunningMaximumForecaster()
    random = np.random.default_rng(5)
    for i, value in enumerate(random.poisson(6, 600).tolist()):
        forecaster.update(i * STEP, value)
        forecast = forecaster.forecast()
        assert forecast is not None
        rows = forecast.quantiles
        assert all(row[0] >= value for row in rows)
        assert all(a <= b for row in rows for a, b in pairwise(row))
        assert all(a <= b for r, s in pairwise(rows) for a, b in zip(r, s, strict=True))
        reach = forecast.reach_probabilities
        assert all(0 < b <= a < 1 for row in reach for a, b in pairwise(row))
        assert all(a <= b for r, s in pairwise(reach) for a, b in zip(r, s, strict=True))
        far = [forecast.probability_of_reaching(value + 40, window) for window in range(5)]
        assert far == sorted(far)


def test_a_forecast_does_not_change_with_what_comes_after_it() -> None:
    past = jumps(days=1)
    seen = []
    for future in ([4.0] * 90, [50.0] * 90):
        forecaster = RunningMaximumForecaster()
        made = []
        for i, value in enumerate(past + future):
            forecaster.update(i * STEP, value)
            made.append(forecaster.forecast())
        seen.append(made[: len(past)])
    assert seen[0] == seen[1]


def test_a_daily_peak_is_expected_before_it_begins() -> None:
    values = daily(5)
    before_peak = 4 * DAY_STEPS + 12 * 30 - 3  # six minutes before noon of the fifth day
    at_night = 4 * DAY_STEPS + 3 * 30
    forecaster = RunningMaximumForecaster()
    made = {}
    for i, value in enumerate(values[:before_peak]):
        forecaster.update(i * STEP, value)
        if i + 1 in {at_night, before_peak}:
            made[i + 1] = forecaster.forecast()
    asleep, expected = made[at_night], made[before_peak]
    assert asleep is not None
    assert expected is not None
    assert expected.last_value == 2.0
    assert expected.probability_of_reaching(9.0, 0) > 0.3
    assert asleep.probability_of_reaching(9.0, 0) < 0.05


def test_the_daily_peak_follows_the_clock_of_the_time_zone() -> None:
    """Summer time began in New York on 2026-03-08: noon there came an hour sooner than before."""
    start = 1_772_686_800.0  # 2026-03-05 00:00 in New York
    values = daily(3)
    spring = [*values, *daily(1)[:60], *daily(1)[90:]]  # the fourth day has no third hour
    before_peak = 3 * DAY_STEPS + 11 * 30 - 3
    probability = {}
    for zone in ("America/New_York", None):
        forecaster = RunningMaximumForecaster(tz=zone)
        for i, value in enumerate(spring[:before_peak]):
            forecaster.update(start + i * STEP, value)
        forecast = forecaster.forecast()
        assert forecast is not None
        probability[zone] = forecast.probability_of_reaching(9.0, 0)
    assert probability["America/New_York"] > 0.3
    assert probability[None] < 0.2


def test_probabilities_are_those_with_which_thresholds_are_reached() -> None:
    values = jumps(days=7)
    forecaster = RunningMaximumForecaster()
    said: list[list[float]] = [[] for _ in WINDOWS_STEPS]
    came: list[list[bool]] = [[] for _ in WINDOWS_STEPS]
    covered: list[list[bool]] = [[] for _ in DEFAULT_LEVELS]
    for i, value in enumerate(values[:-80]):
        forecaster.update(i * STEP, value)
        if i < 3 * DAY_STEPS or value > 4:
            continue
        forecast = forecaster.forecast()
        assert forecast is not None
        for window, steps in enumerate(WINDOWS_STEPS):
            top = max(values[i + 1 : i + 1 + steps])
            said[window].append(forecast.probability_of_reaching(7.0, window))
            came[window].append(top >= 7.0)
        top = max(values[i + 1 : i + 21])
        for column, quantile in enumerate(forecast.quantiles[2]):
            covered[column].append(top <= quantile)
    # Of the longest windows a week holds few that do not overlap.
    for says, comes, off in zip(said, came, (0.06, 0.06, 0.06, 0.1, 0.1), strict=True):
        assert np.mean(says) == pytest.approx(np.mean(comes), abs=off)
    # A maximum of 4 or 7 has two quantiles, so coverage is at least the level.
    for level, inside in zip(DEFAULT_LEVELS, covered, strict=True):
        assert np.mean(inside) >= level - 0.03


def test_a_restored_forecaster_goes_on_with_equal_forecasts() -> None:
    values = np.random.default_rng(5).poisson(6, 1730).astype(float)
    values[10:19] = values[850:859] = np.nan
    running = RunningMaximumForecaster()
    restored: dict[int, RunningMaximumForecaster] = {}
    for i, value in enumerate(values):
        if i in {0, 1, 15, 800, 1700}:
            restored[i] = RunningMaximumForecaster()
            restored[i].restore(running.snapshot())
            assert restored[i].forecast() == running.forecast(), i
        running.update(i * STEP, value)
        for begun, other in tuple(restored.items()):
            other.update(i * STEP, value)
            if i == begun + 29:
                assert other.forecast() == running.forecast(), begun
                assert other.snapshot() == running.snapshot(), begun
                del restored[begun]
    assert restored == {}


def test_the_state_stays_below_200_kilobytes() -> None:
    forecaster = RunningMaximumForecaster()
    for i, value in enumerate(jumps(days=2)):
        forecaster.update(i * STEP, value)
    assert len(forecaster.snapshot()) < 200_000


def test_a_gap_is_no_zero_and_the_forecast_says_how_old_its_value_is() -> None:
    values: list[float | None] = [6.0] * 400
    forecast = forecast_after([*values, *[None] * 60])
    assert forecast.last_value == 6.0
    assert forecast.made_at_seconds == 399 * STEP
    # Six again after the gap is no rise from nothing.
    again = forecast_after([*values, *[None] * 60, *values[:100]])
    assert again.probability_of_reaching(7.0, 4) < 0.1


def test_a_gap_longer_than_what_is_kept_takes_no_longer() -> None:
    forecaster = RunningMaximumForecaster()
    forecaster.update(0.0, 5.0)
    forecaster.update(1e9, 5.0)
    forecast = forecaster.forecast()
    assert forecast is not None
    assert forecast.made_at_seconds == pytest.approx(1e9, abs=STEP)


@pytest.mark.parametrize(
    ("windows", "levels", "message"),
    [
        ((), (0.5, 0.9), "windows"),
        ((1200.0, 600.0), (0.5, 0.9), "windows"),
        ((60.0, 600.0), (0.5, 0.9), "windows"),
        ((600.0,), (0.9, 0.5), "levels"),
        ((600.0,), (0.5, 1.0), "levels"),
    ],
)
def test_windows_and_levels_out_of_order_are_refused(
    windows: tuple[float, ...], levels: tuple[float, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        RunningMaximumForecaster(windows_seconds=windows, levels=levels)


def test_a_prior_moves_probabilities_until_outcomes_contradict_it() -> None:
    values = [4.0] * 1500
    alone, optimistic = (
        RunningMaximumForecaster(trees=trees) for trees in (nothing(levels=1), always(2.0))
    )
    probability = []
    for i, value in enumerate(values):
        for forecaster in (alone, optimistic):
            forecaster.update(i * STEP, value)
        if i in {3, 1499}:
            pair = alone.forecast(), optimistic.forecast()
            assert pair[0] is not None
            assert pair[1] is not None
            probability.append([one.probability_of_reaching(5.0, 0) for one in pair])
    assert probability[0][1] > 2 * probability[0][0]  # a young pool follows the prior
    assert probability[1][1] < 0.02  # two days without a rise do not
