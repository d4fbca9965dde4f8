"""Samples to grid steps: the ensemble gets exactly one value or one gap per step.

Collectors repeat samples, deliver them late, restart, lose hours and have their clocks set back.
This module handles all of it, and the experts none:

1. NaN, infinite, above `READING_MAX` or negative: a gap, never a zero;
2. the same step again, or an older one: dropped, because learning cannot be undone;
3. the third older one in a row: the clock was set back, and the grid continues from the last step;
4. skipped steps: one gap each.
"""

import math
from dataclasses import dataclass

from scaler.signals import READING_MAX

CLOCK_SET_BACK_SAMPLES = 3
"""Older samples in a row that mean a clock set back; one or two are late samples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GridStep:
    """One sample on the grid: the number of gaps before it, and its value (NaN = a gap)."""

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

    def place(self, t_seconds: float, value: float | None) -> GridStep | None:
        """The sample on the grid; None for a late or repeated one."""
        if not math.isfinite(t_seconds):
            return None
        # Whole seconds may come as an integer, and a snapshot keeps the type it finds.
        t_seconds = float(t_seconds)
        usable = value is not None and 0 <= value <= READING_MAX
        number = float(value) if usable and value is not None else math.nan
        if self.newest_step < 0:
            self.origin_seconds = t_seconds
            self.newest_step = 0
            return GridStep(gaps=0, value=number)
        step = round((t_seconds - self.origin_seconds) / self.step_seconds)
        if step <= self.newest_step:
            # A repeated newest step is a retry of the collector, not a clock set back.
            self.late_in_row += step < self.newest_step
            if self.late_in_row < CLOCK_SET_BACK_SAMPLES:
                return None
            self.origin_seconds = t_seconds - (self.newest_step + 1) * self.step_seconds
            step = self.newest_step + 1
        gaps = step - self.newest_step - 1
        self.newest_step = step
        self.late_in_row = 0
        return GridStep(gaps=gaps, value=number)

    def relabel(self, seconds: float) -> None:
        """Move the times of all steps so far; the next sample is placed by the new ones."""
        self.origin_seconds += seconds

    def close_gap(self, after_seconds: float, steps: int) -> tuple[int, int]:
        """Take out the steps after the one of `after_seconds`, but no more than there are.

        Returns:
            That step, and how many were taken out.
        """
        if self.newest_step < 0:
            return -1, 0
        after = round((after_seconds - self.origin_seconds) / self.step_seconds)
        taken = max(0, min(steps, self.newest_step - after)) if after >= 0 else 0
        self.newest_step -= taken
        return after, taken

    def seconds_at(self, step: int) -> float:
        """The time of a step on the sample's own clock."""
        return float(self.origin_seconds + step * self.step_seconds)
