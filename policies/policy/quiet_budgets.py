"""Quiet hours as Karpenter's disruption budgets, for an operator's Git.

Karpenter reads schedules in UTC and knows no summer time, so hours are shifted by what the zone's
clock is ahead of UTC now; where that changes in the course of a year, a note says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim

from policies.policy.schedule import QuietHours
from policies.policy.windows import DAY_MINUTES, WEEK, minute_of

_EVERY_DAY: Final = "*"
_SOME_DAY: Final = datetime(2026, 1, 1, tzinfo=UTC)
_DAYS: Final = frozenset(range(1, 32))
_SUNDAY: Final = 7
"""Beside 0, in policies."""
_WEEKDAYS: Final = frozenset(range(7))


@dataclass(frozen=True, slots=True, kw_only=True)
class QuietBudget:
    """When one budget begins and how long it lasts, in Karpenter's words."""

    schedule: str | None
    """None = Karpenter has no words for it, as a note says."""
    duration: str
    notes: tuple[str, ...] = ()


def quiet_budget(hours: QuietHours, time_zone: str, now_seconds: float) -> QuietBudget:
    """The budget of hours that come again.

    Args:
        hours: of the policy.
        time_zone: of hours that name none.
        now_seconds: whose distance from UTC is taken.
    """
    zone = ZoneInfo(hours.time_zone or time_zone)
    ahead = _ahead_minutes(zone, now_seconds)
    months = (now_seconds + month * 30 * DAY_MINUTES * 60 for month in range(12))
    changes = any(_ahead_minutes(zone, at) != ahead for at in months)
    notes = (f"shift it by an hour when the clock of {zone.key} changes",) if changes else ()
    if hours.cron is not None:
        assert hours.lasts is not None
        if ahead:
            notes = (f"its hours are of {zone.key}: write them in UTC", *notes)
        schedule = _in_karpenters_words(hours.cron)
        if schedule is None:
            notes = (f"Karpenter has no words for {hours.cron!r}: write other hours",)
        return QuietBudget(
            schedule=schedule, duration=_duration(int(hours.lasts // 60)), notes=notes
        )
    begin = minute_of(hours.begin) if hours.begin else 0
    end = minute_of(hours.to) if hours.to else DAY_MINUTES
    length = end - begin if end > begin else end - begin + DAY_MINUTES
    day, minute = divmod(begin - ahead, DAY_MINUTES)
    days = _EVERY_DAY if hours.days is None else _shifted([one.value for one in hours.days], day)
    schedule = f"{minute % 60} {minute // 60} * * {days}"
    return QuietBudget(schedule=schedule, duration=_duration(length), notes=notes)


def _in_karpenters_words(cron: str) -> str | None:
    """A schedule that begins when the expression does, for robfig/cron, which Karpenter has.

    There Sunday is 0 and never 7, there is no L and no #, and day and weekday must both match only
    where one of them is `*`: here it is enough that one begins with a star. None = it cannot be
    said there.
    """
    read = CronSim(cron, _SOME_DAY)
    weekdays = {one % 7 for one in read.weekdays if isinstance(one, int)}
    if min(read.days) < 0 or any(isinstance(one, tuple) for one in read.weekdays):
        return None
    minute, hour, day, month, weekday = cron.split()
    if _SUNDAY in read.weekdays or "7" in weekday:
        weekday = ",".join(str(one) for one in sorted(weekdays))
    every_day, every_weekday = read.days >= _DAYS, weekdays >= _WEEKDAYS
    if read.day_and and not (every_day or every_weekday):
        return None
    either = not read.day_and and (every_day or every_weekday)
    day = "*" if every_day or either else day
    weekday = "*" if every_weekday or either else weekday
    return f"{minute} {hour} {day} {month} {weekday}"


def _ahead_minutes(zone: ZoneInfo, at_seconds: float) -> int:
    offset = datetime.fromtimestamp(at_seconds, UTC).astimezone(zone).utcoffset()
    return int((offset or timedelta()).total_seconds() // 60)


def _shifted(days: Sequence[str], by: int) -> str:
    places = sorted((WEEK.index(day) + by) % len(WEEK) for day in days)
    return ",".join(WEEK[place] for place in places)


def _duration(minutes: int) -> str:
    hours, rest = divmod(max(1, minutes), 60)
    if not hours:
        return f"{rest}m"
    return f"{hours}h{rest}m" if rest else f"{hours}h"
