"""Announced events: a batch job's cron schedule, a launch, a class of students at nine.

An event states when it begins, how long it lasts, and by what factor it multiplies the usual
demand. While an event lies within the horizons, the current level times the ratio of the factors
then and now enters the forecast as one exogenous expert. Its weight starts at a quarter and then
follows its own errors. An event is not a floor: for guaranteed capacity at a given time, add a KEDA
cron trigger to the ScaledObject.

The format is `WHEN for LENGTH xFACTOR`, with `;` between events. WHEN is five cron fields or a
local date and time, both in the workload's time zone:

    0 9 * * mon-fri for 30m x2.5; 2027-03-01T18:00 for 2h x4
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import takewhile
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
from cronsim import CronSim, CronSimError

from scaler.durations import parse_duration
from scaler.forecast.past import DAY_SECONDS, Floats

FACTOR_MAX: Final = 100.0
EVENTS_MAX: Final = 50
_WRITTEN: Final = re.compile(r"(?P<when>.+?)\s+for\s+(?P<length>\S+)\s+x(?P<factor>\d+(\.\d+)?)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One announced event; `when` is the text as given."""

    when: str
    length_seconds: float
    factor: float
    """Demand during the event ÷ demand as it would be without."""


def parse(text: str) -> tuple[Event, ...]:
    """The events of a text.

    Raises:
        ValueError: naming the event that cannot be read, and why.
    """
    events = tuple(_event(part.strip()) for part in text.split(";") if part.strip())
    if len(events) > EVENTS_MAX:
        raise ValueError(f"{len(events)} events are more than {EVENTS_MAX}")
    return events


def _event(text: str) -> Event:
    found = _WRITTEN.fullmatch(text)
    if found is None:
        raise ValueError(f"event {text!r} is not of the form WHEN for LENGTH xFACTOR")
    length, factor = parse_duration(found["length"]), float(found["factor"])
    if not isinstance(length, float) or not 0 < length <= DAY_SECONDS:
        raise ValueError(f"event {text!r}: {found['length']} is no length up to 24h, such as 30m")
    if not 0 < factor <= FACTOR_MAX:
        raise ValueError(f"event {text!r}: its factor is not above 0 and at most {FACTOR_MAX:g}")
    event = Event(when=found["when"], length_seconds=length, factor=factor)
    try:
        _starts_of_day(event, "UTC", 0)
    except (CronSimError, ValueError) as error:
        message = f"event {text!r}: {event.when!r} is neither five cron fields nor a local time"
        raise ValueError(message) from error
    return event


class Calendar:
    """The events of one workload in its time zone; stateless."""

    __slots__ = ("_events", "_tz")

    def __init__(self, events: Sequence[Event], tz: str) -> None:
        self._events = tuple(events)
        self._tz = tz

    def exogenous_forecast(
        self, level: float, unix_seconds: float, horizons_seconds: Sequence[float]
    ) -> Floats | None:
        """Demand at each horizon from the level now; None while no event is within reach."""
        moments = unix_seconds + np.array((0.0, *horizons_seconds))
        factors = np.ones_like(moments)
        for event in self._events:
            days = range(
                int((moments[0] - event.length_seconds) // DAY_SECONDS),
                int(moments[-1] // DAY_SECONDS) + 1,
            )
            starts = np.array([s for day in days for s in _starts_of_day(event, self._tz, day)])
            since = moments[:, None] - starts
            is_on = ((since >= 0) & (since < event.length_seconds)).any(axis=1)
            factors[is_on] *= event.factor
        if (factors == 1.0).all():
            return None
        points: Floats = level * factors[1:] / factors[0]
        return points


@lru_cache(maxsize=4096)
def _starts_of_day(event: Event, tz: str, day: int) -> tuple[float, ...]:
    """Unix times at which the event begins within a UTC day, counted from 1970."""
    begin = datetime.fromtimestamp(day * DAY_SECONDS, UTC)
    end = begin + timedelta(days=1)
    zone = ZoneInfo(tz)
    if len(event.when.split()) == 1:
        moment = datetime.fromisoformat(event.when)
        if moment.tzinfo is not None:
            raise ValueError("the time zone is the workload's")
        moment = moment.replace(tzinfo=zone)
        return (moment.timestamp(),) if begin <= moment < end else ()
    # CronSim excludes its start, and an event at midnight belongs to the day it begins.
    coming = CronSim(event.when, (begin - timedelta(seconds=1)).astimezone(zone))
    return tuple(start.timestamp() for start in takewhile(lambda start: start < end, coming))
