"""Which setting is in force, from books made up by the test."""

import math
from dataclasses import replace

import pytest

from scaler.decision.parameters import Tuning
from scaler.learning.estimates import Setting
from scaler.learning.shadows.choice import (
    Choice,
    Verdict,
    choose,
    corrected,
    correction_after,
    correction_max,
)
from scaler.learning.shadows.settings import SETTINGS, setting_text, settings_of
from tests.learning.shadows.days import books
from tests.scaler.fakes import PARAMETERS

ARRAYS = settings_of(PARAMETERS)
FORECAST, OTHER_FORECAST, REACTIVE, DEAREST = 3, 4, 10, SETTINGS - 1
NEVER = [0.0, 0.0, 0.0]
SETTING = Setting(level=0.9, utilization=0.8, hold_seconds=300, late_minute_cost=15.0)


def test_before_two_whole_days_the_triggers_setting_stays() -> None:
    chosen = choose(books({FORECAST: 90}, {FORECAST: [0.0]}), Choice(), ARRAYS, 0.99)

    assert (chosen.place, chosen.verdict, chosen.days) == (0, Verdict.FIRST_DAYS, 1)


def test_the_cheapest_that_kept_the_objective_is_chosen() -> None:
    days = books(
        {FORECAST: 90, OTHER_FORECAST: 88}, {FORECAST: [0.002] * 3, OTHER_FORECAST: [0.02] * 3}
    )

    chosen = choose(days, Choice(), ARRAYS, 0.99)

    assert (chosen.place, chosen.verdict) == (FORECAST, Verdict.CHEAPEST)
    assert chosen.late == pytest.approx(0.002, abs=1e-6)


def test_the_spread_of_the_days_is_the_margin() -> None:
    # A mean of .006 and a spread of .0104: one day in three misses the objective by far.
    days = books({FORECAST: 90}, {FORECAST: [0.0, 0.0, 0.018]})

    assert choose(days, Choice(), ARRAYS, 0.99).place != FORECAST


def test_one_change_saves_no_more_than_its_bound() -> None:
    days = books({FORECAST: 60, OTHER_FORECAST: 87}, {FORECAST: NEVER})

    # 60 of 100 GPU-hours would be a change of 40 %.
    assert choose(days, Choice(), ARRAYS, 0.99).place == OTHER_FORECAST


def test_where_none_kept_it_with_the_margin_the_cheapest_that_kept_it_on_average_is_chosen() -> (
    None
):
    # .006 on average, and .0164 with the spread of the days; the calm one costs 70 % more.
    late = {place: [0.05] * 3 for place in range(SETTINGS)}
    late |= {FORECAST: [0.0, 0.0, 0.018], OTHER_FORECAST: [0.0, 0.0, 0.018], DEAREST: NEVER}
    days = books({FORECAST: 120, OTHER_FORECAST: 110, DEAREST: 170}, late)

    chosen = choose(days, Choice(), ARRAYS, 0.99)

    assert (chosen.place, chosen.verdict) == (OTHER_FORECAST, Verdict.ON_AVERAGE)
    assert chosen.late == pytest.approx(0.006, abs=1e-6)
    assert chosen.model_holds


def test_where_none_kept_the_objective_one_step_is_taken_and_not_the_dearest() -> None:
    late = {place: [0.05] * 3 for place in range(SETTINGS)}
    late |= {FORECAST: [0.03] * 3, OTHER_FORECAST: [0.02] * 3}
    days = books({FORECAST: 110, OTHER_FORECAST: 125}, late)

    first = choose(days, Choice(), ARRAYS, 0.99)
    second = choose(days, first, ARRAYS, 0.99)

    assert (first.place, first.verdict) == (FORECAST, Verdict.SAFER)
    assert (second.place, second.verdict) == (OTHER_FORECAST, Verdict.SAFER)


@pytest.mark.parametrize(
    ("hours", "late"),
    [
        pytest.param(110.0, 0.0495, id="hardly-safer"),
        pytest.param(170.0, 0.001, id="beyond-the-bound"),
    ],
)
def test_where_no_step_is_safer_the_setting_in_force_stays(hours: float, late: float) -> None:
    shares = {place: [0.05] * 3 for place in range(SETTINGS)} | {FORECAST: [late] * 3}

    chosen = choose(books({FORECAST: hours}, shares), Choice(), ARRAYS, 0.99)

    assert (chosen.place, chosen.verdict) == (0, Verdict.SAFER)


