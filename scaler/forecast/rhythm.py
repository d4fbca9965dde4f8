"""When demand tends to rise: onsets by the minute of the hour and by the time of day, and bursts.

Scheduled work starts on the same minute whatever the day: in one public trace two bursts of five
times the level start at :02 or :32 of every other hour, in places where no level profile shows
them. So what is remembered here are rises in units of a usual change, per slot of the hour and of
the day, and how long ago, how far apart, how high and how long bursts have been. Slots are read
relative to their mean: 1 = like any other time.
"""

import numpy as np

from scaler.forecast.past import DAY_SECONDS, Floats, Indices, Past, Singles

HOUR_SECONDS = 3600.0
HOUR_SLOTS_MAX = 60
DAY_SLOTS_MAX = 288
RISE_MAX = 12.0
BURST_RISE = 4.0
"""A rise of so many usual changes starts a burst."""
SLOT_RATE_MIN = 0.12
"""A slot follows its last eight or so visits."""

VISITS_MAX = 255


class Slots:
    """Usual rises in each slot of one period."""

    def __init__(self, *, period_seconds: float, slots_max: int, step_seconds: float) -> None:
        self._steps = max(1, round(period_seconds / step_seconds))
        self._count = min(slots_max, self._steps)
        self.rise: Singles = np.ones(self._count, np.float32)
        self.swing: Singles = np.ones(self._count, np.float32)
        self.level: Singles = np.zeros(self._count, np.float32)
        self.visits = np.zeros(self._count, np.uint8)

    def learn(self, step: int, rise: float, swing: float, level: float) -> None:
        slot = step % self._steps * self._count // self._steps
        visits = min(int(self.visits[slot]) + 1, VISITS_MAX)
        self.visits[slot] = visits
        rate = max(SLOT_RATE_MIN * self._count / self._steps, 1.0 / (1.0 + visits))
        self.rise[slot] += rate * (rise - self.rise[slot])
        self.swing[slot] += rate * (swing - self.swing[slot])
        self.level[slot] += rate * (level - self.level[slot])

    def read(self, step: int, ahead: Indices) -> Floats:
        """Shape (horizons, 5): rise then, rise until then, rise near then, swing, level change."""
        slots = (step + ahead) % self._steps * self._count // self._steps
        now = step % self._steps * self._count // self._steps
        total = np.concatenate(([0.0], np.cumsum(np.concatenate((self.rise, self.rise)))))
        end = np.where(slots <= now, slots + self._count, slots) + 1
        mean = total[self._count] / self._count + 1e-3
        until = (total[end] - total[now + 1]) / (end - now - 1)
        start = np.maximum(now + 1, end - 4)
        near = (total[end] - total[start]) / (end - start)
        return np.column_stack((
            self.rise[slots] / mean,
            until / mean,
            near / mean,
            self.swing[slots] / (self.swing.sum() / self._count + 1e-3),
            self.level[slots] - self.level[now],
        ))  # fmt: skip


class Rhythm:
    """Onsets and bursts of one series."""

    def __init__(self, step_seconds: float) -> None:
        self.hour = Slots(
            period_seconds=HOUR_SECONDS, slots_max=HOUR_SLOTS_MAX, step_seconds=step_seconds
        )
        self.day = Slots(
            period_seconds=DAY_SECONDS, slots_max=DAY_SLOTS_MAX, step_seconds=step_seconds
        )
        self._has_hour = step_seconds * 4 <= HOUR_SECONDS
        self.bursts = 0
        self.burst_step = -1
        self.burst_before = 0.0
        self.burst_top = 0.0
        self.is_open = 0
        self.gap_steps = 0.0
        self.length_steps = 0.0

    def learn(self, past: Past, value: float) -> None:
        """Take in a value just before `past` does."""
        if past.measured < 2:  # noqa: PLR2004 - a change needs two values
            return
        usual = past.change[3] + 1e-6 * past.peak + 1e-9
        change = (value - past.last) / usual
        rise = min(max(change, 0.0), RISE_MAX)
        swing = min(abs(change), RISE_MAX)
        level = min(max((value - past.ewma[6]) / usual, -RISE_MAX), RISE_MAX)
        step = past.step + 1
        if self._has_hour:
            self.hour.learn(step, rise, swing, level)
        self.day.learn(step, rise, swing, level)
        self._follow_burst(past, step, value, change)

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

    def read(self, past: Past, ahead: Indices) -> Floats:
        """Shape (horizons, 15): hour slots, day slots, burst."""
        count = len(ahead)
        hour = self.hour.read(past.step, ahead) if self._has_hour else np.full((count, 5), np.nan)
        day = self.day.read(past.step, ahead)
        if not self.bursts:
            return np.column_stack((hour, day, np.full((count, 5), np.nan)))
        since = past.step - self.burst_step
        height = self.burst_top - self.burst_before + 1e-9
        then = since + ahead
        return np.column_stack((
            hour,
            day,
            np.full(count, np.log1p(since)),
            then / (self.gap_steps + 1.0) if self.bursts > 1 else np.full(count, np.nan),
            then / (self.length_steps + 1.0),
            np.full(count, (past.last - self.burst_before) / height if self.is_open else np.nan),
            np.full(count, np.log1p(past.measured / self.bursts)),
        ))  # fmt: skip
