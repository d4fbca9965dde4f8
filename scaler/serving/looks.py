"""Looks at feeds: which are due, and the way of one look to the plans of its feed's workloads.

At each moment a feed whose last look has ended gets a new one. A feed whose look is still under way
gets it as soon as that one ends, so that one pass over all feeds that takes longer than a period
costs no look; it misses the moment if the next one comes before. Such a look, and one that waited
for its slot, is made as of the time at which it begins: a pod's page has the counters of then. The
looks at feeds that their group reads together are made as one, and no other look waits for their
answer. Looks wait for a slot of their own source, and the reading of one that has its slot ends
within its time limit. After it feeds are planned for one by one, those that wait for a slot when a
moment comes too, and the event loop turns between two.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from scaler.clock import Clock, WallTime
from scaler.decision.answers import Reference
from scaler.decision.tracker import PollResult
from scaler.errors import SourceError, SourceUnavailableError, alone
from scaler.evaluate import WorkloadPlan
from scaler.limits import Limit, exceeded
from scaler.serving.cycle_settings import PlanningSettings
from scaler.serving.faults import contained
from scaler.serving.feeds import LiveFeed
from scaler.serving.metrics import PlanningMetrics
from scaler.serving.plans import Plans
from scaler.serving.slots import InTurn, SourceSlots
from scaler.serving.workloads import Workloads
from scaler.signals import Absent, FeedGroup, Observation

_WORKLOADS_OF_A_TURN: Final = 8
"""Of one feed. A tenant may have a thousand of one model: each costs a millisecond or more."""


@dataclass(frozen=True, slots=True)
class DueLooks:
    """What one moment asks for."""

    together: Sequence[Sequence[LiveFeed]]
    """The feeds to look at, those in one list that are read together."""
    waiting: Sequence[LiveFeed]
    """Those whose last look still waits for a slot: it will be for this moment."""


class Looks:
    """Makes the looks of all feeds."""

    def __init__(  # noqa: PLR0913 - what a look needs, by name
        self,
        settings: PlanningSettings,
        *,
        workloads: Workloads,
        plans: Plans,
        slots: SourceSlots,
        wall: WallTime,
        steady: Clock,
        metrics: PlanningMetrics,
    ) -> None:
        self._settings = settings
        self._workloads = workloads
        self._plans = plans
        self._slots = slots
        self._wall = wall
        self._steady = steady
        self._metrics = metrics
        self._plan_turn = InTurn(1)
        """Held for a turn of the event loop by each feed, some of whose workloads are planned for.
        If all that are ready were planned for in one turn, what else the loop does would wait for
        hundreds. Namespaces have it in turn: where one has a thousand feeds, a feed of another
        waits for one of them."""

    async def until_planned(self) -> None:
        """Wait while feeds are planned for, for a period at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.look_period_seconds):
                await self._plan_turn.until_free()

    def due(self, moment: float) -> DueLooks:
        """The feeds to look at for this moment, and those whose look for an earlier one waits."""
        due: list[LiveFeed] = []
        waiting: list[LiveFeed] = []
        for live in self._workloads.feeds():
            live.due_at_seconds = moment
            if live.awaits_state(self._steady()):
                continue
            waits = live.in_flight and not live.reading
            if waits or live.is_late:
                self._metrics.looks_missed.labels(live.label).inc()
            live.is_late = live.reading
            if waits:
                waiting.append(live)
            elif not live.reading:
                due.append(live)
        return DueLooks(self._together(due), waiting)

    def late(self, lives: Sequence[LiveFeed]) -> list[list[LiveFeed]]:
        """Those of the feeds, whose look has just ended, that a moment came for meanwhile.

        Returns:
            The feeds to look at now, those in one list that are read together.
        """
        late = [live for live in lives if live.is_late and live.workloads]
        now = self._wall.now()
        for live in late:
            live.is_late, live.due_at_seconds = False, now
        return self._together(late)

    def _together(self, lives: Sequence[LiveFeed]) -> list[list[LiveFeed]]:
        """The looks that begin now."""
        groups: dict[FeedGroup, list[LiveFeed]] = {}
        for live in lives:
            groups.setdefault(live.group, []).append(live)
        together = [part for group, of in groups.items() for part in self._parts(group, of)]
        for part in together:
            for live in part:
                live.in_flight = True
        return together

    def _parts(self, group: FeedGroup, lives: Sequence[LiveFeed]) -> list[list[LiveFeed]]:
        with contained("feed_not_looked_at", _workloads_of(lives), self._metrics):
            parts = group.parts([live.feed for live in lives])
            return [[lives[position] for position in part] for part in parts]
        return []

    async def first_look(self, live: LiveFeed) -> None:
        """Look at a new feed now, off the grid."""
        live.in_flight = True
        self._workloads.absorb_clock_step()
        live.due_at_seconds = self._wall.now()
        _ = await self.look([live], is_first=True)

    async def look(
        self, lives: Sequence[LiveFeed], *, is_first: bool = False
    ) -> tuple[WorkloadPlan, ...]:
        """Look at feeds that are read together, and plan their workloads.

        Args:
            lives: of one group; the caller has set `in_flight`.
            is_first: whether KEDA has no answer about them yet: they are planned for at once.

        Returns:
            The plan of each workload; none if the look was dropped or met a fault of Foresail.
        """
        try:
            with contained("feed_not_looked_at", _workloads_of(lives), self._metrics):
                return await self._look(lives, is_first=is_first)
        finally:
            for live in lives:
                live.in_flight = live.reading = False
        return ()

    async def _look(self, lives: Sequence[LiveFeed], *, is_first: bool) -> tuple[WorkloadPlan, ...]:
        namespace = _namespace_of(lives[0])
        slots = self._slots.of(lives[0].source).looks
        if waits := slots.locked():
            exceeded(Limit.LOOKS_AT_ONCE)
        async with slots.slot(namespace):
            lives = [live for live in lives if live.workloads]
            if not lives:
                return ()  # forgotten while they waited
            for live in lives:
                live.reading = True
            self._workloads.absorb_clock_step()
            clock_steps = self._wall.steps
            at = self._wall.now() if waits else lives[0].due_at_seconds
            # The age of the reading, counted before the wall clock can be set again.
            looked_at = self._steady() - (self._wall.now() - at)
            answers = await self._read(lives, at)
        plans: list[WorkloadPlan] = []

        def still() -> bool:
            self._workloads.absorb_clock_step()
            return clock_steps == self._wall.steps

        for live, answer in zip(lives, answers, strict=True):
            # What has begun ends before more begins: where a pass over all takes longer than a
            # period, those that are done are looked at in time.
            ahead = is_first or live is not lives[0]
            plans += await self._plan_for(live, answer, at, looked_at, ahead=ahead, still=still)
        return tuple(plans)

    async def _read(
        self, lives: Sequence[LiveFeed], at: float
    ) -> Sequence[Observation | Exception]:
        limit, begun = self._settings.look_seconds_max, self._steady()
        try:
            async with asyncio.timeout(limit):
                feeds = [live.feed for live in lives]
                answers = await lives[0].group.observe(feeds, now_seconds=at)
                # They wait for their turn to be planned for, and their frames hold what was read.
                return [alone(one) if isinstance(one, SourceError) else one for one in answers]
        except TimeoutError:
            exceeded(Limit.READ_SECONDS)
            return [SourceUnavailableError(f"no answer within {limit:g} s")] * len(lives)
        finally:
            for live in lives:
                seconds = self._steady() - begun
                self._metrics.look_seconds.labels(live.label).observe(seconds)

    async def miss(self, lives: Sequence[LiveFeed], moment: float) -> None:
        """Plan for the feeds whose look still waits for a slot when its next moment comes.

        A look that has its slot ends within its time limit, with a better message. Those with the
        oldest result come first: where the next moment ends this pass, the others have their turn.
        """
        message = f"all {self._settings.looks_at_once} slots of its source are in use"
        for live in sorted(lives, key=_looked_at):
            still = partial(_waits, live, moment)
            if still():
                failure, now = SourceUnavailableError(message), self._steady()
                _ = await self._plan_for(live, failure, moment, now, ahead=False, still=still)

    async def _plan_for(
        self,
        live: LiveFeed,
        answer: Observation | Exception,
        at: float,
        looked_at: float,
        *,
        ahead: bool,
        still: Callable[[], bool],
    ) -> list[WorkloadPlan]:
        """Take the answer to a look, and plan for the feed's workloads, some in each turn.

        Args:
            answer: of the source; a fault of Foresail is contained.
            at: what the look is as of, in Unix time.
            looked_at: the same on the monotonic clock.
            ahead: of those of its namespace that wait.
            still: asked at the begin of each turn, whether to go on.
        """
        plans: list[WorkloadPlan] = []
        waiting: deque[Reference] | None = None
        namespace = _namespace_of(live)
        while waiting is None or waiting:
            async with self._plan_turn.slot(namespace, ahead=ahead or waiting is not None):
                if not still():
                    break
                begins, waiting = waiting is None, waiting or deque()
                with contained("feed_not_looked_at", live.workloads, self._metrics):
                    if begins:
                        live.take(_poll_of(answer, at), looked_at)
                        _count_disbelieved(live)
                        waiting.extend(live.workloads)
                    plans += self._some(live, waiting)
                await asyncio.sleep(0)
        return plans

    def _some(self, live: LiveFeed, waiting: "deque[Reference]") -> Iterator[WorkloadPlan]:
        """The plans of the next few that wait; one may have been forgotten since."""
        for _ in range(min(len(waiting), _WORKLOADS_OF_A_TURN)):
            workload = live.workloads.get(waiting.popleft())
            plan = None if workload is None else self._plans.plan(workload)
            if plan is not None:
                yield plan


