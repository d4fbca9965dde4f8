"""Announced events: a batch job's cron schedule, a launch, a class of students at nine.

An event states when it begins, how long it lasts, and by what factor it multiplies the usual
demand. An event is not a floor: for guaranteed capacity at a given time, add a KEDA cron trigger to
the ScaledObject.

The format is `WHEN [in ZONE] for LENGTH xFACTOR`, with `;` between events. WHEN is five cron fields
or a local date and time, in the zone, else in the workload's time zone:

    0 9 * * mon-fri for 30m x2.5; 2027-03-01T18:00 in Asia/Tokyo for 2h x4

When the clock changes, a cron event begins as Kubernetes starts a CronJob and KEDA its cron
trigger: at each real minute that matches, so not at all in an hour that is left out, and twice in
one that comes twice.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from scaler.durations import parse_duration

DAY_SECONDS: Final = 86_400.0
FACTOR_MAX: Final = 100.0
EVENTS_MAX: Final = 50
STARTS_A_DAY_MAX: Final = 48
"""Of all events of one trigger: every half hour. Each is looked at whenever a forecast is made, and
demand that changes every minute is nothing to announce."""
_CRON_FIELDS: Final = 5
_QUARTER_SECONDS: Final = 900.0
_CHARACTERS_MAX: Final = 200
"""Of one event; its regular expression takes quadratic time."""
_WRITTEN: Final = re.compile(
    r"(?P<when>.+?)(\s+in\s+(?P<zone>\S+))?\s+for\s+(?P<length>\S+)\s+x(?P<factor>\d+(\.\d+)?)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One announced event; `when` is the text as given."""

    when: str
    length_seconds: float
    factor: float
    """Demand during the event ÷ demand as it would be without."""
    timezone: str | None = None
    """None = the workload's."""


class EventsLimitError(ValueError):
    """More events, longer ones, or ones that begin more often than they may."""


def parse(text: str) -> tuple[Event, ...]:
    """The events of a text.

    Raises:
        ValueError: naming the event that cannot be read, and why.
    """
    parts = [part.strip() for part in text.split(";") if part.strip()]
    if len(parts) > EVENTS_MAX:
        raise EventsLimitError(f"{len(parts)} events are more than {EVENTS_MAX}")
    events = tuple(map(_event, parts))
    starts = sum(_starts_a_day(event) for event in events)
    if starts > STARTS_A_DAY_MAX:
        raise EventsLimitError(
            f"events begin up to {starts} times a day, at most {STARTS_A_DAY_MAX}"
        )
    return events


def _starts_a_day(event: Event) -> int:
    """How often it begins on its busiest day at most."""
    if len(event.when.split()) == 1:
        return 1
    schedule = CronSim(event.when, datetime.fromtimestamp(0, UTC))
    return len(schedule.minutes) * len(schedule.hours)


def _event(text: str) -> Event:
    if len(text) > _CHARACTERS_MAX:
        raise EventsLimitError(f"event {text[:40]!r}… has over {_CHARACTERS_MAX} characters")
    found = _WRITTEN.fullmatch(text)
    if found is None:
        raise ValueError(f"event {text!r} is not of the form WHEN [in ZONE] for LENGTH xFACTOR")
    length, factor = parse_duration(found["length"]), float(found["factor"])
    if not isinstance(length, float) or not 0 < length <= DAY_SECONDS:
        raise ValueError(f"event {text!r}: {found['length']} is no length up to 24h, such as 30m")
    if not 0 < factor <= FACTOR_MAX:
        raise ValueError(f"event {text!r}: its factor is not above 0 and at most {FACTOR_MAX:g}")
    zone = _known_zone(text, found["zone"])
    event = Event(when=found["when"], length_seconds=length, factor=factor, timezone=zone)
    try:
        if len(event.when.split()) not in {1, _CRON_FIELDS}:
            raise ValueError("not five fields")  # noqa: TRY301 told with the others
        if _starts_a_day(event) <= STARTS_A_DAY_MAX:
            starts_of_day(event, "UTC", 0)
    except (CronSimError, ValueError) as error:
        message = f"event {text!r}: {event.when!r} is neither five cron fields nor a local time"
        raise ValueError(message) from error
    return event


def _known_zone(text: str, zone: str | None) -> str | None:
    try:
        ZoneInfo(zone or "UTC")
    except (OSError, ValueError, ZoneInfoNotFoundError) as error:
        raise ValueError(f"event {text!r}: {zone!r} is no time zone such as Asia/Tokyo") from error
    return zone


@lru_cache(maxsize=4096)
def starts_of_day(event: Event, tz: str, day: int) -> tuple[float, ...]:
    """Unix times at which the event begins within a UTC day, counted from 1970."""
    begin = datetime.fromtimestamp(day * DAY_SECONDS, UTC)
    end = begin + timedelta(days=1)
    zone = ZoneInfo(event.timezone or tz)
    if len(event.when.split()) == 1:
        moment = datetime.fromisoformat(event.when)
        if moment.tzinfo is not None:
            raise ValueError("the time zone is the workload's")
        moment = moment.replace(tzinfo=zone)
        return (moment.timestamp(),) if begin <= moment < end else ()
    schedule, starts = CronSim(event.when, begin), []
    # A walk through real time, because CronSim moves events out of hours that are left out, as
    # Debian does. Clocks change, and differ from UTC, by whole quarters of an hour.
    for quarter in range(int(DAY_SECONDS / _QUARTER_SECONDS)):
        seconds = begin.timestamp() + quarter * _QUARTER_SECONDS
        local = datetime.fromtimestamp(seconds, zone)
        if local.hour in schedule.hours and _matches(schedule, local):
            minutes = range(local.minute, local.minute + 15)
            starts += [seconds + 60.0 * n for n, m in enumerate(minutes) if m in schedule.minutes]
    return tuple(starts)


def _matches(schedule: CronSim, local: datetime) -> bool:
    return local.month in schedule.months and schedule.match_day(local.date())
