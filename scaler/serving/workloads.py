"""The workloads that come and go, and the feeds that they read.

A workload joins the feed of its trigger's key. A feed begins with its first workload and ends with
its last one.
"""

import asyncio
import math
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Final

import structlog

from scaler.clock import Clock, WallTime
from scaler.decision.answers import Reference, Refusal
from scaler.decision.plan import ReplicaPlan
from scaler.errors import SourceError
from scaler.evaluate import CycleState
from scaler.feed_key import FeedKey
from scaler.serving.changes import Arrival, Changes
from scaler.serving.cycle_settings import PlanningSettings
from scaler.serving.decision_log import log_refused
from scaler.serving.edited import keep_learned
from scaler.serving.faults import contained
from scaler.serving.feeds import Binding, LiveFeed, Workload, WorkloadStatus, status_of
from scaler.serving.groups import take_out
from scaler.serving.metrics import PlanningMetrics
from scaler.serving.object_triggers import ObjectTriggers
from scaler.serving.plan_book import PlanChanges
from scaler.serving.plans import Plans
from scaler.serving.state_book import StateBook
from scaler.serving.variants import UNASKED_SECONDS
from scaler.state.records import FeedState
from scaler.trigger import TriggerSpec

log = structlog.get_logger()

Connect = Callable[[Reference, TriggerSpec], Binding]
KeepSources = Callable[[Collection[LiveFeed]], None]
_CLOSE_SECONDS: Final = 1.0
"""At most so often the sources in use are gone through: edits come by the second."""


