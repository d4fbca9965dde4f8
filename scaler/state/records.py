"""The state of a workload and of a feed, and the reasons for which one is refused.

A workload is a trigger of a ScaledObject; its state is small and changes at every look. A feed is
the series that it is planned from, which workloads may share; its state is a hundred times larger
and changes at every step of the forecast.

Losing a state costs accuracy for a while and nothing else, so a reader refuses every doubtful one.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from scaler.decision.answers import Answer, Reference
from scaler.decision.demand import Mix
from scaler.decision.plan import PlanState, ReplicaPlan
from scaler.decision.series import DemandSeries, amount
from scaler.decision.tracker import TrackerState
from scaler.errors import ForesailError

CLOCK_SECONDS_MAX = 60.0
"""Clocks of two nodes may differ so much; a state from further ahead was made by a wrong clock."""
FEED_AGE_SECONDS_MAX = 7 * 86400.0
"""A forecaster keeps eight days of its series: of an older state only the weights are left."""


class RefusalReason(StrEnum):
    """Why a state is not used."""

    CORRUPTED = "corrupted"
    NEWER = "newer_format"
    FUTURE = "from_the_future"
    OLD = "too_old"
    LARGE = "too_large"
    FOREIGN = "foreign"
    """Of another feed, or of a forecaster made in another way."""


class StateRefusedError(ForesailError):
    """A state that is not used; the message names its owner and the fault."""

    def __init__(self, reason: RefusalReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """One figure learned from a workload, as its learner wrote it."""

    version: int
    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadState:
    """The kept state of one workload."""

    reference: Reference
    asked_at_seconds: float
    """When KEDA last asked about it."""
    answer: Answer | None = None
    """The last answer, with the time of its reading; None before the first."""
    memory: PlanState = field(default_factory=PlanState)
    plan: ReplicaPlan | None = None
    """The last plan; None before the first."""
    learned: Mapping[str, Learned] = field(default_factory=dict)
    unknown: bytes = b""
    """Fields that a newer program wrote, to be passed on."""

    @property
    def made_at_seconds(self) -> float:
        """When its answer was read, or −∞ without one: of two states the later one is newer."""
        return self.answer.made_at_seconds if self.answer is not None else float("-inf")

    def check(self, now_seconds: float) -> None:
        """Refuse a state that a wrong clock made.

        Raises:
            StateRefusedError: one of its times lies ahead of `now_seconds`.
        """
        times = [self.asked_at_seconds]
        times += [self.answer.made_at_seconds] if self.answer is not None else []
        times += [self.plan.at_seconds] if self.plan is not None else []
        times += [at for at, _ in self.memory.needs]
        times += [order.at_seconds for order in self.memory.orders]
        for at_seconds in times:
            _refuse_future(f"state of {self.reference}", at_seconds, now_seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedState:
    """The kept state of one feed."""

    key: str
    taken_at_seconds: float
    tracker: TrackerState
    learned: Mapping[str, Learned] = field(default_factory=dict)
    unknown: bytes = b""
    """Fields that a newer program wrote, to be passed on."""

    def check(self, key: str, now_seconds: float) -> None:
        """Refuse a state of another feed, of a wrong clock, or of a time long past.

        Raises:
            StateRefusedError: naming the fault.
        """
        if self.key != key:
            message = f"state of feed {self.key!r} where {key!r} was asked for"
            raise StateRefusedError(RefusalReason.FOREIGN, message)
        _refuse_future(f"state of feed {key!r}", self.taken_at_seconds, now_seconds)
        age = now_seconds - self.taken_at_seconds
        if age > FEED_AGE_SECONDS_MAX:
            message = f"state of feed {key!r} is {age / 86400:.1f} days old"
            raise StateRefusedError(RefusalReason.OLD, message)
        self._refuse_absurd(now_seconds)

    def _refuse_absurd(self, now_seconds: float) -> None:
        """Refuse what no tracker makes: with it the feed would be read and never planned right.

        A tracker drops looks from before its open step, so a step far ahead would stop the feed.
        """
        what, tracker = f"state of feed {self.key!r}", self.tracker
        if tracker.open_step is not None:
            opened = tracker.open_step * tracker.step_seconds
            _refuse_future(f"the open step in the {what}", opened, now_seconds)
            if now_seconds - opened > FEED_AGE_SECONDS_MAX:
                message = f"the open step in the {what} is of {opened:.0f}"
                raise StateRefusedError(RefusalReason.OLD, message)
        for at_step, steps in tracker.clock_steps:
            if tracker.open_step is None or at_step > tracker.open_step or steps == 0:
                message = f"the {what} has a clock set by {steps} in step {at_step}"
                raise StateRefusedError(RefusalReason.CORRUPTED, message)
        demands = [one for one in (*tracker.looks, tracker.demand) if one is not None]
        memory = tracker.demand_state
        for at_seconds in (
            *(demand.at_seconds for demand in demands),
            *((memory.mix.at_seconds, memory.waiting_at_seconds) if memory is not None else ()),
        ):
            _refuse_future(f"a look in the {what}", at_seconds, now_seconds)
        mix = memory.mix if memory is not None else Mix(at_seconds=0.0)
        amounts = [
            *(amount(demand, series) for demand in demands for series in DemandSeries),
            *(mix.requests, mix.prompt_tokens, mix.generated_tokens),
            memory.waiting if memory is not None else None,
        ]
        for number in amounts:
            if number is not None and not 0 <= number < math.inf:
                message = f"the {what} has a demand of {number:g}"
                raise StateRefusedError(RefusalReason.CORRUPTED, message)


def _refuse_future(what: str, at_seconds: float, now_seconds: float) -> None:
    # Written so that a time that is not a number is refused too.
    if not at_seconds - now_seconds <= CLOCK_SECONDS_MAX:
        message = f"{what} is of {at_seconds:.0f}, {at_seconds - now_seconds:.0f} s from now"
        raise StateRefusedError(RefusalReason.FUTURE, message)
