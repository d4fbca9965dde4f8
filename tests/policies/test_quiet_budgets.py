"""Quiet hours in any time zone become budgets that Karpenter reads in UTC."""

from datetime import UTC, datetime
from typing import Any

import pytest

from policies.lint.karpenter_schedules import schedule_fault
from policies.policy.quiet_budgets import quiet_budget
from policies.policy.schedule import QuietHours

WINTER = datetime(2027, 1, 15, tzinfo=UTC).timestamp()
SUMMER = datetime(2027, 7, 15, tzinfo=UTC).timestamp()
BERLIN = "shift it by an hour when the clock of Europe/Berlin changes"


@pytest.mark.parametrize(
    ("hours", "zone", "now", "schedule", "duration", "notes"),
    [
        ({"from": "08:00", "to": "18:30"}, "UTC", WINTER, "0 8 * * *", "10h30m", ()),
        ({"from": "22:00", "to": "06:00"}, "UTC", WINTER, "0 22 * * *", "8h", ()),
        ({"days": ["sat", "sun"]}, "UTC", WINTER, "0 0 * * sat,sun", "24h", ()),
        (
            {"days": ["mon"], "from": "08:00", "to": "08:45"},
            "Europe/Berlin",
            WINTER,
            "0 7 * * mon",
            "45m",
            (BERLIN,),
        ),
        ({"from": "08:00", "to": "09:00"}, "Europe/Berlin", SUMMER, "0 6 * * *", "1h", (BERLIN,)),
        # The day before in UTC, and the day after.
        (
            {"days": ["mon", "tue"], "from": "08:00", "to": "09:00"},
            "Asia/Tokyo",
            WINTER,
            "0 23 * * mon,sun",
            "1h",
            (),
        ),
        (
            {"days": ["sun"], "from": "20:00", "to": "21:00"},
            "America/Phoenix",
            WINTER,
            "0 3 * * mon",
            "1h",
            (),
        ),
        (
            {"cron": "0 8 * * mon-fri", "lasts": "90m"},
            "UTC",
            WINTER,
            "0 8 * * mon-fri",
            "1h30m",
            (),
        ),
        (
            {"cron": "0 8 * * *", "lasts": "1h"},
            "Asia/Kolkata",
            WINTER,
            "0 8 * * *",
            "1h",
            ("its hours are of Asia/Kolkata: write them in UTC",),
        ),
    ],
)
def test_hours_of_any_zone_in_utc(
    hours: dict[str, Any],
    zone: str,
    now: float,
    schedule: str,
    duration: str,
    notes: tuple[str, ...],
) -> None:
    found = quiet_budget(QuietHours.model_validate(hours), zone, now)
    assert (found.schedule, found.duration, found.notes) == (schedule, duration, notes)


@pytest.mark.parametrize(
    ("cron", "schedule"),
    [
        ("0 22 * * 5-7", "0 22 * * 0,5,6"),
        ("0 22 * * 7", "0 22 * * 0"),
        ("0 22 * * fri/2", "0 22 * * 0,5"),
        ("0 22 1 * sun-sat", "0 22 * * *"),
        ("0 22 1-31 * */2", "0 22 * * */2"),
        ("0 22 1,15 * MON", "0 22 1,15 * MON"),
        ("*/15 0-6 * jan-mar 1-5", "*/15 0-6 * jan-mar 1-5"),
    ],
)
def test_a_cron_expression_is_written_as_karpenter_reads_it(cron: str, schedule: str) -> None:
    hours = QuietHours.model_validate({"cron": cron, "lasts": "8h"})
    found = quiet_budget(hours, "UTC", WINTER)
    assert (found.schedule, found.notes) == (schedule, ())
    assert schedule_fault(found.schedule) is None


@pytest.mark.parametrize(
    "cron", ["0 22 L * *", "0 22 LW * *", "0 22 * * 5#2", "0 22 * * 5L,1/3", "0 22 */2 * mon"]
)
def test_hours_that_karpenter_has_no_words_for_are_not_written(cron: str) -> None:
    hours = QuietHours.model_validate({"cron": cron, "lasts": "8h"})
    found = quiet_budget(hours, "Europe/Berlin", WINTER)
    assert found.schedule is None
    assert found.notes == (f"Karpenter has no words for {cron!r}: write other hours",)