class Workloads:
    """All workloads and feeds of the cycle."""

    def __init__(  # noqa: PLR0913 - what a workload is connected with, by name
        self,
        connect: Connect,
        settings: PlanningSettings,
        *,
        plans: Plans,
        readers: PlanChanges,
        states: StateBook,
        wall: WallTime,
        steady: Clock,
        metrics: PlanningMetrics,
        keep_sources: KeepSources,
    ) -> None:
        """Begin without workloads.

        Args:
            keep_sources: called with the sources still read, after workloads were forgotten.
        """
        self._connect = connect
        self._settings = settings
        self._plans = plans
        self._readers = readers
        self._states = states
        self._wall = wall
        self._steady = steady
        self._metrics = metrics
        self._keep_sources = keep_sources
        self._has_forgotten = False
        """Whether workloads were forgotten since the sources in use were last gone through."""
        self._closed_at_seconds = -math.inf
        self._workloads: dict[Reference, Workload] = {}
        self._by_namespace: defaultdict[str, dict[Reference, Workload]] = defaultdict(dict)
        self._triggers = ObjectTriggers(self._count)
        self._feeds: dict[FeedKey, LiveFeed] = {}
        self._new: list[LiveFeed] = []
        self._has_new = asyncio.Event()

    # Workloads that come.

    def apply(self, changes: Changes) -> None:
        """Forget workloads, then begin the new ones."""
        for reference in changes.forgotten:
            self._forget(reference)
            self._has_forgotten = True
        self._close_unused_sources()
        for arrival in changes.arrived:
            self._take_up(arrival)

    def watch(self, reference: Reference, trigger_spec: TriggerSpec) -> None:
        """Begin a workload of the operator's watch list, which KEDA does not ask about."""
        now = self._steady()
        state = CycleState.unread(now)
        self._begin(Workload(reference, trigger_spec, now, state, on_watch_list=True))

    def note_asked(self, reference: Reference, asked_at_seconds: float) -> None:
        """Remember when KEDA asked about a workload, on the monotonic clock."""
        workload = self._workloads.get(reference)
        if workload is None:
            return
        workload.asked_at_seconds = asked_at_seconds
        self._triggers.asked(workload)

    def _count(self, workload: Workload) -> None:
        """Plan and learn for a workload from now on, and not for another trigger of its object."""
        self._plans.expect(workload)
        if workload.live is not None:
            workload.live.follow_triggers()

    def _take_up(self, arrival: Arrival) -> None:
        if arrival.reference in self._workloads:
            self.note_asked(arrival.reference, arrival.asked_at_seconds)
            return
        if isinstance(arrival.timed.outcome, Refusal) and arrival.trigger_spec is None:
            log_refused(arrival.reference, arrival.timed.outcome)
        state = CycleState(timed=arrival.timed)
        asked_at = arrival.asked_at_seconds
        self._begin(Workload(arrival.reference, arrival.trigger_spec, asked_at, state))

    def _begin(self, workload: Workload) -> None:
        """Resume from a kept state, if there is one, and join a feed."""
        reference = workload.reference
        self._workloads[reference] = self._by_namespace[reference.namespace][reference] = workload
        self._triggers.add(workload)
        self._readers.changed(workload.reference)
        state = self._states.workload(workload.reference)
        if state is not None:
            remembers = self._remembers(workload, state.plan)
            workload.resume(state, remembers=remembers, now_seconds=self._wall.now())
        else:
            workload.hold_standing_answer(self._wall.now(), self._steady())
        self._join_feed(workload)

    def _remembers(self, workload: Workload, plan: ReplicaPlan | None) -> bool:
        """Whether what is remembered of needs and orders with the last plan still counts.

        What was planned before a long outage says nothing of the replicas that run now: KEDA's
        fallback may hold more.
        """
        spec = workload.trigger_spec
        if plan is None or spec is None:
            return False
        age_seconds = self._wall.now() - plan.at_seconds
        return age_seconds <= max(spec.hold_seconds, self._settings.answer_seconds_max)

    def _close_unused_sources(self) -> None:
        """Close what no feed reads any more, such as the `serverAddress` before an edit.

        After a burst of edits the last ones stay until the next change, or until feeds are joined
        once more: for a period at most.
        """
        now = self._steady()
        if self._has_forgotten and now - self._closed_at_seconds >= _CLOSE_SECONDS:
            self._has_forgotten, self._closed_at_seconds = False, now
            self._keep_sources(self._feeds.values())

    def join_feeds(self) -> None:
        """Join each workload that has no feed yet: the fault of its source may have ended."""
        self._close_unused_sources()
        for workload in tuple(self._workloads.values()):
            if workload.live is None:
                self._join_feed(workload)

    def _join_feed(self, workload: Workload) -> None:
        if workload.trigger_spec is None:
            return
        self._triggers.count(workload)
        with contained("workload_not_taken_up", [workload.reference], self._metrics):
            try:
                binding = self._connect(workload.reference, workload.trigger_spec)
            except SourceError as error:
                self._plans.refuse(workload, error)
                return
            live = self._feeds.get(binding.key) or self._begin_feed(binding, workload)
            if workload.cycle_state.plan is not None and not live.state_fetched:
                limit = self._settings.state_wait_seconds_max
                live.awaits_state_until = self._steady() + limit
            live.workloads[workload.reference] = workload
            workload.live, workload.parameters = live, binding.assembly.parameters
            live.follow_triggers()
            self._keep_learned(workload)
            _ = self._plans.plan(workload)

    def _keep_learned(self, workload: Workload) -> None:
        """Continue what was learned under the object's trigger of before."""
        before = self._triggers.before(workload)
        if before is None:
            return
        asked = self._steady() - before.asked_at_seconds <= UNASKED_SECONDS
        remembers = asked and self._remembers(before, before.cycle_state.plan)
        keep_learned(workload, before, remembers=remembers)

    def _begin_feed(self, binding: Binding, workload: Workload) -> LiveFeed:
        assembly = binding.assembly
        live = LiveFeed(
            binding.key,
            binding.source,
            binding.feed,
            assembly.make_tracker(),
            assembly.make_engine(),
            binding.group,
        )
        # Without a plan of before, its first look is made at once, off the grid.
        live.in_flight = workload.cycle_state.plan is None
        self._feeds[binding.key] = live
        self._new.append(live)
        self._has_new.set()
        return live

    # Workloads that go.

    def _forget(self, reference: Reference) -> None:
        workload = self._workloads.get(reference)
        if workload is not None and workload.on_watch_list:
            return
        self._states.forget(reference)
        self._plans.forget(reference)
        if workload is None:
            return
        del self._workloads[reference]
        take_out(self._by_namespace, reference.namespace, reference)
        self._triggers.remove(workload)
        self._readers.removed(reference)
        if workload.live is None:
            return
        live = workload.live
        del live.workloads[reference]
        if not live.workloads:
            del self._feeds[live.key]
            live.end()
        else:
            live.follow_triggers()

    # All of them.

    def feeds(self) -> tuple[LiveFeed, ...]:
        return tuple(self._feeds.values())

    def take_new_feeds(self) -> list[LiveFeed]:
        """The feeds that began since they were last taken."""
        new, self._new = self._new, []
        self._has_new.clear()
        return new

    async def next_new_feeds(self) -> list[LiveFeed]:
        """The feeds that began since they were last taken; waits for one at least."""
        await self._has_new.wait()
        return self.take_new_feeds()

    def statuses(self) -> list[WorkloadStatus]:
        """The status of every workload, the one that KEDA last asked about first."""
        workloads = sorted(self._workloads.values(), key=lambda each: -each.asked_at_seconds)
        return [status_of(workload) for workload in workloads]

    def is_current(self, now_seconds: float) -> bool:
        """Whether some outcome is not too old, or there is none that could be."""
        outcomes = (workload.cycle_state.timed for workload in self._workloads.values())
        return not self._workloads or any(
            now_seconds <= one.valid_until_seconds for one in outcomes
        )

    def statuses_of(self, namespace: str, name: str) -> list[WorkloadStatus]:
        """The status of each trigger of one object, the one last asked about first."""
        found = self._triggers.of(namespace, name)
        newest_first = sorted(found, key=lambda each: -each.asked_at_seconds)
        return [status_of(workload) for workload in newest_first]

    def names_in(self, namespace: str) -> list[str]:
        """The names of the objects of one namespace."""
        return [one.name for one in self._by_namespace.get(namespace, ())]

    def status(self, reference: Reference) -> WorkloadStatus | None:
        """The status of one workload; None if it is known no more."""
        workload = self._workloads.get(reference)
        return None if workload is None else status_of(workload)

    def feed_states(self) -> Mapping[str, Callable[[], FeedState] | None]:
        """A function for every feed that returns its state; None while its past is not known."""
        now = self._wall.now()
        return {
            live.key_text: partial(live.state, at_seconds=now) if live.has_past else None
            for live in self._feeds.values()
        }

    def absorb_clock_step(self) -> None:
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
        self._plans.clock_moved(seconds)
        for workload in self._workloads.values():
            workload.cycle_state = workload.cycle_state.moved(seconds)
