"""The effect of a set wall clock on a series, also where it undoes an earlier step.

A clock set forward leaves a gap: a suspended virtual machine looks the same, and time did pass. A
clock set back moves the labels of the whole series, so that it continues in its open step. Both are
wrong once the clock is set right again. So steps of the last day are remembered, and a step in the
other direction first undoes the newest of them: it closes the gap, or it moves the labels back.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

REMEMBERED_SECONDS: Final = 86_400.0
"""A later step in the other direction is taken for another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Relabelling:
    """The labels of the whole series move by so many steps."""

    steps: int

    def moved(self, open_step: int) -> int:
        """The open step after this change."""
        return open_step + self.steps


@dataclass(frozen=True, slots=True, kw_only=True)
class GapClosing:
    """So many steps after `after_step` are taken out, and later ones move to their place."""

    after_step: int
    steps: int

    def moved(self, open_step: int) -> int:
        """The open step after this change; the first look after the gap may be yet to come."""
        return max(self.after_step, open_step - self.steps)


Change = Relabelling | GapClosing


@dataclass(slots=True, kw_only=True)
class ClockSteps:
    """The steps of the wall clock that may still be undone."""

    step_seconds: float
    """Of the series."""
    remembered: list[tuple[int, int]] = field(default_factory=list)
    """The step that was open, and by how many steps the clock was set; the newest last."""

    def copy(self) -> "ClockSteps":
        return ClockSteps(step_seconds=self.step_seconds, remembered=list(self.remembered))

    def changes(self, seconds: float, *, open_step: int) -> Iterator[Change]:
        """The changes of the series for a clock set by `seconds`; a gap needs none.

        Args:
            seconds: below 0 if the clock was set back.
            open_step: the step of the series that is not closed yet.
        """
        left = round(seconds / self.step_seconds)
        for change in self._undoing(left, open_step):
            left += change.steps if isinstance(change, GapClosing) else -change.steps
            open_step = change.moved(open_step)
            yield change
        if left < 0:
            yield self._relabelling(left)
            open_step += left
        if left:
            # A machine that is suspended each night sets its clock forward for ever.
            oldest = self._oldest(open_step)
            self.remembered = [(at, by) for at, by in self.remembered if at >= oldest]
            self.remembered.append((open_step, left))

    def _undoing(self, left: int, open_step: int) -> Iterator[Change]:
        oldest = self._oldest(open_step)
        while left and self.remembered:
            at, by = self.remembered[-1]
            if by * left > 0 or at < oldest:
                return
            undone = min(abs(by), abs(left))
            self.remembered.pop()
            if abs(by) > undone:
                self.remembered.append((at, by - undone if by > 0 else by + undone))
            left += undone if by > 0 else -undone
            yield (GapClosing(after_step=at, steps=undone) if by > 0 else self._relabelling(undone))

    def _oldest(self, open_step: int) -> float:
        """The first step whose change of the clock may still be undone."""
        return open_step - REMEMBERED_SECONDS / self.step_seconds

    def _relabelling(self, steps: int) -> Relabelling:
        self.remembered = [(at + steps, by) for at, by in self.remembered]
        return Relabelling(steps=steps)
