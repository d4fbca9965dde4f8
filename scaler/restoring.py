"""A feed's forecast after a start: its source's past, read into a fresh track beside the live one.

When the past is whole its track takes the place of the one that began without it, with the looks
that were taken meanwhile behind it. Until then the workload is planned from the present.
"""

import asyncio
from itertools import chain, repeat
from typing import Final

import structlog

from scaler.clock import WallTime
from scaler.history import PastReading
from scaler.loop_settings import LoopSettings
from scaler.slots import SourceSlots
from scaler.watched import Watched

log = structlog.get_logger()

_ASK_AGAIN_SECONDS: Final = (60.0, 300.0, 900.0, 3600.0)
"""Between tries to read a past that its source could not tell; the last one again and again."""


class Restorer:
    """Fills the tracks of feeds that are new to this process."""

    def __init__(self, settings: LoopSettings, slots: SourceSlots, wall: WallTime) -> None:
        self._settings = settings
        self._slots = slots
        self._wall = wall

    async def restore_patiently(self, watched: Watched) -> None:
        """Read the past, and ask again for what its source could not tell."""
        try:
            for wait_seconds in chain(_ASK_AGAIN_SECONDS, repeat(_ASK_AGAIN_SECONDS[-1])):
                if not watched.workloads or await self.restore(watched):
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
            watched.past = PastReading(
                watched.feed,
                watched.track.beginning(),
                settings.step_seconds,
                end - settings.history_seconds,
            )
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
