"""The planning cycle: look at each feed, plan its workloads, publish the outcomes for KEDA.

The parts, in the order in which a cycle uses them: `Pace` waits for the next moment, `Looks` begins
a look at each feed that is due, and `Plans` turns each poll result into plans and outcomes.
`Workloads` keeps the workloads and feeds, which come and go between the moments.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence

from scaler.clock import Clock, WallTime
from scaler.decision.answers import Reference
from scaler.evaluate import WorkloadPlan
from scaler.feed_key import FeedKey
from scaler.serving.changes import Changes
from scaler.serving.cycle_settings import PlanningSettings
from scaler.serving.faults import contained
from scaler.serving.feeds import LiveFeed, WorkloadStatus
from scaler.serving.looks import Looks
from scaler.serving.metrics import PlanningMetrics
from scaler.serving.pace import Pace
from scaler.serving.plan_book import NoReaders, PlanChanges
from scaler.serving.plans import Plans, Publish
from scaler.serving.restoring import Restorer
from scaler.serving.shares import Shares
from scaler.serving.slots import SourceSlots
from scaler.serving.state_book import StateBook
from scaler.serving.workloads import Connect, Workloads
from scaler.state.records import FeedState
from scaler.trigger import TriggerSpec


class PlanningCycle:
    """The cycle over all feeds. `run` owns every task it starts."""

    def __init__(  # noqa: PLR0913 - the cycle's edges, all by name but what it is about
        self,
        connect: Connect,
        settings: PlanningSettings,
        *,
        publish: Publish,
        wall: Clock,
        steady: Clock,
        metrics: PlanningMetrics,
        states: StateBook,
        keep_sources: Callable[[Collection[FeedKey]], None] = lambda _: None,
        readers: PlanChanges | None = None,
    ) -> None:
        """Make a cycle without workloads.

        Args:
            publish: sends an outcome to the board that answers KEDA.
            wall: Unix time, for labels.
            steady: the event loop's clock, for pace and ages.
            states: the states to resume from, and the place to keep new ones.
            keep_sources: called with the feeds still read, after workloads were forgotten.
            readers: of the Plans API; None = there are none.
        """
        readers = NoReaders() if readers is None else readers
        wall_time = WallTime(wall, steady)
        slots = SourceSlots(
            looks_at_once=settings.looks_at_once, restores_at_once=settings.restores_at_once
        )

        def leave_sources(in_use: Collection[LiveFeed]) -> None:
            slots.keep({live.source for live in in_use})
            keep_sources({live.key for live in in_use})

        plans = Plans(
            answer_seconds_max=settings.answer_seconds_max,
            shares=Shares(settings.pools),
            publish=publish,
            readers=readers,
            states=states,
            wall=wall_time,
            steady=steady,
            metrics=metrics,
        )
        self._workloads = Workloads(
            connect,
            settings,
            plans=plans,
            readers=readers,
            states=states,
            wall=wall_time,
            steady=steady,
            metrics=metrics,
            keep_sources=leave_sources,
        )
        self._looks = Looks(
            settings,
            workloads=self._workloads,
            plans=plans,
            slots=slots,
            wall=wall_time,
            steady=steady,
            metrics=metrics,
        )
        self._pace = Pace(
            settings.look_period_seconds,
            wall=wall_time,
            steady=steady,
            absorb_clock_step=self._workloads.absorb_clock_step,
        )
        self._restorer = Restorer(
            settings, slots, wall_time, states, until_planned=self._looks.until_planned
        )
        self._steady = steady
        self._metrics = metrics

    # Commands and queries, between the moments.

    def apply(self, changes: Changes) -> None:
        """Forget workloads, then begin the new ones."""
        self._workloads.apply(changes)

    def watch(self, reference: Reference, trigger_spec: TriggerSpec) -> None:
        """Plan for an object of the operator's watch list, which KEDA does not ask about."""
        self._workloads.watch(reference, trigger_spec)

    def note_asked(self, reference: Reference, asked_at_seconds: float) -> None:
        """Remember when KEDA asked about a workload, on the monotonic clock."""
        self._workloads.note_asked(reference, asked_at_seconds)

    def statuses(self) -> list[WorkloadStatus]:
        """The status of every workload, the one that KEDA last asked about first."""
        return self._workloads.statuses()

    def is_current(self, now_seconds: float) -> bool:
        """Whether some outcome is not too old, or there is none that could be."""
        return self._workloads.is_current(now_seconds)

    def status(self, reference: Reference) -> WorkloadStatus | None:
        """The status of one workload; None if it is known no more."""
        return self._workloads.status(reference)

    def statuses_of(self, namespace: str, name: str) -> list[WorkloadStatus]:
        """The status of each trigger of one object, the one last asked about first."""
        return self._workloads.statuses_of(namespace, name)

    def names_in(self, namespace: str) -> list[str]:
        """The names of the objects of one namespace."""
        return self._workloads.names_in(namespace)

    def feed_states(self) -> Mapping[str, Callable[[], FeedState] | None]:
        """A function for every feed that returns its state; None while its past is not known."""
        return self._workloads.feed_states()

    def overdue_seconds(self) -> float:
        """How long ago looks should have been started; 0 while the event loop runs.

        No feed can delay this, because the cycle starts looks and does not wait for them.
        """
        return self._pace.overdue_seconds()

    # The cycle.

    async def run(self) -> None:
        """Cycle until cancelled."""
        async with asyncio.TaskGroup() as group:
            _ = group.create_task(self._begin_new(group), name="begin-new")
            while True:
                moment = await self._pace.next_moment()
                _ = self._start_looks(moment, group)

    async def cycle(self, *, at_seconds: float) -> tuple[WorkloadPlan, ...]:
        """Look at every feed once, as of `at_seconds`, and return the plan of each workload.

        For the demo, replay and tests, which advance time themselves; `run` never waits for all.
        """
        self._workloads.absorb_clock_step()
        async with asyncio.TaskGroup() as group:
            looks = self._start_looks(at_seconds, group)
        return tuple(plan for look in looks for plan in look.result())

    def _start_looks(
        self, moment: float, group: asyncio.TaskGroup
    ) -> list[asyncio.Task[tuple[WorkloadPlan, ...]]]:
        due = self._looks.due(moment)
        looks = [group.create_task(self._look(lives, group), name="look") for lives in due.together]
        if due.waiting:
            _ = group.create_task(self._looks.miss(due.waiting, moment), name="miss")
        self._workloads.join_feeds()
        return looks

    async def _look(
        self, lives: Sequence[LiveFeed], group: asyncio.TaskGroup
    ) -> tuple[WorkloadPlan, ...]:
        plans = await self._looks.look(lives)
        self._look_late(lives, group)
        return plans

    def _look_late(self, lives: Sequence[LiveFeed], group: asyncio.TaskGroup) -> None:
        for late in self._looks.late(lives):
            _ = group.create_task(self._look(late, group), name="look")

    # The beginning of a feed.

    async def begin(self) -> None:
        """Look at every new feed, and read its past; then return."""
        async with asyncio.TaskGroup() as group:
            for live in self._workloads.take_new_feeds():
                await self._begin(live, group)

    async def _begin_new(self, group: asyncio.TaskGroup) -> None:
        while True:
            for live in await self._workloads.next_new_feeds():
                _ = group.create_task(self._begin(live, group), name="begin")

    async def _begin(self, live: LiveFeed, group: asyncio.TaskGroup) -> None:
        """Answer from the present first, then read the past for the forecast.

        If there is a plan from an earlier process, it stands until the forecast is restored, for
        `resume_seconds_max` at most: a look without the forecast could ask for less.
        """
        with contained("feed_not_begun", live.workloads, self._metrics):
            if live.in_flight:
                await self._first_look(live, group)
            try:
                if await self._restorer.resume(live):
                    self._metrics.resumed.inc()
            finally:
                awaited = live.awaits_state(self._steady())
                live.awaits_state_until, live.state_fetched = None, True
            if awaited and live.workloads:
                await self._first_look(live, group)
            await self._restorer.restore_patiently(live)

    async def _first_look(self, live: LiveFeed, group: asyncio.TaskGroup) -> None:
        await self._looks.first_look(live)
        self._look_late([live], group)
