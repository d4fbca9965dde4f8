"""Schedules of disruption budgets, as Karpenter reads them.

Karpenter takes robfig/cron v3, `ParseStandard`: days of the week are 0 to 6, a range does not wrap,
and there is no L, W or #. The API server lets nearly any five words in.
"""

import re
from dataclasses import dataclass
from typing import Final

_CHARACTERS_MAX: Final = 128
_ALIASES: Final = frozenset(
    {"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"}
)
_NUMBER: Final = re.compile(r"\+?[0-9]{1,18}")
_DAYS_OF_MONTH: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    name: str
    least: int
    most: int
    names: tuple[str, ...] = ()
    """Of the numbers from the least on."""

    def number(self, text: str) -> int:
        if text.lower() in self.names:
            return self.least + self.names.index(text.lower())
        return _number(text)


_DAY: Final = _Field(name="day of the month", least=1, most=31)
_MONTH: Final = _Field(
    name="month",
    least=1,
    most=12,
    names=("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
)
_WEEKDAY: Final = _Field(
    name="day of the week",
    least=0,
    most=6,
    names=("sun", "mon", "tue", "wed", "thu", "fri", "sat"),
)
_FIELDS: Final = (
    _Field(name="minute", least=0, most=59),
    _Field(name="hour", least=0, most=23),
    _DAY,
    _MONTH,
    _WEEKDAY,
)


def schedule_fault(schedule: object) -> str | None:
    """Why Karpenter cannot read a schedule; None = it can."""
    if not isinstance(schedule, str) or len(schedule) > _CHARACTERS_MAX:
        return "not five cron fields"
    if schedule in _ALIASES:
        return None
    words = schedule.split()
    if len(words) != len(_FIELDS):
        return "not five cron fields"
    for field, word in zip(_FIELDS, words, strict=True):
        try:
            _values(word, field)
        except ValueError:
            names = f" or {field.names[0]} to {field.names[-1]}" if field.names else ""
            return (
                f"{word[:32]!r} is no {field.name}: it takes {field.least} to {field.most}{names}, "
                "ranges from low to high, and steps"
            )
    return None


def never_begins(schedule: str) -> bool:
    """Whether no year has the day of a schedule that can be read, such as February 31.

    Karpenter takes such a budget for one that is active at all times.
    """
    words = schedule.split()
    if len(words) != len(_FIELDS) or words[4] not in {"*", "?"}:
        return False
    days, months = _values(words[2], _DAY), _values(words[3], _MONTH)
    return not any(day <= _DAYS_OF_MONTH[month - 1] for month in months for day in days)


def _values(word: str, field: _Field) -> set[int]:
    """The values that a field names.

    Raises:
        ValueError: it cannot be read.
    """
    found: set[int] = set()
    for one in word.split(","):
        if one:  # robfig leaves empty ones out
            found |= _range(one, field)
    return found


def _range(text: str, field: _Field) -> set[int]:
    ends, has_step, step_text = text.partition("/")
    first, has_last, last = ends.partition("-")
    step = _number(step_text) if has_step else 1
    if first in {"*", "?"}:
        low, high = field.least, field.most
    else:
        low = field.number(first)
        high = field.number(last) if has_last else field.most if has_step else low
    if not field.least <= low <= high <= field.most or step < 1:
        raise ValueError(text)
    return set(range(low, high + 1, step))


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    return int(text)
