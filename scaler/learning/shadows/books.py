"""The books: for each of the last days what every shadow cost, and how much of its work was late.

A day lasts from one choice to the next: from 04:00 to 04:00 in the time zone of the trigger.
Late shares are of work, weighted by its load; a minute that was not measured is in no sum.
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property, lru_cache
from itertools import compress
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from scaler.learning.shadows.settings import SETTINGS, SHADOWS, Floats

DAYS: Final = 8
"""Days in the books: the one that is open, and seven before it."""
WHOLE_DAY_MINUTES: Final = 720.0
"""A closed day with fewer measured minutes tells nothing of a day."""
CHOICE_HOUR: Final = 4
"""Local hour at which a day ends, and a choice is made: few workloads have their peak then."""

_GPU: Final = slice(0, SHADOWS)
_LATE: Final = slice(SHADOWS, 2 * SHADOWS)
(
    _MINUTES,
    _LOAD,
    _PEAK,
    _PAID,
    _PLANNED,
    _SHADOWED,
    _JUDGED_LOAD,
    _JUDGED_LATE,
    _MODELLED_LATE,
    _PAID_MINUTES,
    _COUNTED_MINUTES,
    _COMPARED,
) = range(2 * SHADOWS, 2 * SHADOWS + 12)
COLUMNS: Final = 2 * SHADOWS + 12
_ON_REQUESTS: Final = slice(SETTINGS, SHADOWS - 1)
"""The rules that count requests: all that people use but a fixed number."""
_MEASURED_MIN: Final = 0.9
"""Share of the minutes in which a figure must be measured to stand for all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Minute:
    """What one minute adds, beside the shadows."""

    load: float
    paid: float | None
    """Real replicas that cost; None where not measured."""
    planned: float
    """Replicas that the plan wanted."""
    comparable: bool
    """Whether they are to be compared with the next."""
    shadowed: float
    """What the shadow of the setting in force wanted."""
    late: float | None
    """Measured share of late requests; None where not measured."""
    modelled: float | None
    """The model's share for the real replicas; None where they are not measured."""
    counted: bool
    """Whether requests are counted: rules that need them keep their replicas otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Books:
    """Sums by day, the newest day first."""

    days: tuple[int, ...]
    """Ordinal of each day."""
    sums: NDArray[np.float32]
    """[day, column]."""

    def opened(self, day: int) -> "Books":
        """With a row for this day, and without days that are too old."""
        if self.days and self.days[0] == day:
            return self
        # A clock that was set back leaves days that are not over, or not begun, yet.
        kept = [day - DAYS < one < day for one in self.days]
        return Books(
            days=(day, *compress(self.days, kept)),
            sums=np.concatenate([np.zeros((1, COLUMNS), np.float32), self.sums[kept]]),
        )

    def with_minute(self, gpu: Floats, late: Floats, minute: Minute) -> "Books":
        """With one more minute of the open day.

        Args:
            gpu: replica-minutes by shadow.
            late: share of late work by shadow.
        """
        sums = self.sums.copy()
        row = sums[0]
        row[_GPU] += gpu
        row[_LATE] += late * minute.load
        row[_MINUTES] += 1
        row[_LOAD] += minute.load
        row[_PEAK] = max(row[_PEAK], minute.load)
        row[_COUNTED_MINUTES] += minute.counted
        if minute.paid is not None:
            row[_PAID] += minute.paid
            row[_PAID_MINUTES] += 1
        row[_PLANNED] += minute.planned
        if minute.comparable:
            row[_COMPARED] += minute.planned
            row[_SHADOWED] += minute.shadowed
        if minute.late is not None and minute.modelled is not None:
            row[_JUDGED_LOAD] += minute.load
            row[_JUDGED_LATE] += minute.late * minute.load
            row[_MODELLED_LATE] += minute.modelled * minute.load
        return Books(days=self.days, sums=sums)

    def with_gpu(self, gpu: Floats) -> "Books":
        """With more replica-minutes by shadow in the open day, if there is one."""
        if not self.days:
            return self
        sums = self.sums.copy()
        sums[0, _GPU] += gpu
        return Books(days=self.days, sums=sums)

    def moved(self, days: int) -> "Books":
        """The same, of so many days later."""
        return Books(days=tuple(day + days for day in self.days), sums=self.sums)

    def closed(self) -> "Days":
        """The whole days before the newest one."""
        closed = self.sums[1:]
        return Days(sums=closed[closed[:, _MINUTES] >= WHOLE_DAY_MINUTES].astype(np.float64))

    def all(self) -> "Days":
        """Every day, the open one too."""
        return Days(sums=self.sums.astype(np.float64))

    @property
    def load_mean(self) -> float:
        """Of all minutes that are booked; 0 before there is one."""
        minutes = float(self.sums[:, _MINUTES].sum())
        return float(self.sums[:, _LOAD].sum()) / minutes if minutes else 0.0

    @property
    def peak_before(self) -> float:
        """The busiest minute's load on the last whole day; before one, in all that is booked."""
        whole = self.closed().sums
        peaks = whole[:1] if len(whole) else self.sums
        return float(peaks[:, _PEAK].max(initial=0.0))


