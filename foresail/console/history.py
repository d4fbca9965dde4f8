"""The past of workloads, as far as the console keeps it: bounded for each, and in memory only."""

from array import array
from collections import deque
from dataclasses import dataclass, field
from math import nan
from typing import Final

from foresail.console.records import Decision, Series
from foresail.console.workload_row import demand_of, ready_of
from foresail.plans_api.plan import Plan

_SAMPLE: Final = 4
"""Numbers of one sample: its time, demand, planned and ready replicas."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much is kept of each workload."""

    step_seconds: float = 60.0
    samples_max: int = 360
    decisions_max: int = 12


@dataclass(slots=True)
class History:
    """The past of one workload."""

    bounds: Bounds
    _numbers: "array[float]" = field(default_factory=lambda: array("d"))
    _decisions: deque[Decision] = field(default_factory=deque)
    _planned: int | None = None

    def take(self, plan: Plan) -> None:
        """Take a plan; those within a step of the last sample only count if they decide anew."""
        at = plan.looked_at_seconds
        if at is None:
            return
        if at >= self._last_seconds() + self.bounds.step_seconds:
            self._sample(at, plan)
        self._decide(plan)

    @property
    def series(self) -> Series:
        """The samples. A time without looks has one sample that knows nothing."""
        numbers = self._numbers[:]  # pages are drawn in a thread of their own
        columns = [tuple(numbers[place::_SAMPLE]) for place in range(_SAMPLE)]
        return Series(
            at_seconds=columns[0], demand=columns[1], planned=columns[2], ready=columns[3]
        )

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """The newest first."""
        return tuple(self._decisions)[::-1]

    def _last_seconds(self) -> float:
        return self._numbers[-_SAMPLE] if self._numbers else float("-inf")

    def _sample(self, at: float, plan: Plan) -> None:
        last, step = self._last_seconds(), self.bounds.step_seconds
        if self._numbers and at - last > 3 * step:
            self._numbers.extend((last + step, nan, nan, nan))
        stands = plan.plan is not None and plan.valid_for_seconds is not None
        planned = float(plan.plan.planned) if plan.plan is not None and stands else nan
        self._numbers.extend((at, _or_nan(demand_of(plan)), planned, _or_nan(ready_of(plan))))
        surplus = len(self._numbers) - _SAMPLE * self.bounds.samples_max
        if surplus > 0:
            self._numbers = self._numbers[surplus:]

    def _decide(self, plan: Plan) -> None:
        made = plan.plan
        if made is None or made.planned == self._planned:
            return
        self._decisions.append(
            Decision(
                at_seconds=made.at_seconds,
                planned=made.planned,
                before=self._planned,
                steps=made.steps,
            )
        )
        self._planned = made.planned
        if len(self._decisions) > self.bounds.decisions_max:
            self._decisions.popleft()


def _or_nan(value: float | None) -> float:
    return nan if value is None else float(value)
