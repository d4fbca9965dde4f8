"""A feed's past, read into a fresh track, which takes the place of the one that began without it.

It is read in small slices, because the present comes first: the event loop waits for one slice at
most. A reading that breaks off counts for nothing yet: the part that was read is kept, and the next
one goes on behind it. What cannot be read costs accuracy for a while and nothing else.
"""

import asyncio
from dataclasses import dataclass, field

import structlog

from scaler.decision.tracker import DemandTracker, PollResult
from scaler.errors import SourceError
from scaler.signals import Feed

log = structlog.get_logger()

_SLICE = 20
"""Observations taken between two pauses."""


@dataclass(slots=True, eq=False)
class PastReading:
    """The reading of one feed's past, over as many attempts as it takes."""

    feed: Feed
    tracker: DemandTracker
    """What was read so far."""
    step_seconds: float
    next_seconds: float
    """Where the next attempt begins."""
    steps: int = field(default=0, init=False)
    """That were measured."""

    async def read(self, end_seconds: float, *, seconds_max: float) -> bool:
        """Read on until `end_seconds`; False where the source broke off or took too long."""
        try:
            async with asyncio.timeout(seconds_max):
                await self._read(end_seconds)
        except (SourceError, TimeoutError) as error:
            log.warning("history_not_restored", steps=self.steps, error=str(error) or "too slow")
            return False
        return True

    async def _read(self, end_seconds: float) -> None:
        async for observation in self.feed.history(
            start_seconds=self.next_seconds,
            end_seconds=end_seconds,
            step_seconds=self.step_seconds,
        ):
            self.next_seconds = observation.at_seconds + self.step_seconds
            poll = PollResult(at_seconds=observation.at_seconds, observation=observation)
            if not poll.usable():
                continue  # a gap: the next usable step says how long it was
            self.tracker.take(poll)
            self.steps += 1
            if self.steps % _SLICE == 0:
                await asyncio.sleep(0)