EMPTY: Final = Books(days=(), sums=np.zeros((0, COLUMNS), np.float32))


@dataclass(frozen=True, kw_only=True, eq=False)
class Days:
    """Some days of the books, for those who read them."""

    sums: Floats

    def __len__(self) -> int:
        return len(self.sums)

    @property
    def minutes(self) -> float:
        return self._sum(_MINUTES)

    @property
    def gpu_hours(self) -> Floats:
        """By shadow, over all days; NaN where it is not known. One replica counts as one GPU."""
        return self._known(self._totals[_GPU] / 60)

    @property
    def late_shares(self) -> Floats:
        """By shadow, over all days; NaN where it is not known, or nothing was asked for."""
        return self._known(_ratio(self._totals[_LATE], self._sum(_LOAD)))

    @property
    def late_by_day(self) -> Floats:
        """[day, shadow]; a day on which nothing was asked for has none late."""
        loads = self.sums[:, _LOAD, None]
        return np.divide(
            self.sums[:, _LATE],
            loads,
            out=np.zeros_like(self.sums[:, _LATE]),
            where=loads > 0,
        )

    @property
    def paid_hours(self) -> float:
        """Of the real replicas; NaN where they were not measured most of the time."""
        measured = self._sum(_PAID_MINUTES)
        if not self._mostly(measured):
            return math.nan
        return self._sum(_PAID) / measured * self.minutes / 60

    @property
    def measured_late(self) -> float:
        """Share of late work as measured; NaN without a measurement."""
        return float(_ratio(self._sum(_JUDGED_LATE), self._sum(_JUDGED_LOAD)))

    @property
    def modelled_late(self) -> float:
        """The model's share for the real replicas, over the same minutes."""
        return float(_ratio(self._sum(_MODELLED_LATE), self._sum(_JUDGED_LOAD)))

    @property
    def shadowed_ratio(self) -> float:
        """Replicas of the shadow of the setting in force over the planned ones, on average.

        NaN where they were never to be compared.
        """
        return float(_ratio(self._sum(_SHADOWED), self._sum(_COMPARED)))

    @property
    def planned_hours(self) -> float:
        """Of the replicas that the plan wanted, corrections included."""
        return self._sum(_PLANNED) / 60

    def _known(self, by_shadow: Floats) -> Floats:
        if self._mostly(self._sum(_COUNTED_MINUTES)):
            return by_shadow
        known = by_shadow.copy()
        known[_ON_REQUESTS] = np.nan
        return known

    def _mostly(self, measured_minutes: float) -> bool:
        return measured_minutes > 0 and measured_minutes >= _MEASURED_MIN * self.minutes

    def _sum(self, column: int) -> float:
        return float(self._totals[column])

    @cached_property
    def _totals(self) -> Floats:
        """[column], over the days."""
        totals: Floats = self.sums.sum(axis=0)
        return totals


def day_of(at_seconds: float, timezone: str) -> int:
    """Ordinal of the day in the books that a moment belongs to."""
    local = datetime.fromtimestamp(at_seconds, _zone(timezone)).replace(tzinfo=None)
    return (local - timedelta(hours=CHOICE_HOUR)).toordinal()


@lru_cache(maxsize=64)
def _zone(timezone: str) -> ZoneInfo:
    return ZoneInfo(timezone)


def _ratio(part: Floats | float, whole: float) -> Floats:
    return np.asarray(part) / whole if whole > 0 else np.full_like(np.asarray(part), np.nan)
