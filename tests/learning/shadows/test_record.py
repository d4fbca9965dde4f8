"""Shadows over minutes and days of looks."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from scaler.decision.outlook import Outlook
from scaler.decision.parameters import PlanParameters, Tuning
from scaler.decision.schedule import NeedAhead
from scaler.learning.shadows.account import account_of
from scaler.learning.shadows.choice import Choice, Verdict
from scaler.learning.shadows.look import ShadowedLook
from scaler.learning.shadows.record import Shadows, after_look
from scaler.learning.shadows.record_bytes import VERSION, decode, encode
from scaler.learning.shadows.settings import PEOPLES, SETTINGS, setting_text
from tests.learning.shadows.days import A_DAY, MONDAY, look
from tests.scaler.fakes import PARAMETERS

TUNED = replace(
    PARAMETERS,
    level=0.95,
    late_minute_cost=15.0,
    hold_given=False,
    tuning=Tuning(corrects=True, chooses=True, timezone="Europe/Berlin"),
    replicas_max=100,
)


def after(
    minutes: int,
    load: Callable[[int], float],
    *,
    begin: float = MONDAY,
    shadows: Shadows | None = None,
    parameters: PlanParameters = TUNED,
    every: int = 1,
    **others: float | None,
) -> Shadows:
    for minute in range(0, minutes * every, every):
        seen = look(begin + 60 * minute, load(minute), **others)  # type: ignore[arg-type]
        shadows = after_look(shadows, seen, None, parameters)
    assert shadows is not None
    return shadows


def test_looks_of_one_minute_are_one_entry_in_the_books() -> None:
    shadows: Shadows | None = None
    for at, work in ((0, 2.0), (15, 4.0), (30, 6.0), (45, 4.0), (60, 4.0)):
        shadows = after_look(shadows, look(MONDAY + at, work), None, TUNED)
    assert shadows is not None

    booked = shadows.books.all()
    assert booked.minutes == 1
    # A fixed number is the busiest minute's mean, 4, so far; before any it is one.
    assert shadows.books.peak_before == 4


def test_an_even_load_costs_what_a_rule_asks_for() -> None:
    shadows = after(60 * 10 + 1, lambda _: 4.0, ready=10.0)

    hours = dict(enumerate(shadows.books.all().gpu_hours.tolist()))
    # Ten hours at 4 ÷ .8 = 5 replicas, and 10 of before for 4 minutes of the 5 that they are held.
    assert hours[0] == pytest.approx(10 * 5 + 5 * 4 / 60)
    # 4 ÷ .5 = 8 for the most cautious, with a hold of 15 minutes, of which 14 are after the first.
    assert hours[SETTINGS - 1] == pytest.approx(10 * 8 + 2 * 14 / 60)
    assert shadows.books.all().paid_hours == pytest.approx(100)


def test_a_minute_without_a_look_is_in_no_sum() -> None:
    shadows = after(10, lambda _: 4.0)
    shadows = after(2, lambda _: 4.0, begin=MONDAY + 60 * 30, shadows=shadows)

    # Minutes 0 to 9 and 30; 31 is open.
    assert shadows.books.all().minutes == 11


def test_rules_on_requests_are_unknown_where_requests_are_not_counted() -> None:
    shadows = after(20, lambda _: 4.0, requests=None)

    rules = {one.rule: one for one in account_of(shadows, TUNED).rules}
    assert rules["hpa-inflight"].gpu_hours is None
    assert rules["keda-waiting"].late is None
    assert rules["fixed"].gpu_hours is not None
    assert rules["given"].gpu_hours is not None


def test_a_figure_that_is_missing_for_a_moment_is_missing_in_no_sum() -> None:
    shadows = after(30, lambda _: 4.0)
    shadows = after(1, lambda _: 4.0, begin=MONDAY + 1800, shadows=shadows, requests=None,
                    ready=None)  # fmt: skip
    shadows = after(30, lambda _: 4.0, begin=MONDAY + 1860, shadows=shadows)

    account = account_of(shadows, TUNED)
    # 60 closed minutes with 10 replicas, one of them not measured.
    assert account.gpu_hours == pytest.approx(10)
    assert all(rule.gpu_hours is not None for rule in account.rules)


def test_the_books_have_every_setting_and_the_rules_people_use() -> None:
    account = account_of(after(5, lambda _: 4.0), TUNED)

    assert [one.rule for one in account.rules][-len(PEOPLES) :] == list(PEOPLES)
    assert len(account.rules) == SETTINGS + 4
    assert [one.rule for one in account.rules if one.in_force] == ["given"]
    assert "needs 2 whole days" in account.why


def test_a_choice_is_made_at_four_of_the_local_clock() -> None:
    # Berlin is an hour ahead of UTC: its 04:00 is 03:00 UTC.
    even = lambda _: 4.0  # noqa: E731
    begin = MONDAY + 3 * 3600
    before = after(2 * A_DAY, even, begin=begin, every=2, planned=5)
    assert before.choice.verdict is Verdict.FIRST_DAYS

    # The look of 03:00 opens the first minute of a new day, and the next one closes it.
    chosen = after(2, even, begin=begin + 2 * 86_400, shadows=before, planned=5).choice
    assert chosen.verdict is Verdict.CHEAPEST
    assert chosen.days == 2


def test_on_an_even_load_the_choice_gets_cheaper_day_by_day() -> None:
    # 10 at the given setting would be 12.5 replicas; .95 needs 10.5.
    seen = after(
        4 * A_DAY + 180,
        lambda minute: 10 + math.sin(minute / 1440 * 6.28),
        every=2,
        ready=13.0,
        planned=13,
    )

    setting = seen.setting(TUNED)
    assert seen.choice.verdict is Verdict.CHEAPEST
    assert setting is not None
    assert not setting.forecasts
    assert setting.utilization > 0.8
    assert "cheapest that kept the objective" in setting.evidence


def test_a_trigger_with_fixed_tuning_gets_books_and_no_setting() -> None:
    fixed = replace(TUNED, tuning=Tuning(chooses=False))
    seen = after(20, lambda _: 4.0, parameters=fixed)
    seen = replace(seen, choice=Choice(place=3, verdict=Verdict.CHEAPEST, days=3), correction=1.0)

    assert seen.setting(fixed) is None
    account = account_of(seen, fixed)
    assert [one.rule for one in account.rules if one.in_force] == ["given"]
    assert account.rules[3].gpu_hours is not None


def test_a_choice_of_before_does_not_come_back_where_nothing_chooses() -> None:
    chosen = Choice(place=3, verdict=Verdict.CHEAPEST, days=3)
    seen = replace(after(20, lambda _: 4.0), choice=chosen)
    variant = replace(TUNED, tuning=replace(TUNED.tuning, chooses=False))
    then = after(2, lambda _: 4.0, begin=MONDAY + 1200, shadows=seen, parameters=variant)

    assert then.choice == Choice()
    assert then.setting(TUNED) is None


def test_where_nothing_chooses_late_requests_still_correct_the_given_setting() -> None:
    corrected = replace(TUNED, tuning=Tuning(corrects=True))
    seen = after(20, lambda _: 4.0, parameters=corrected)
    seen = replace(seen, choice=Choice(place=3, verdict=Verdict.CHEAPEST, days=3), correction=1.0)

    setting = seen.setting(corrected)

    assert setting is not None
    assert setting.late_minute_cost == pytest.approx(15 * math.e)
    assert setting.evidence.startswith(
        f"{setting_text(setting)}: made safer by late requests than 15 GPU-minutes a late minute"
    )
    assert setting.evidence.endswith(" (the trigger's own)")


def test_a_correction_that_finds_all_figures_given_says_so() -> None:
    pinned = frozenset({"late_minute_cost", "utilization"})
    given = replace(TUNED, tuning=Tuning(corrects=True, pinned=pinned))
    seen = replace(after(20, lambda _: 4.0, parameters=given), correction=1.0)

    setting = seen.setting(given)

    assert setting is not None
    assert setting.evidence == (
        "15 GPU-minutes a late minute, utilization 0.8, hold 5m: the trigger's own; late requests "
        "would make it safer, but its figures are given"
    )


def test_a_plan_says_what_the_objective_would_cost_beyond_the_operators_price() -> None:
    limited = replace(TUNED, tuning=Tuning(corrects=True, late_minute_cost_max=45.0))
    seen = after(10, lambda _: 10.5, ready=11.0, planned=8, parameters=limited)
    assert seen.setting(limited) is None
    seen = after(300, lambda _: 10.5, begin=MONDAY + 600, shadows=seen, ready=8.0, planned=8,
                 late=1.0, parameters=limited)  # fmt: skip

    setting = seen.setting(limited)

    assert setting is not None
    assert setting.late_minute_cost == pytest.approx(45)
    # The cheapest booked setting that keeps 99 % has 11 replicas all day, the plan has 8.
    assert setting.evidence.endswith(
        "; lateMinuteCostMax 45 is reached and 99.00% not kept: by the books it would cost "
        "72 replica-hours a day more"
    )


def test_a_plan_names_no_price_that_does_not_limit_it() -> None:
    # The correction ends at 20 times the setting's own 15, far below this price.
    unreached = replace(TUNED, tuning=Tuning(corrects=True, late_minute_cost_max=10_000.0))
    seen = after(10, lambda _: 10.5, ready=8.0, planned=8, late=1.0, parameters=unreached)

    setting = replace(seen, correction=3.0).setting(unreached)

    assert setting is not None
    assert setting.late_minute_cost == pytest.approx(15 * math.exp(3))
    assert "lateMinuteCostMax" not in setting.evidence


def test_with_fixed_tuning_no_choice_is_made_in_the_books_either() -> None:
    fixed = replace(TUNED, tuning=Tuning(chooses=False))
    seen = after(3 * A_DAY + 180, lambda _: 4.0, every=2, planned=5, parameters=fixed)

    assert seen.choice == Choice()
    assert len(seen.books.closed()) == 3


def test_a_capacity_of_twice_the_truth_is_noticed_and_nothing_is_chosen() -> None:
    # Believed load 5 with 6 ready, and half of the requests are late: in truth it is 10.
    seen = after(4 * A_DAY, lambda _: 5.0, every=2, ready=6.0, planned=6, late=0.5)

    assert seen.choice.place == 0
    assert seen.choice.verdict is Verdict.LATER
    assert "capacity is set too high" in account_of(seen, TUNED).why
    # The measured late share makes the given setting safer meanwhile.
    setting = seen.setting(TUNED)
    assert setting is not None
    assert setting.late_minute_cost is not None
    assert setting.late_minute_cost > 15
    assert setting.utilization < TUNED.utilization


def test_a_plan_made_safer_than_its_shadow_is_no_fault_of_the_model() -> None:
    # 2 % are late in truth and in the model, so the plan is corrected, and twice its shadow.
    seen: Shadows | None = None
    for minute in range(0, 4 * 1440, 2):
        one = look(MONDAY + 60 * minute, 10.0, ready=9.7, planned=26, late=0.02)
        seen = after_look(seen, one, None, TUNED)

    assert seen is not None
    assert seen.correction > 0
    assert seen.choice.verdict is Verdict.CHEAPEST


def test_a_set_clock_moves_the_open_minute_and_the_days() -> None:
    seen = after(10, lambda _: 4.0).moved(3 * 86_400)
    later = after(2, lambda _: 4.0, begin=MONDAY + 3 * 86_400 + 600, shadows=seen)

    assert later.books.all().minutes == 11
    assert len(later.books.days) == 1


def test_a_day_that_is_begun_again_has_one_row_in_the_books() -> None:
    """The wall clock is set ahead by a day and back, with the ends of days in between."""
    seen = after(10, lambda _: 4.0)
    seen = after(10, lambda _: 4.0, begin=MONDAY + 86_400, shadows=seen)
    seen = after(2, lambda _: 4.0, begin=MONDAY, shadows=seen)

    assert len(seen.books.days) == len(seen.books.sums) == 1
    assert decode(VERSION, encode(seen), now_seconds=MONDAY + 3600).books.days == seen.books.days


def forecast(at: float) -> Outlook:
    """A good forecast of `saw` five minutes ahead."""
    return Outlook(
        replicas=saw(at + 300) * (1 + (TUNED.level - 0.5) * 0.1),
        text="",
        reach_seconds=1800,
        skill=0.5,
        judged=1000,
        need=known_from(at),
    )


def known_from(at: float) -> NeedAhead:
    """`saw`, known to 5 %."""
    seconds = tuple(float(after) for after in range(0, 1801, 60))
    levels = (0.5, 0.9, 0.95, 0.99)
    return NeedAhead(
        seconds=seconds,
        levels=levels,
        quantiles=tuple(
            tuple(saw(at + after) * (1 + (level - 0.5) * 0.1) for level in levels)
            for after in seconds
        ),
    )


def saw(at: float) -> float:
    """Up by a fourth within five minutes at each full hour, back at each half."""
    within = at % 3600
    up, down = min(within / 300, 1.0), min(max(within - 1800, 0) / 300, 1.0)
    return 20 + 5 * (up - down)


def shape(days: int, forecasts: bool) -> Shadows:
    seen: Shadows | None = None
    for minute in range(0, days * 1440, 2):
        at = MONDAY + 60 * minute
        one: ShadowedLook = look(at, saw(at), ready=29.0, planned=24, late=0.0)
        seen = after_look(seen, one, forecast(at) if forecasts else None, TUNED)
    assert seen is not None
    return seen


@pytest.mark.parametrize("forecasts", [True, False], ids=["a-good-forecast", "no-forecast"])
def test_the_forecast_is_in_force_where_it_is_worth_its_money(forecasts: bool) -> None:
    chosen = shape(4, forecasts).setting(TUNED)

    assert chosen is not None
    assert chosen.forecasts is forecasts
