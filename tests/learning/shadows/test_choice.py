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
)
from scaler.learning.shadows.settings import settings_of
from tests.learning.shadows.days import books
from tests.scaler.fakes import PARAMETERS

ARRAYS = settings_of(PARAMETERS)
FORECAST, OTHER_FORECAST, REACTIVE = 3, 4, 8
NEVER = [0.0, 0.0, 0.0]


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


def test_where_none_kept_the_objective_the_nearest_is_chosen() -> None:
    late = {place: [0.05] * 3 for place in range(12)} | {FORECAST: [0.03] * 3}
    late[11] = [0.001] * 3
    days = books({FORECAST: 120, 11: 170}, late)

    chosen = choose(days, Choice(), ARRAYS, 0.99)

    # The one that is hardly late costs 70 % more, beyond the bound of a change.
    assert (chosen.place, chosen.verdict) == (FORECAST, Verdict.LEAST_LATE)


def test_the_bound_on_a_change_counts_what_the_correction_costs() -> None:
    # The given setting costs 100 and is late; corrected it cost 180. So 190 is no leap.
    late = {place: [0.05] * 3 for place in range(12)} | {FORECAST: [0.002] * 3}
    days = books({FORECAST: 190}, late, planned=180, shadowed=180)

    chosen = choose(days, Choice(), ARRAYS, 0.99)

    assert (chosen.place, chosen.verdict) == (FORECAST, Verdict.CHEAPEST)


def test_a_forecast_that_saves_nearly_nothing_loses_to_the_reactive_setting() -> None:
    days = books({FORECAST: 90, REACTIVE: 91}, {FORECAST: NEVER})

    chosen = choose(days, Choice(), ARRAYS, 0.99)

    assert chosen.place == REACTIVE
    assert not ARRAYS.settings[chosen.place].forecasts


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

    setting = Setting(level=0.9, utilization=0.8, hold_seconds=300)
    safer = corrected(setting, correction, frozenset())
    # The tail of .1 becomes .1 × e^-.99.
    assert safer.level == pytest.approx(1 - 0.1 * math.exp(-0.99))
    assert safer.utilization == pytest.approx(0.8 * math.exp(-0.099))

    for _ in range(1000):
        correction = correction_after(correction, 0.0, 0.99)
    assert correction == 0


def test_a_busy_late_minute_counts_by_its_load() -> None:
    assert correction_after(0.0, 1.0, 0.99, weight=3.0) == pytest.approx(0.297)


def test_figures_that_the_trigger_gives_stay() -> None:
    setting = Setting(level=0.9, utilization=0.8, hold_seconds=300)

    assert corrected(setting, 2.0, frozenset({"level", "utilization"})) == setting


def test_pinned_figures_are_the_same_in_every_setting() -> None:
    tuning = Tuning(chooses=True, pinned=frozenset({"level", "hold_seconds"}))
    settings = settings_of(replace(PARAMETERS, tuning=tuning)).settings

    assert {setting.level for setting in settings} == {PARAMETERS.level}
    assert {setting.hold_seconds for setting in settings} == {PARAMETERS.hold_seconds}
    assert len({setting.utilization for setting in settings}) > 1
