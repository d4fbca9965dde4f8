"""Samples become steps: whatever arrives, the forecast sees one value or one gap per step.

Collectors repeat samples, deliver them late, restart, lose hours and have their clocks set back.
All of that is decided here, so that no expert has to think of it:

1. not a number, infinite, absurd or negative: a gap, never a zero;
2. the same step again or an older one: dropped, what was learnt from stays learnt from;
3. the third older one in a row: the clock was set back, and time goes on from where we were;
4. steps left out: that many gaps.
"""

import math
from dataclasses import dataclass

READING_MAX = 1e15
"""No workload serves a million times a billion of anything a second; such a reading is a fault."""
CLOCK_SET_BACK_SAMPLES = 3
"""One or two old samples are stragglers; three in a row are a new clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one sample means: so many gaps, then this value (NaN = a gap itself)."""

    gaps: int
    value: float


class Grid:
    """Steps of one fixed length, counted from the first sample."""

    def __init__(self, step_seconds: float) -> None:
        if not 0 < step_seconds < math.inf:
            raise ValueError(f"a step of {step_seconds} s is no step")
        self.step_seconds = step_seconds
        self.origin_seconds = math.nan
        self.newest_step = -1
        self.late_in_row = 0

    def place(self, t_seconds: float, value: float | None) -> Step | None:
        """What to learn from the sample; None for a late or repeated one."""
        if not math.isfinite(t_seconds):
            return None
        # Whole seconds may come as an integer, and a snapshot keeps the type it finds.
        t_seconds = float(t_seconds)
        usable = value is not None and 0 <= value <= READING_MAX
        number = float(value) if usable and value is not None else math.nan
        if self.newest_step < 0:
            self.origin_seconds = t_seconds
            self.newest_step = 0
            return Step(gaps=0, value=number)
        step = round((t_seconds - self.origin_seconds) / self.step_seconds)
        if step <= self.newest_step:
            # A repeated newest step is a retry of the collector and says nothing of its clock.
            self.late_in_row += step < self.newest_step
            if self.late_in_row < CLOCK_SET_BACK_SAMPLES:
                return None
            self.origin_seconds = t_seconds - (self.newest_step + 1) * self.step_seconds
            step = self.newest_step + 1
        gaps = step - self.newest_step - 1
        self.newest_step = step
        self.late_in_row = 0
        return Step(gaps=gaps, value=number)

    def relabel(self, seconds: float) -> None:
        """Move the times of all steps so far; the next sample is placed by the new ones."""
        self.origin_seconds += seconds

    def seconds_at(self, step: int) -> float:
        """The time of a step on the sample's own clock."""
        return float(self.origin_seconds + step * self.step_seconds)
