"""Onset statistics: when demand tends to rise, by minute of the hour and time of day, and bursts.

Scheduled work starts on the same minute whatever the day: in one public trace two bursts of five
times the level start at :02 or :32 of every other hour, which a
profile of levels does not show. So this module keeps rises in units of a usual change, per slot of
the hour and of the day, and the age, spacing, height and length of bursts. Slots are reported
relative to their mean: 1 = average.
"""

from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import accumulate

import numpy as np

from scaler.forecast.past import DAY_SECONDS, Floats, Indices, Past, Singles

HOUR_SECONDS = 3600.0
HOUR_SLOTS_MAX = 60
DAY_SLOTS_MAX = 288
RISE_MAX = 12.0
BURST_RISE = 4.0
"""A rise of at least this many usual changes starts a burst."""
SLOT_RATE_MIN = 0.12
"""A slot averages over about its last eight visits."""
NEAR_SLOTS = 4
VISITS_MAX = 255
READ = 5
"""Numbers read per horizon of a period, and of the bursts."""
REACHES_KEPT = 1536
"""A day of one-minute steps; the cache is shared by all workloads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Periods:
    """The hour and the day, cut into consecutive slots."""

    steps: tuple[int, ...]
    counts: tuple[int, ...]
    firsts: tuple[int, ...]


@cache
def periods(step_seconds: float) -> Periods:
    """The day, and the hour where it holds at least four steps."""
    known = [(HOUR_SECONDS, HOUR_SLOTS_MAX), (DAY_SECONDS, DAY_SLOTS_MAX)]
    if step_seconds * 4 > HOUR_SECONDS:
        del known[0]
    steps = tuple(max(1, round(seconds / step_seconds)) for seconds, _ in known)
    counts = tuple(min(most, count) for (_, most), count in zip(known, steps, strict=True))
    firsts = tuple(accumulate(counts[:-1], initial=0))
    return Periods(steps=steps, counts=counts, firsts=firsts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """The slots between one step and the horizons; arrays of shape (..., periods, horizons)."""

    now: Indices
    slots: Indices
    edges: Indices
    """In sums over all slots: behind now, NEAR_SLOTS before the horizon, behind the horizon."""
    wraps: Indices
    """Number of completed periods before each edge."""
    lengths: Indices
    """Slots from the first and from the second edge to the third."""


class Reaches:
    """The slots that some horizons reach from any step: one for all workloads."""

    def __init__(self, step_seconds: float, ahead: Indices) -> None:
        self.ahead = ahead
        self._periods = periods(step_seconds)
        self.counts = np.array(self._periods.counts)[:, None]
        self.firsts = np.array(self._periods.firsts)[:, None]
        self._from = lru_cache(maxsize=REACHES_KEPT)(self._work_out)

    def at(self, step: int) -> Reach:
        return self._from(*(step % steps for steps in self._periods.steps))

    def _work_out(self, *step: int) -> Reach:
        at, steps = np.array(step)[:, None], np.array(self._periods.steps)[:, None]
        counts, firsts = self.counts, self.firsts
        slots = (at + self.ahead) % steps * counts // steps
        now = at * counts // steps
        end = np.where(slots <= now, slots + counts, slots) + 1
        begin = np.broadcast_to(now + 1, end.shape)
        edges = np.stack((begin, np.maximum(begin, end - NEAR_SLOTS), end))
        return Reach(
            now=firsts + now,
            slots=firsts + slots,
            edges=firsts + edges % counts,
            wraps=edges // counts,
            lengths=end - edges[:2],
        )


class Slots:
    """Mean rise in each slot."""

    def __init__(self, step_seconds: float) -> None:
        self._periods = periods(step_seconds)
        count = sum(self._periods.counts)
        self.rise: Singles = np.ones(count, np.float32)
        self.swing: Singles = np.ones(count, np.float32)
        self.level: Singles = np.zeros(count, np.float32)
        self.visits = np.zeros(count, np.uint8)

    def learn(self, step: int, rise: float, swing: float, level: float) -> None:
        cut = self._periods
        for first, steps, count in zip(cut.firsts, cut.steps, cut.counts, strict=True):
            slot = first + step % steps * count // steps
            visits = min(int(self.visits[slot]) + 1, VISITS_MAX)
            self.visits[slot] = visits
            rate = max(SLOT_RATE_MIN * count / steps, 1.0 / (1.0 + visits))
            self.rise[slot] += rate * (rise - self.rise[slot])
            self.swing[slot] += rate * (swing - self.swing[slot])
            self.level[slot] += rate * (level - self.level[slot])

    def read(self, step: int, reaches: Reaches) -> Floats:
        """Shape (periods, READ, horizons).

        Rise then, rise until then, rise near then, swing then, change of level.
        """
        reach, counts, firsts = reaches.at(step), reaches.counts, reaches.firsts
        total = np.zeros(len(self.rise) + 1)
        np.cumsum(self.rise, out=total[1:])
        period = total[firsts + counts] - total[firsts]
        edge = total[reach.edges] + reach.wraps * period
        read = np.empty((len(counts), READ, reach.slots.shape[1]))
        read[:, 0] = self.rise[reach.slots]
        read[:, 1:3] = ((edge[2] - edge[:2]) / reach.lengths).transpose(1, 0, 2)
        read[:, :3] /= (period / counts + 1e-3)[:, None]
        swing = np.add.reduceat(self.swing, firsts[:, 0])[:, None] / counts
        read[:, 3] = self.swing[reach.slots] / (swing + 1e-3)
        read[:, 4] = self.level[reach.slots] - self.level[reach.now]
        return read


class Rhythm:
    """Onsets and bursts of one series."""

    def __init__(self, step_seconds: float) -> None:
        self.slots = Slots(step_seconds)
        self.bursts = 0
        self.burst_step = -1
        self.burst_before = 0.0
        self.burst_top = 0.0
        self.is_open = 0
        self.gap_steps = 0.0
        self.length_steps = 0.0

    def learn(self, past: Past, value: float) -> None:
        """Update with a value, before `past` is updated."""
        if past.measured < 2:  # noqa: PLR2004 - a change needs two values
            return
        usual = past.change[3] + 1e-6 * past.peak + 1e-9
        change = (value - past.last) / usual
        rise = min(max(change, 0.0), RISE_MAX)
        swing = min(abs(change), RISE_MAX)
        level = min(max((value - past.ewma[6]) / usual, -RISE_MAX), RISE_MAX)
        step = past.step + 1
        self.slots.learn(step, rise, swing, level)
        self._follow_burst(past, step, value, change)

    def close_gap(self, after: int, steps: int) -> None:
        """Move a burst that began after the step `after` with its values."""
        if self.burst_step > after:
            self.burst_step = max(after, self.burst_step - steps)

    def _follow_burst(self, past: Past, step: int, value: float, change: float) -> None:
        if self.is_open:
            self.burst_top = max(self.burst_top, value)
            length = step - self.burst_step
            fallen = value < 0.5 * (self.burst_before + self.burst_top)
            if fallen or length > 8 * max(self.length_steps, 60.0):
                self.is_open = 0
                self.length_steps += max(0.2, 1.0 / self.bursts) * (length - self.length_steps)
        elif change > BURST_RISE:
            if self.bursts:
                gap = step - self.burst_step
                self.gap_steps += max(0.2, 1.0 / self.bursts) * (gap - self.gap_steps)
            self.bursts += 1
            self.is_open = 1
            self.burst_step = step
            self.burst_before = past.ewma[3]
            self.burst_top = value

    def read(self, past: Past, reaches: Reaches) -> Floats:
        """Shape (horizons, 3 * READ): slots of the hour, of the day, burst; NaN = unknown."""
        slots = self.slots.read(past.step, reaches)
        read = np.full((3, READ, len(reaches.ahead)), np.nan)
        read[2 - len(slots) : 2] = slots
        if self.bursts:
            self._read_burst(past, reaches.ahead, read[2])
        return read.reshape(-1, len(reaches.ahead)).T

    def _read_burst(self, past: Past, ahead: Indices, read: Floats) -> None:
        since = past.step - self.burst_step
        then = since + ahead
        read[0] = np.log1p(since)
        if self.bursts > 1:
            read[1] = then / (self.gap_steps + 1.0)
        read[2] = then / (self.length_steps + 1.0)
        if self.is_open:
            height = self.burst_top - self.burst_before + 1e-9
            read[3] = (past.last - self.burst_before) / height
        read[4] = np.log1p(past.measured / self.bursts)
