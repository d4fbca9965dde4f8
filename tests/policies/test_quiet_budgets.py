"""Quiet hours in any time zone become budgets that Karpenter reads in UTC."""

from datetime import UTC, datetime
from typing import Any

import pytest

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