def _namespace_of(live: LiveFeed) -> str | None:
    return live.key.scope.namespace


def _waits(live: LiveFeed, moment: float) -> bool:
    """Whether the feed's look for this moment, or an earlier one, still waits for a slot."""
    is_waiting = live.in_flight and not live.reading and bool(live.workloads)
    return is_waiting and live.due_at_seconds == moment


def _looked_at(live: LiveFeed) -> float:
    """When the feed's newest result was made, on the monotonic clock."""
    return -math.inf if live.looked is None else live.looked[1]


def _poll_of(answer: Observation | Exception, at_seconds: float) -> PollResult:
    """The poll result of one feed.

    Raises:
        Exception: a fault of Foresail in the reading of this feed.
    """
    if isinstance(answer, Observation):
        return PollResult(at_seconds=at_seconds, observation=answer)
    if not isinstance(answer, SourceError):
        raise answer
    return PollResult(at_seconds=at_seconds, observation=None, failure=answer)


def _workloads_of(lives: Sequence[LiveFeed]) -> list[Reference]:
    return [reference for live in lives for reference in live.workloads]


def _count_disbelieved(live: LiveFeed) -> None:
    """Count the numbers of the last look that exceed a bound."""
    observation = None if live.looked is None else live.looked[0].observation
    for reading in () if observation is None else observation.readings.values():
        if isinstance(reading, Absent) and reading.limit is not None:
            exceeded(reading.limit)
