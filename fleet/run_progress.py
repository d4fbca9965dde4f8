"""When a training run ends, by the steps that it has logged.

1. Only what came since the last restart tells the pace: a restart from a checkpoint repeats steps.
2. The pace is that of the last third of these points, because the first steps compile and fill
   caches, and data get longer.
3. An interval of more than twice the median of its steps has a pause in it: an evaluation, a
   checkpoint. Pauses do not count in the pace; their distance in steps tells how many are to come.

A run is stalled when no new largest step came for three times its longest interval, and for at
least half an hour. A restarted run first gets the time to repeat what it had lost, so that a run
that crashes at the same step again and again is stalled too.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from statistics import median
from typing import Final

STALLED_SECONDS_MIN: Final = 1800.0
SILENT_SECONDS_MAX: Final = 86_400.0
"""For a run that has logged fewer than two steps: nothing tells of its usual pause."""
_SILENT_INTERVALS: Final = 3.0
"""Times the longest interval."""
_PAUSE: Final = 2.0
"""Times the median, from which on an interval has a pause in it."""
_INTERVALS_MIN: Final = 8
"""That the pace is taken from, where there are so many."""
_MISSED_PAUSES: Final = 2.0
"""After which pauses of the past have no rhythm, and none is expected."""
_ROUNDING: Final = 1e-6
_SECONDS_MAX: Final = 315_576_000.0
"""Ten years: an end beyond is none."""


class Unit(StrEnum):
    """What progress is counted in."""

    STEPS = "steps"
    EPOCHS = "epochs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What tells how far a run has come."""

    metric: str
    total: float
    unit: Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """How far a run had come at a moment."""

    at_seconds: float
    done: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run has come, and when it is expected to end."""

    done: float | None = None
    total: float | None = None
    unit: Unit = Unit.STEPS
    ends_at_seconds: float | None = None
    """Of a stalled run, since when it counts as stalled; None = not known."""
    stalled: bool = False
    newest_seconds: float | None = None
    """When the last new step came; None = there was none."""
    too_long: bool = False
    """It logged more than is read, so that neither its end nor a stall is known."""


def progress_of(
    points: Iterable[Point],
    goal: Goal | None,
    started_seconds: float | None,
    now_seconds: float,
) -> Progress:
    """The progress of a run that is still running.

    Args:
        points: what it logged, in any order.
        goal: None = it does not tell when it is done.
        started_seconds: when the run began; None = not known.
        now_seconds: now.
    """
    unit = goal.unit if goal is not None else Unit.STEPS
    total = goal.total if goal is not None else None
    past = sorted(points, key=lambda one: one.at_seconds)
    pace = _pace(past)
    stalled_at = _stalled_at(past, pace, started_seconds)
    stalled = stalled_at is not None and now_seconds > stalled_at
    return Progress(
        done=past[-1].done if past else None,
        total=total,
        unit=unit,
        ends_at_seconds=stalled_at if stalled else _end(past, total, pace, now_seconds),
        stalled=stalled,
        newest_seconds=_largest(past).at_seconds if past else None,
    )


def _end(
    past: Sequence[Point], total: float | None, pace: "_Pace | None", now_seconds: float
) -> float | None:
    if not past or total is None:
        return None
    last = past[-1]
    if last.done >= total:
        return max(last.at_seconds, now_seconds)
    if pace is None:
        return None
    seconds = (total - last.done) * pace.step_seconds + pace.pauses_to_come(last.done, total)
    return max(now_seconds, last.at_seconds + seconds) if seconds <= _SECONDS_MAX else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pace:
    """How fast a run goes."""

    step_seconds: float
    """Of one step, pauses aside."""
    pause_seconds: float = 0.0
    pause_done: float = 0.0
    """How far the run was when the last pause began."""
    pause_every: float = 0.0
    """Steps from one pause to the next; 0 = there is no rhythm in them."""

    def pauses_to_come(self, done: float, total: float) -> float:
        """Seconds of all pauses until the end."""
        missed = done - self.pause_done > _MISSED_PAUSES * self.pause_every
        if missed or not self.pause_every:
            return 0.0
        last, first = self._pause_at(total), min(self._pause_at(done), 0.0)
        return self.pause_seconds * (last - first) if math.isfinite(last - first) else math.inf

    def _pause_at(self, done: float) -> float:
        """Which pause is the newest there; 0 = the last one seen, below 0 one before it."""
        rhythm = (done - self.pause_done) / self.pause_every + _ROUNDING
        return float(math.floor(rhythm)) if math.isfinite(rhythm) else rhythm


def _pace(past: Sequence[Point]) -> _Pace | None:
    """The pace since the last restart, else that before it; None = nothing tells it."""
    starts = [0, *_restarts(past), len(past)]
    found = (_pace_within(past[begin:end]) for begin, end in reversed([*pairwise(starts)]))
    return next((one for one in found if one is not None), None)


def _pace_within(past: Sequence[Point]) -> _Pace | None:
    """The pace of one start."""
    steps = [(a, b) for a, b in pairwise(_forward(past)) if b.at_seconds > a.at_seconds]
    if not steps:
        return None
    late = steps[-max(_INTERVALS_MIN, len(steps) // 3) :]
    usual = median(_step_seconds(*one) for one in late)
    even = [(a, b) for a, b in late if _step_seconds(a, b) <= _PAUSE * usual]
    step_seconds = sum(b.at_seconds - a.at_seconds for a, b in even) / sum(
        b.done - a.done for a, b in even
    )
    pauses = [(a, b) for a, b in steps if _step_seconds(a, b) > _PAUSE * usual]
    if len(pauses) < 2:  # noqa: PLR2004 - one pause has no rhythm
        return _Pace(step_seconds=step_seconds)
    lengths = [b.at_seconds - a.at_seconds - (b.done - a.done) * step_seconds for a, b in pauses]
    first, last = pauses[0][0].done, pauses[-1][0].done
    return _Pace(
        step_seconds=step_seconds,
        pause_seconds=median(lengths),
        pause_done=last,
        pause_every=(last - first) / (len(pauses) - 1),
    )


def _step_seconds(before: Point, after: Point) -> float:
    return (after.at_seconds - before.at_seconds) / (after.done - before.done)


def _forward(past: Sequence[Point]) -> list[Point]:
    """The points with a new step: several metrics and epochs may repeat one."""
    found: list[Point] = []
    for one in past:
        if not found or one.done > found[-1].done:
            found.append(one)
    return found


def _restarts(past: Sequence[Point]) -> list[int]:
    """Where the run went on from an earlier step."""
    return [
        index
        for index, (before, after) in enumerate(pairwise(past), start=1)
        if after.done < before.done
    ]


def _largest(past: Sequence[Point]) -> Point:
    """Where the run first came as far as it has ever been."""
    return max(past, key=lambda one: (one.done, -one.at_seconds))


def _stalled_at(
    past: Sequence[Point], pace: _Pace | None, started_seconds: float | None
) -> float | None:
    """When a run without a further step counts as stalled; None = not known."""
    pauses = [b.at_seconds - a.at_seconds for a, b in pairwise(past) if b.done > a.done]
    if not pauses:
        begun = past[0].at_seconds if past else started_seconds
        return None if begun is None else begun + SILENT_SECONDS_MAX
    allowed = max(STALLED_SECONDS_MIN, _SILENT_INTERVALS * max(pauses))
    largest, restarts = _largest(past), _restarts(past)
    if not restarts or pace is None:
        return largest.at_seconds + allowed
    lost = max(0.0, largest.done - past[restarts[-1]].done)
    repeats = past[restarts[-1]].at_seconds > largest.at_seconds
    return largest.at_seconds + allowed + (lost * pace.step_seconds if repeats else 0.0)
