"""Restores a feed's forecast after a start, from a state and from the past that its source keeps.

A state is read in milliseconds and a week's past in many seconds. So the state comes first, and the
past is read from the state's end on. Both go into a new tracker beside the live one. When it is
complete, the poll results that came meanwhile are added and it replaces the live one. Until then
the workload is planned from the present.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from itertools import chain, repeat
from typing import Final

import structlog

from scaler.clock import WallTime
from scaler.decision.tracker import DemandTracker
from scaler.learning import engine_bytes
from scaler.learning.engine import EngineLearner
from scaler.serving.cycle_settings import PlanningSettings
from scaler.serving.feeds import ENGINE, LiveFeed
from scaler.serving.history import PastReading
from scaler.serving.slots import SourceSlots
from scaler.serving.state_book import StateBook
from scaler.state.records import FeedState, RefusalReason

log = structlog.get_logger()

_ASK_AGAIN_SECONDS: Final = (60.0, 300.0, 900.0, 3600.0)
"""Waits between attempts to read a past that its source could not deliver; the last one repeats."""


class Restorer:
    """Fills the trackers of feeds that are new to this process."""

    def __init__(
        self,
        settings: PlanningSettings,
        slots: SourceSlots,
        wall: WallTime,
        states: StateBook,
        *,
        until_planned: Callable[[], Awaitable[None]],
    ) -> None:
        """Restore nothing yet.

        Args:
            until_planned: waits while feeds are planned for, for some seconds at most: a past is
                begun after the present, and by a planner that is always busy too.
        """
        self._settings = settings
        self._until_planned = until_planned
        self._slots = slots
        self._wall = wall
        self._states = states
        self._resumes = asyncio.Semaphore(settings.resumes_at_once)

    async def resume(self, live: LiveFeed) -> bool:
        """Resume from the feed's state; False if no usable one comes in time."""
        live.since_restore, clock_steps = [], self._wall.steps
        try:
            state = await self._state_of(live)
        finally:
            live_polls, live.since_restore = live.since_restore or [], None
        if state is None or clock_steps != self._wall.steps:
            return False
        tracker = _resumed(live, state)
        if tracker is None:
            return False
        for poll in live_polls:
            tracker.take(poll)
        live.tracker, live.carried = tracker, (state.learned, state.unknown)
        live.engine = self._engine_of(live, state)
        for poll in live_polls:
            live.engine.take(poll)
        live.resumed = True
        end = self._wall.now() - self._settings.step_seconds
        live.has_past = self._settings.history_seconds == 0 or _end_of(state) > end
        return True

    def _engine_of(self, live: LiveFeed, state: FeedState) -> EngineLearner:
        """What was learned of the engine by the state; nothing where that is doubtful."""
        engine, learned = live.engine.beginning(), state.learned.get(ENGINE)
        if learned is None:
            return engine
        try:
            engine_bytes.resume(
                engine, learned.value, version=learned.version, now_seconds=self._wall.now()
            )
        except ValueError as error:
            reason = RefusalReason.CORRUPTED.value
            log.warning("learned_refused", feed=state.key, reason=reason, why=str(error))
        return engine

    async def _state_of(self, live: LiveFeed) -> FeedState | None:
        async with AsyncExitStack() as stack:
            with live.waiting():
                await stack.enter_async_context(self._resumes)
            return await self._state_in_time(live)

    async def _state_in_time(self, live: LiveFeed) -> FeedState | None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.resume_seconds_max):
                return await self._states.feed(live.key_text)
        log.warning("state_too_slow", feed=live.key_text, seconds=self._settings.resume_seconds_max)
        return None

    async def restore_patiently(self, live: LiveFeed) -> None:
        """Read the past, with further attempts for what its source could not deliver."""
        if live.has_past:
            return  # the state held all of it
        try:
            for wait_seconds in chain(_ASK_AGAIN_SECONDS, repeat(_ASK_AGAIN_SECONDS[-1])):
                if not live.workloads:
                    return
                if await self.restore(live):
                    live.has_past = True
                    return
                if not live.workloads:
                    return
                with live.waiting():
                    await asyncio.sleep(wait_seconds)
        finally:
            live.past = None

    async def restore(self, live: LiveFeed) -> bool:
        """Read the past, or the missing part of it; False if the source failed."""
        if self._settings.history_seconds == 0:
            return True
        async with AsyncExitStack() as stack:
            with live.waiting():
                restores = self._slots.of(live.source).restores
                namespace = live.key.scope.namespace
                await stack.enter_async_context(restores.slot(namespace, live.asked_at_seconds))
                await self._until_planned()
            return await self._read(live)

    async def _read(self, live: LiveFeed) -> bool:
        settings, end, clock_steps = self._settings, self._wall.now(), self._wall.steps
        if live.past is None:
            live.past = await self._reading_of(live, end - settings.history_seconds)
        if live.past is None:
            return True
        past, live.since_restore = live.past, []
        try:
            whole = await past.read(
                end - settings.step_seconds, seconds_max=settings.restore_seconds_max
            )
        finally:
            live_polls, live.since_restore = live.since_restore or [], None
        if not whole or clock_steps != self._wall.steps:
            return False
        live.past = None
        if past.steps:
            for poll in live_polls:
                past.tracker.take(poll)
                past.engine.take(poll)
            live.tracker, live.engine = past.tracker, past.engine
            live.follow_triggers()  # a trigger may have been edited meanwhile
            log.info("history_restored", steps=past.steps, workloads=len(live.workloads))
        return True

    async def _reading_of(self, live: LiveFeed, begin: float) -> PastReading | None:
        """A reading of the past, from the end of the feed's state on if the feed resumed from one.

        The state is fetched again rather than kept: 2,000 states that wait for a slot of their
        source take more memory than all forecasts. None if it is gone; the tracker stays then.
        """
        tracker: DemandTracker | None = live.tracker.beginning()
        engine = live.engine.beginning()
        if live.resumed:
            state = await self._state_of(live)
            tracker = _resumed(live, state) if state is not None else None
            if state is not None:
                begin, engine = max(begin, _end_of(state)), self._engine_of(live, state)
        if tracker is None:
            return None
        return PastReading(
            feed=live.feed,
            tracker=tracker,
            engine=engine,
            capacities=live.capacities(),
            step_seconds=self._settings.step_seconds,
            next_seconds=begin,
        )


def _resumed(live: LiveFeed, state: FeedState) -> DemandTracker | None:
    """A tracker that resumes from the state, or None if the state does not fit."""
    tracker = live.tracker.beginning()
    try:
        tracker.resume(state.tracker)
        _ = tracker.forecasts  # makes the forecasts: fails here on a state that cannot
    except (ValueError, IndexError, OverflowError) as error:
        reason = RefusalReason.FOREIGN.value
        log.warning("state_refused", feed=state.key, reason=reason, why=str(error))
        return None
    return tracker


def _end_of(state: FeedState) -> float:
    """The beginning of the first step after the state."""
    if state.tracker.open_step is None:
        return float("-inf")
    return (state.tracker.open_step + 1) * state.tracker.step_seconds
