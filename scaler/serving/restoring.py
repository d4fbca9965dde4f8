"""A feed's forecast after a start: from a state, and from its source's past.

A state is read in milliseconds and a week's past in many seconds, so a state comes first, and the
past is then read from its end on. Both go into a fresh track, which takes the place of the one that
began; what was looked at meanwhile is added behind. What cannot be read costs accuracy for a while
and nothing else.
"""

import asyncio
from contextlib import suppress

import structlog

from scaler.clock import Clock
from scaler.history import Span, read_into
from scaler.loop_settings import LoopSettings
from scaler.serving.state_book import StateBook
from scaler.state.records import FeedState, RefusalReason
from scaler.track import Track
from scaler.watched import Watched

log = structlog.get_logger()


class Restorer:
    """Fills the tracks of feeds that are new to this process."""

    def __init__(self, settings: LoopSettings, states: StateBook, *, clock: Clock) -> None:
        self._settings = settings
        self._states = states
        self._clock = clock
        self._resumes = asyncio.Semaphore(settings.resumes_at_once)
        self._restores = asyncio.Semaphore(settings.restores_at_once)

    async def resume(self, watched: Watched) -> FeedState | None:
        """Go on from the feed's state; None where there is no usable one in time."""
        state = None
        watched.since_restore = []
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.resume_seconds_max), self._resumes:
                    state = await self._states.feed(watched.key)
            track = self._resumed(watched, state) if state is not None else None
        finally:
            live, watched.since_restore = watched.since_restore or [], None
        if state is None or track is None:
            return None
        for sight in live:
            track.take(sight)
        watched.track, watched.carried = track, (state.learned, state.unknown)
        return state

    async def read_past(self, watched: Watched, state: FeedState | None) -> bool:
        """Read the past, from the end of the feed's state on where it has one.

        Returns:
            False where the source could not tell it this time.
        """
        settings, end = self._settings, self._clock()
        if settings.history_seconds == 0:
            return True
        span = Span(
            start_seconds=max(end - settings.history_seconds, _end_of(state)),
            end_seconds=end - settings.step_seconds,
            step_seconds=settings.step_seconds,
            reading_seconds_max=settings.restore_seconds_max,
        )
        if span.start_seconds > span.end_seconds:
            return True
        async with self._restores:
            return await self._read_span(watched, state, span)

    async def _read_span(self, watched: Watched, state: FeedState | None, span: Span) -> bool:
        track = watched.track.beginning()
        if state is not None:
            track.resume(state.track)
        watched.since_restore = []
        try:
            steps = await read_into(track, watched.feed, span)
        finally:
            live, watched.since_restore = watched.since_restore or [], None
        if steps:
            for sight in live:
                track.take(sight)
            watched.track = track
            log.info("history_restored", steps=steps, workloads=len(watched.workloads))
        return steps is not None

    def _resumed(self, watched: Watched, state: FeedState) -> Track | None:
        track = watched.track.beginning()
        try:
            track.resume(state.track)
            _ = track.forecasts  # what does not forecast now never will
        except (ValueError, IndexError, OverflowError) as error:
            reason = RefusalReason.FOREIGN.value
            log.warning("state_refused", feed=state.key, reason=reason, why=str(error))
            return None
        return track


def _end_of(state: FeedState | None) -> float:
    """The beginning of the first step that a state knows nothing of."""
    if state is None or state.track.open_step is None:
        return float("-inf")
    return (state.track.open_step + 1) * state.track.step_seconds