def test_the_bound_on_a_change_counts_what_the_correction_costs() -> None:
    # The given setting costs 100 and is late; corrected it cost 180. So 190 is no leap.
    late = {place: [0.05] * 3 for place in range(SETTINGS)} | {FORECAST: [0.002] * 3}
    days = books({FORECAST: 190}, late, planned=180, shadowed=180)

    chosen = choose(days, Choice(), ARRAYS, 0.99)

    assert (chosen.place, chosen.verdict) == (FORECAST, Verdict.CHEAPEST)


def test_a_forecast_that_saves_nearly_nothing_loses_to_the_reactive_setting() -> None:
    days = books({FORECAST: 90, REACTIVE: 91}, {FORECAST: NEVER})

    chosen = choose(days, Choice(), ARRAYS, 0.99)

    assert chosen.place == REACTIVE
    assert not ARRAYS.settings[chosen.place].forecasts


@pytest.mark.parametrize("place", [0, FORECAST, REACTIVE])
def test_where_all_settings_cost_the_same_the_one_in_force_stays(place: int) -> None:
    # Two days at minReplicas: 100 GPU-hours each, nothing late.
    days = books({OTHER_FORECAST: 100.5, DEAREST: 99.5}, {FORECAST: [0.0, 0.0]})

    chosen = choose(days, Choice(place=place), ARRAYS, 0.99)

    assert (chosen.place, chosen.verdict) == (place, Verdict.CHEAPEST)


def test_one_in_force_that_is_late_gives_way_to_another_that_costs_the_same() -> None:
    days = books({FORECAST: 100}, {0: [0.02] * 3})

    assert choose(days, Choice(), ARRAYS, 0.99).place != 0


def test_a_forecast_that_saves_much_is_chosen() -> None:
    days = books({FORECAST: 87, REACTIVE: 91}, {FORECAST: NEVER})

    assert ARRAYS.settings[choose(days, Choice(), ARRAYS, 0.99).place].forecasts


@pytest.mark.parametrize(
    ("measured", "modelled", "shadowed", "verdict"),
    [
        pytest.param(0.05, 0.002, 100.0, Verdict.LATER, id="capacity-too-high"),
        pytest.param(0.0, 0.05, 100.0, Verdict.EARLIER, id="capacity-too-low"),
        pytest.param(0.002, 0.002, 50.0, Verdict.OTHER_REPLICAS, id="another-plan"),
        pytest.param(None, 0.002, 100.0, Verdict.UNJUDGED, id="lateness-not-measured"),
        pytest.param(0.002, None, 100.0, Verdict.UNJUDGED, id="replicas-not-measured"),
    ],
)
def test_where_the_model_is_off_shadows_do_not_choose(
    measured: float | None, modelled: float | None, shadowed: float, verdict: Verdict
) -> None:
    days = books(
        {FORECAST: 90}, {FORECAST: NEVER}, measured=measured, modelled=modelled, shadowed=shadowed
    )

    chosen = choose(days, Choice(place=OTHER_FORECAST), ARRAYS, 0.99)

    assert (chosen.place, chosen.verdict) == (OTHER_FORECAST, verdict)
    assert chosen.model_holds is (None if verdict is Verdict.UNJUDGED else False)


def test_late_minutes_make_the_setting_safer_and_calm_ones_bring_it_back() -> None:
    correction = 0.0
    for _ in range(10):
        correction = correction_after(correction, 1.0, 0.99)
    assert correction == pytest.approx(0.99)  # 10 × 0.1 × (1 − 0.01)

    safer = corrected(SETTING, correction, frozenset())
    assert safer.late_minute_cost == pytest.approx(15 * math.exp(0.99))
    assert safer.utilization == pytest.approx(0.8 * math.exp(-0.099))

    for _ in range(1000):
        correction = correction_after(correction, 0.0, 0.99)
    assert corrected(SETTING, correction, frozenset()) == SETTING


