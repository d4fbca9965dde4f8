"""A feed's forecast after a start: from a state, and from its source's past.

A state is read in milliseconds and a week's past in many seconds, so a state comes first, and the
past is then read from its end on. Either goes into a fresh track beside the live one. When it is
whole it takes the place of the one that began without it, with the looks that were taken meanwhile
behind it. Until then the workload is planned from the present.
"""

import asyncio
from contextlib import suppress
from itertools import chain, repeat
from typing import Final

import structlog

from scaler.clock import WallTime
from scaler.history import PastReading
from scaler.loop_settings import LoopSettings
from scaler.serving.state_book import StateBook
from scaler.slots import SourceSlots
from scaler.state.records import FeedState, RefusalReason
from scaler.track import Track
from scaler.watched import Watched

log = structlog.get_logger()

_ASK_AGAIN_SECONDS: Final = (60.0, 300.0, 900.0, 3600.0)
"""Between tries to read a past that its source could not tell; the last one again and again."""


class Restorer:
    """Fills the tracks of feeds that are new to this process."""

    def __init__(
        self, settings: LoopSettings, slots: SourceSlots, wall: WallTime, states: StateBook
    ) -> None:
        self._settings = settings
        self._slots = slots
        self._wall = wall
        self._states = states
        self._resumes = asyncio.Semaphore(settings.resumes_at_once)

    async def resume(self, watched: Watched) -> bool:
        """Go on from the feed's state; False where there is no usable one in time."""
        watched.since_restore, clock_steps = [], self._wall.steps
        try:
            state = await self._state_of(watched)
        finally:
            live, watched.since_restore = watched.since_restore or [], None
        if state is None or clock_steps != self._wall.steps:
            return False
        track = _resumed(watched, state)
        if track is None:
            return False
        for sight in live:
            track.take(sight)
        watched.track, watched.carried = track, (state.learned, state.unknown)
        watched.resumed = True
        end = self._wall.now() - self._settings.step_seconds
        watched.has_past = self._settings.history_seconds == 0 or _end_of(state) > end
        return True

    async def _state_of(self, watched: Watched) -> FeedState | None:
        async with self._resumes:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.resume_seconds_max):
                    return await self._states.feed(watched.key_text)
        log.warning(
            "state_too_slow", feed=watched.key_text, seconds=self._settings.resume_seconds_max
        )
        return None

    async def restore_patiently(self, watched: Watched) -> None:
        """Read the past, and ask again for what its source could not tell."""
        if watched.has_past:
            return  # the state told all of it
        try:
            for wait_seconds in chain(_ASK_AGAIN_SECONDS, repeat(_ASK_AGAIN_SECONDS[-1])):
                if not watched.workloads:
                    return
                if await self.restore(watched):
                    watched.has_past = True
                    return
                await asyncio.sleep(wait_seconds)
        finally:
            watched.past = None

    async def restore(self, watched: Watched) -> bool:
        """Read the past, or what is missing of it; False where the source broke off."""
        if self._settings.history_seconds == 0:
            return True
        async with self._slots.of(watched.source).restores:
            return await self._read(watched)

    async def _read(self, watched: Watched) -> bool:
        settings, end, clock_steps = self._settings, self._wall.now(), self._wall.steps
        if watched.past is None:
            watched.past = await self._reading_of(watched, end - settings.history_seconds)
        if watched.past is None:
            return True
        past, watched.since_restore = watched.past, []
        try:
            whole = await past.read(
                end - settings.step_seconds, seconds_max=settings.restore_seconds_max
            )
        finally:
            live, watched.since_restore = watched.since_restore or [], None
        if not whole or clock_steps != self._wall.steps:
            return False
        watched.past = None
        if past.steps:
            for sight in live:
                past.track.take(sight)
            watched.track = past.track
            log.info("history_restored", steps=past.steps, workloads=len(watched.workloads))
        return True

    async def _reading_of(self, watched: Watched, begin: float) -> PastReading | None:
        """A reading of the past, from the end of the feed's state on if it went on from one.

        The state is asked for again, because two thousand that wait for their source's slots are
        more memory than all forecasts. None where it is gone: then the track stays as it is.
        """
        track: Track | None = watched.track.beginning()
        if watched.resumed:
            state = await self._state_of(watched)
            track = _resumed(watched, state) if state is not None else None
            begin = max(begin, _end_of(state)) if state is not None else begin
        if track is None:
            return None
        return PastReading(watched.feed, track, self._settings.step_seconds, begin)


def _resumed(watched: Watched, state: FeedState) -> Track | None:
    """A track that goes on from the state, or None where it does not fit."""
    track = watched.track.beginning()
    try:
        track.resume(state.track)
        _ = track.forecasts  # a state that yields no forecast now never will
    except (ValueError, IndexError, OverflowError) as error:
        reason = RefusalReason.FOREIGN.value
        log.warning("state_refused", feed=state.key, reason=reason, why=str(error))
        return None
    return track


def _end_of(state: FeedState) -> float:
    """The beginning of the first step that a state knows nothing of."""
    if state.track.open_step is None:
        return float("-inf")
    return (state.track.open_step + 1) * state.track.step_seconds
