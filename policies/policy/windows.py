"""Hours of a week, or what a cron expression begins, in a time zone, as spans of real time.

A clock that is put back or forward moves the edges and opens no gap: hours that are there twice
belong to a window twice, and an edge that the clock skips is the moment of the skip.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim

WEEK: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES: Final = 1440
DAY_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class WeeklyWindow:
    """The same hours on some days of the week; past midnight they belong to the day they begin."""

    days: frozenset[str]
    """Of `WEEK`."""
    from_minute: int
    """Of the day."""
    to_minute: int
    """Of the day; at or before `from_minute` it is one of the next day."""
    time_zone: str

    def end_of_span_at(self, now_seconds: float) -> float | None:
        """When the span ends in which `now` is; None = it is outside."""
        spans = _spans(self, int(now_seconds // DAY_SECONDS))
        return max((end for begin, end in spans if begin <= now_seconds < end), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class CronWindow:
    """A time of real length from each moment that a cron expression names."""

    cron: str
    length_seconds: float
    time_zone: str

    def end_of_span_at(self, now_seconds: float) -> float | None:
        """When the span ends in which `now` is; None = it is outside."""
        begin = _last_start(self.cron, self.time_zone, int(now_seconds // 60))
        end = begin + self.length_seconds
        return end if now_seconds < end else None


Window = WeeklyWindow | CronWindow


def minute_of(text: str) -> int:
    """`20:00` → 1200."""
    hours, _, minutes = text.partition(":")
    return int(hours) * 60 + int(minutes)


@lru_cache(4096)
def _spans(window: WeeklyWindow, utc_day: int) -> tuple[tuple[float, float], ...]:
    """Those that reach into a UTC day, counted from 1970, or nearly so."""
    zone = ZoneInfo(window.time_zone)
    overnight = DAY_MINUTES if window.to_minute <= window.from_minute else 0
    around = datetime.fromtimestamp(utc_day * DAY_SECONDS, UTC).date()
    days = (around + timedelta(days=offset) for offset in range(-2, 3))
    return tuple(
        (
            _moment(day, window.from_minute, zone, last=False),
            _moment(day, window.to_minute + overnight, zone, last=True),
        )
        for day in days
        if WEEK[day.weekday()] in window.days
    )


@lru_cache(4096)
def _last_start(cron: str, time_zone: str, minute: int) -> float:
    """The last moment that the expression names, this minute (since 1970) included; -inf = none."""
    # CronSim leaves out the moment it starts from.
    after = datetime.fromtimestamp(minute * 60 + 1, UTC).astimezone(ZoneInfo(time_zone))
    return next((one.timestamp() for one in CronSim(cron, after, reverse=True)), float("-inf"))


def _moment(day: date, minute: int, zone: ZoneInfo, *, last: bool) -> float:
    """When the clock of a zone shows a minute of a day; the first or last time, where twice."""
    shown = datetime.combine(day, datetime.min.time()) + timedelta(minutes=minute)
    early, late = sorted(shown.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1))
    if datetime.fromtimestamp(early, zone).replace(tzinfo=None) == shown:
        return late if last else early
    # Skipped: the offset changes somewhere between the two readings of the time.
    before = datetime.fromtimestamp(early, zone).utcoffset()
    while late - early > 1:
        middle = (early + late) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == before:
            early = middle
        else:
            late = middle
    return late