def test_a_burst_after_a_good_day_corrects_nothing() -> None:
    correction = 0.0
    for _ in range(3 * 1440):
        correction = correction_after(correction, 0.0, 0.99)
    assert correction == pytest.approx(-1.44)  # one day's: 1440 × 0.1 × 0.01

    for _ in range(10):
        correction = correction_after(correction, 1.0, 0.99)
    assert corrected(SETTING, correction, frozenset()) == SETTING

    for _ in range(10):  # the day is spoilt: 20 of 1440 minutes are more than one in a hundred
        correction = correction_after(correction, 1.0, 0.99)
    assert corrected(SETTING, correction, frozenset()).late_minute_cost == pytest.approx(
        15 * math.exp(2 * 0.99 - 1.44)
    )


def test_a_long_time_of_late_requests_makes_a_late_minute_twenty_times_as_dear_at_most() -> None:
    correction = 0.0
    for _ in range(600):
        correction = correction_after(correction, 1.0, 0.99)

    safest = corrected(SETTING, correction, frozenset())
    assert safest.late_minute_cost == pytest.approx(15 * 20, rel=0.01)


def test_late_requests_make_a_late_minute_no_dearer_than_the_operators_price() -> None:
    correction = 0.0
    for _ in range(600):
        most = correction_max(SETTING, 45.0)
        correction = correction_after(correction, 1.0, 0.99, most=most)

    safest = corrected(SETTING, correction, frozenset())
    assert safest.late_minute_cost == pytest.approx(45)
    # Nothing is stored up beyond it.
    assert correction == pytest.approx(math.log(3))


def test_a_price_below_the_settings_own_corrects_nothing() -> None:
    assert correction_max(SETTING, 10.0) == 0


def test_no_setting_beyond_the_operators_price_is_chosen() -> None:
    # Place 5 costs 30 GPU-minutes a late minute, place 7 costs 150; both kept the objective.
    late = {place: [0.05] * 3 for place in range(SETTINGS)} | {5: NEVER, 7: NEVER}
    days = books({5: 120, 7: 110}, late)
    arrays = settings_of(replace(PARAMETERS, late_minute_cost=15.0))

    assert choose(days, Choice(), arrays, 0.99).place == 7
    assert choose(days, Choice(), arrays, 0.99, late_minute_cost_max=60).place == 5


def test_a_busy_late_minute_counts_by_its_load() -> None:
    assert correction_after(0.0, 1.0, 0.99, weight=3.0) == pytest.approx(0.297)


def test_figures_that_the_trigger_gives_stay() -> None:
    assert corrected(SETTING, 2.0, frozenset({"late_minute_cost", "utilization"})) == SETTING


def test_settings_differ_by_what_a_late_minute_costs_or_have_no_forecast() -> None:
    given = replace(PARAMETERS, late_minute_cost=15.0)
    settings = settings_of(given).settings

    costs = [setting.late_minute_cost for setting in settings if setting.forecasts]
    assert costs == [15, 1, 2, 4, 8, 30, 60, 150, 500]
    assert [s.utilization for s in settings if not s.forecasts] == [1.0, 0.95, 0.85, 0.7, 0.5]


@pytest.mark.parametrize(
    ("name", "level", "cost"),
    [
        pytest.param("level", 0.97, None, id="quantile"),
        pytest.param("late_minute_cost", 0.95, 40.0, id="late-minute-cost"),
    ],
)
def test_a_pinned_figure_is_the_same_in_every_setting(
    name: str, level: float, cost: float | None
) -> None:
    tuning = Tuning(corrects=True, chooses=True, pinned=frozenset({name, "hold_seconds"}))
    given = replace(PARAMETERS, level=level, late_minute_cost=cost, tuning=tuning)
    settings = settings_of(given).settings

    assert {(s.level, s.late_minute_cost, s.forecasts) for s in settings} == {(level, cost, True)}
    assert {setting.hold_seconds for setting in settings} == {PARAMETERS.hold_seconds}
    assert len({setting.utilization for setting in settings}) > 1


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        (SETTING, "15 GPU-minutes a late minute, utilization 0.8, hold 5m"),
        (replace(SETTING, late_minute_cost=None), "q0.9, utilization 0.8, hold 5m"),
        (replace(SETTING, forecasts=False), "no forecast, utilization 0.8, hold 5m"),
    ],
    ids=["cost", "quantile", "reactive"],
)
def test_a_setting_says_what_it_plans_by(setting: Setting, words: str) -> None:
    assert setting_text(setting) == words
