"""The planning cycle: look at a feed, plan its workloads, publish the outcomes for KEDA.

Looks are made on one grid of moments, multiples of the period in wall time, so that every replica
of Foresail reads the same samples. The monotonic clock sets the pace: setting the wall clock
changes the labels of the moments and delays none of them (`_absorb_clock_step`).

No look waits for the look at another feed. At each moment a feed whose last look has ended gets a
new one; a feed whose look is still under way misses that moment. Looks wait only for a slot of
their own source, and a look that has its slot ends within its time limit.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Final

import structlog

from scaler.clock import Clock, WallTime
from scaler.decision.answers import Reference, Refusal, RefusalCode, TimedOutcome
from scaler.decision.evaluate import CycleState, evaluate
from scaler.decision.parameters import parameters_of
from scaler.decision.tracker import DemandTracker, PollResult
from scaler.errors import SourceError, SourceUnavailableError
from scaler.feed_key import FeedKey
from scaler.serving.board import Arrival, Changes
from scaler.serving.cycle_settings import PlanningSettings
from scaler.serving.decision_log import log_change, log_refused
from scaler.serving.feeds import Binding, LiveFeed, Workload, WorkloadStatus, status_of
from scaler.serving.metrics import PlanningMetrics
from scaler.serving.restoring import Restorer
from scaler.serving.slots import SourceSlots
from scaler.serving.state_book import StateBook
from scaler.state.records import FeedState, WorkloadState
from scaler.trigger import TriggerSpec

log = structlog.get_logger()

_PERIODS_LATE_MAX: Final = 3

Connect = Callable[[Reference, TriggerSpec], Binding]
MakeTracker = Callable[[TriggerSpec], DemandTracker]
Publish = Callable[[Reference, TimedOutcome], None]
KeepSources = Callable[[Collection[str]], None]


class PlanningCycle:
    """The cycle over all feeds. `run` owns every task it starts."""

    def __init__(  # noqa: PLR0913 - the cycle's edges, all by name but what it is about
        self,
        connect: Connect,
        make_tracker: MakeTracker,
        settings: PlanningSettings,
        *,
        publish: Publish,
        wall: Clock,
        steady: Clock,
        metrics: PlanningMetrics,
        states: StateBook,
        keep_sources: KeepSources | None = None,
    ) -> None:
        """Make a cycle without workloads.

        Args:
            publish: sends an outcome to the board that answers KEDA.
            wall: Unix time, for labels.
            steady: the event loop's clock, for pace and ages.
            states: the states to resume from, and the place to keep new ones.
            keep_sources: called with the sources still read, after workloads were forgotten.
        """
        self._keep_sources = keep_sources
        self._connect = connect
        self._make_tracker = make_tracker
        self._settings = settings
        self._publish = publish
        self._wall = WallTime(wall, steady)
        self._steady = steady
        self._metrics = metrics
        self._feeds: dict[FeedKey, LiveFeed] = {}
        self._workloads: dict[Reference, Workload] = {}
        self._slots = SourceSlots(
            looks_at_once=settings.looks_at_once, restores_at_once=settings.restores_at_once
        )
        self._states = states
        self._restorer = Restorer(settings, self._slots, self._wall, states)
        self._new: list[LiveFeed] = []
        self._has_new = asyncio.Event()
        self._moment = 0.0
        self._turned_at = steady()

    # Commands and queries.

    def apply(self, changes: Changes) -> None:
        """Forget workloads, then begin the new ones."""
        for reference in changes.forgotten:
            self._forget(reference)
        if changes.forgotten:
            self._leave_sources()
        for arrival in changes.arrived:
            self._take_up(arrival)

    def watch(self, reference: Reference, trigger_spec: TriggerSpec) -> None:
        """Plan for an object of the operator's watch list, which KEDA does not ask about."""
        now = self._steady()
        unread = Refusal(code=RefusalCode.UNAVAILABLE, message="not read yet")
        timed = TimedOutcome(outcome=unread, read_at_seconds=now)
        cycle_state = CycleState(timed=timed)
        self._begin_workload(
            Workload(reference, trigger_spec, now, cycle_state, on_watch_list=True)
        )

    def note_asked(self, reference: Reference, asked_at_seconds: float) -> None:
        """Remember when KEDA asked about a workload, on the monotonic clock."""
        workload = self._workloads.get(reference)
        if workload is not None:
            workload.asked_at_seconds = asked_at_seconds

    def statuses(self) -> list[WorkloadStatus]:
        """The status of every workload, the one that KEDA last asked about first."""
        workloads = sorted(self._workloads.values(), key=lambda each: -each.asked_at_seconds)
        return [status_of(workload) for workload in workloads]

    def feed_states(self) -> Mapping[str, Callable[[], FeedState] | None]:
        """A function for every feed that returns its state; None while its past is not known."""
        now = self._wall.now()
        return {
            live.key_text: partial(live.state, at_seconds=now) if live.has_past else None
            for live in self._feeds.values()
        }

    def overdue_seconds(self) -> float:
        """How long ago looks should have been started; 0 while the event loop runs.

        No feed can delay this, because the cycle starts looks and does not wait for them.
        """
        allowed = _PERIODS_LATE_MAX * self._settings.look_period_seconds
        return max(0.0, self._steady() - self._turned_at - allowed)

    # The pace.

    async def run(self) -> None:
        """Cycle until cancelled."""
        async with asyncio.TaskGroup() as group:
            _ = group.create_task(self._begin_new(group), name="begin-new")
            while True:
                for live in self._due(await self._next_moment()):
                    _ = group.create_task(self._guarded(self._look(live), live), name="look")

    async def begin(self) -> None:
        """Look at every new feed, and read its past; then return."""
        for live in self._take_new():
            await self._guarded(self._begin(live), live)

    async def cycle(self, *, at_seconds: float) -> None:
        """Look at every feed once, as of `at_seconds`, and return when all looks have ended.

        For the demo, replay and tests, which advance time themselves; `run` never waits for all.
        """
        self._absorb_clock_step()
        async with asyncio.TaskGroup() as group:
            for live in self._due(at_seconds):
                _ = group.create_task(self._guarded(self._look(live), live), name="look")

    async def _next_moment(self) -> float:
        """Wait for the next moment of the grid, and return its label.

        Moments that passed while the process was stopped are skipped.
        """
        period = self._settings.look_period_seconds
        now, clock_steps = self._wall.now(), self._wall.steps
        # A slewed wall clock may be some milliseconds before the last moment.
        moment = max((now // period + 1) * period, self._moment + period)
        # At most two periods, even if the wall clock was set between the two lines above.
        deadline = self._steady() + min(moment - now, 2 * period)
        await asyncio.sleep(deadline - self._steady())
        moment += max(0.0, self._steady() - deadline) // period * period
        self._absorb_clock_step()
        if (
            clock_steps != self._wall.steps
        ):  # set while this slept; a look may have noticed it first
            moment = self._wall.now() // period * period
        self._moment = moment
        return moment

    def _due(self, moment: float) -> Iterator[LiveFeed]:
        """The feeds to look at for this moment; a feed whose look is under way misses it."""
        self._turned_at = self._steady()
        for live in tuple(self._feeds.values()):
            live.due_at_seconds = moment
            if self._awaits_state(live):
                continue
            if live.in_flight:
                with self._contained(live):
                    self._miss(live)
            else:
                live.in_flight = True
                yield live
        for workload in tuple(self._workloads.values()):
            if workload.live is None:
                self._connect_workload(workload)  # the source's fault may have ended

    def _absorb_clock_step(self) -> None:
        """Move every remembered label if the wall clock was set since the last call.

        No other code handles a set clock. Everything remembered keeps its age, so that nothing
        lies in the future and no hold ends early. Looks and readings of the past that are under
        way are dropped, because they carry labels of the old time.
        """
        seconds = self._wall.step()
        if seconds == 0.0:
            return
        log.warning("wall_clock_set", seconds=round(seconds, 3))
        self._metrics.clock_steps.inc()
        for live in self._feeds.values():
            live.clock_moved(seconds)
        for workload in self._workloads.values():
            workload.cycle_state = workload.cycle_state.moved(seconds)

    # One look.

    async def _look(self, live: LiveFeed) -> None:
        """Look at a feed and plan its workloads; the caller has set `in_flight`."""
        try:
            async with self._slots.of(live.source).looks:
                if not live.workloads:
                    return  # forgotten while it waited
                live.reading = True
                self._absorb_clock_step()
                clock_steps = self._wall.steps
                # The age of the reading, counted before the wall clock can be set again.
                looked_at = self._steady() - (self._wall.now() - live.due_at_seconds)
                poll = await self._read(live)
            self._absorb_clock_step()
            if clock_steps == self._wall.steps:
                self._take(live, poll, looked_at)
        finally:
            live.in_flight = live.reading = False

    async def _read(self, live: LiveFeed) -> PollResult:
        # The newest due moment: the look may have waited for its slot through several.
        at, limit = live.due_at_seconds, self._settings.look_seconds_max
        with self._metrics.look_seconds.labels(live.label).time():
            try:
                async with asyncio.timeout(limit):
                    observation = await live.feed.observe(now_seconds=at)
            except SourceError as error:
                return PollResult(at_seconds=at, observation=None, failure=error)
            except TimeoutError:
                failure = SourceUnavailableError(f"no answer within {limit:g} s")
                return PollResult(at_seconds=at, observation=None, failure=failure)
        return PollResult(at_seconds=at, observation=observation)

    def _miss(self, live: LiveFeed) -> None:
        """Account for a moment at which the feed's look was still under way."""
        self._metrics.looks_missed.labels(live.label).inc()
        if not live.reading:  # else the look ends within its time limit, with a better message
            message = f"all {self._settings.looks_at_once} slots of its source are in use"
            failure = SourceUnavailableError(message)
            poll = PollResult(at_seconds=live.due_at_seconds, observation=None, failure=failure)
            self._take(live, poll, self._steady())

    def _take(self, live: LiveFeed, poll: PollResult, looked_at: float) -> None:
        live.take(poll, looked_at)
        for workload in tuple(live.workloads.values()):
            self._plan(workload, live)

    def _plan(self, workload: Workload, live: LiveFeed) -> None:
        """Plan one workload from its feed's newest look, if there was one."""
        if live.looked is None or workload.parameters is None:
            return
        if self._awaits_state(live) and workload.plan is None and workload.cycle_state.plan:
            return  # its plan of before stands until the forecast is restored
        poll, looked_at = live.looked
        try:
            plan = evaluate(
                workload.reference,
                poll,
                live.tracker,
                workload.parameters,
                workload.cycle_state,
                now_seconds=looked_at,
                answer_seconds_max=self._settings.answer_seconds_max,
            )
            workload.plan = plan
            self._stand(workload, plan.cycle_state)
        except Exception:
            self._metrics.cycle_errors.inc()
            log.exception("workload_not_planned", workload=str(workload.reference))

    def _stand(self, workload: Workload, after: CycleState) -> None:
        before, workload.cycle_state = workload.cycle_state, after
        if not workload.on_watch_list:  # a state would make it an object that KEDA asked about
            asked_seconds_ago = self._steady() - workload.asked_at_seconds
            asked_at = self._wall.now() - asked_seconds_ago
            # Before publishing, which sends the noted state along.
            self._states.note(workload.state(asked_at_seconds=asked_at))
        if after.timed is not before.timed:
            log_change(workload.reference, before, after)
            self._publish(workload.reference, after.timed)

    async def _guarded(self, work: Coroutine[None, None, object], live: LiveFeed) -> None:
        with self._contained(live):
            await work

    @contextmanager
    def _contained(self, live: LiveFeed) -> Iterator[None]:
        """Contain a fault of Foresail in a feed's work: it must not stop the other feeds.

        The fault is counted and logged, and the age of the answer keeps growing.
        """
        try:
            yield
        except Exception:
            self._metrics.cycle_errors.inc()
            log.exception("feed_not_looked_at", workloads=[str(r) for r in live.workloads])

    # Workloads that come and go.

    def _take_up(self, arrival: Arrival) -> None:
        if arrival.reference in self._workloads:
            self.note_asked(arrival.reference, arrival.asked_at_seconds)
            return
        workload = Workload(
            arrival.reference,
            arrival.trigger_spec,
            arrival.asked_at_seconds,
            CycleState(timed=arrival.timed),
        )
        if isinstance(arrival.timed.outcome, Refusal) and arrival.trigger_spec is None:
            log_refused(arrival.reference, arrival.timed.outcome)
        self._begin_workload(workload)

    def _begin_workload(self, workload: Workload) -> None:
        """Resume from a kept state, if there is one, and read the feed."""
        self._workloads[workload.reference] = workload
        state = self._states.workload(workload.reference)
        if state is not None:
            workload.resume(state, self._remembers(workload, state))
        else:
            workload.hold_standing_answer(self._wall.now(), self._steady())
        self._connect_workload(workload)

    def _remembers(self, workload: Workload, state: WorkloadState) -> bool:
        """Whether what a state remembers of needs and orders still counts.

        What was planned before a long outage says nothing of the replicas that run now: KEDA's
        fallback may hold more.
        """
        spec = workload.trigger_spec
        if state.plan is None or spec is None:
            return False
        age_seconds = self._wall.now() - state.plan.at_seconds
        return age_seconds <= max(spec.hold_seconds, self._settings.answer_seconds_max)

    def _connect_workload(self, workload: Workload) -> None:
        """Join a workload to its feed; a new feed gets its first look soon."""
        if workload.trigger_spec is None:
            return
        try:
            self._join(workload, workload.trigger_spec)
        except SourceError as error:
            now = self._steady()
            refused = TimedOutcome(
                outcome=Refusal(code=RefusalCode.MISCONFIGURED, message=str(error)),
                read_at_seconds=now,
                valid_until_seconds=now + self._settings.answer_seconds_max,
            )
            before = workload.cycle_state
            timed = before.timed.followed_by(refused, now)
            self._stand(workload, replace(before, timed=timed))
        except Exception:
            self._metrics.cycle_errors.inc()
            log.exception("workload_not_taken_up", workload=str(workload.reference))

    def _join(self, workload: Workload, trigger_spec: TriggerSpec) -> None:
        binding = self._connect(workload.reference, trigger_spec)
        parameters = parameters_of(trigger_spec, binding.capacity)
        live = self._feeds.get(binding.key)
        if live is None:
            live = LiveFeed(
                binding.key, binding.source, binding.feed, self._make_tracker(trigger_spec)
            )
            # Without a plan of before its first look is made at once, off the grid.
            live.in_flight = workload.cycle_state.plan is None
            self._feeds[binding.key] = live
            self._new.append(live)
            self._has_new.set()
        if workload.cycle_state.plan is not None and not live.state_fetched:
            limit = self._settings.state_wait_seconds_max
            live.awaits_state_until = self._steady() + limit
        live.workloads[workload.reference] = workload
        workload.live, workload.parameters = live, parameters
        self._plan(workload, live)

    def _forget(self, reference: Reference) -> None:
        workload = self._workloads.get(reference)
        if workload is not None and workload.on_watch_list:
            return
        self._states.forget(reference)
        if workload is None:
            return
        del self._workloads[reference]
        if workload.live is None:
            return
        live = workload.live
        del live.workloads[reference]
        if not live.workloads:
            del self._feeds[live.key]

    def _leave_sources(self) -> None:
        """Drop sources that no feed reads, such as the old `serverAddress` of an edited trigger."""
        in_use = {live.source for live in self._feeds.values()}
        self._slots.keep(in_use)
        if self._keep_sources is not None:
            self._keep_sources(in_use)

    # The beginning of a feed.

    async def _begin_new(self, group: asyncio.TaskGroup) -> None:
        while True:
            await self._has_new.wait()
            for live in self._take_new():
                _ = group.create_task(self._guarded(self._begin(live), live), name="begin")

    def _take_new(self) -> list[LiveFeed]:
        new, self._new = self._new, []
        self._has_new.clear()
        return new

    async def _begin(self, live: LiveFeed) -> None:
        """Answer from the present first, then read the past for the forecast.

        If there is a plan from an earlier process, it stands until the forecast is restored, for
        `resume_seconds_max` at most: a look without the forecast could ask for less.
        """
        if live.in_flight:
            await self._first_look(live)
        try:
            if await self._restorer.resume(live):
                self._metrics.resumed.inc()
        finally:
            awaited = self._awaits_state(live)
            live.awaits_state_until, live.state_fetched = None, True
        if awaited:
            live.in_flight = True
            await self._first_look(live)
        await self._restorer.restore_patiently(live)

    def _awaits_state(self, live: LiveFeed) -> bool:
        until = live.awaits_state_until
        return until is not None and self._steady() < until

    async def _first_look(self, live: LiveFeed) -> None:
        self._absorb_clock_step()
        live.due_at_seconds = self._wall.now()
        await self._look(live)
