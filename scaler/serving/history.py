"""Reads the past of a feed into a new tracker, which then replaces the one without a past.

It reads small slices, so that the event loop waits for one slice at most. After an attempt that
fails, the part read so far is kept, and the next attempt continues after it. A past that cannot be
read costs accuracy until the forecast has learnt it, and nothing else.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from scaler.decision.capacity import ReplicaCapacity
from scaler.decision.served_rates import ServedRates
from scaler.decision.tracker import DemandTracker, PollResult
from scaler.errors import SourceError
from scaler.learning.engine import EngineLearner
from scaler.signals import Feed

log = structlog.get_logger()

_SLICE = 20
"""Observations taken between two pauses."""


@dataclass(slots=True, eq=False)
class PastReading:
    """The reading of one feed's past, over as many attempts as it takes."""

    feed: Feed
    tracker: DemandTracker
    """Holds the part read so far."""
    engine: EngineLearner
    """Likewise."""
    capacities: Sequence[ReplicaCapacity]
    """Of a replica, by which rates are believed."""
    step_seconds: float
    next_seconds: float
    """Where the next attempt begins."""
    steps: int = field(default=0, init=False)
    """Steps with usable metrics."""
    _rates: ServedRates = field(default_factory=ServedRates, init=False)

    async def read(self, end_seconds: float, *, seconds_max: float) -> bool:
        """Continue up to `end_seconds`; False if the source failed or took too long."""
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
            poll = self._rates.take(poll, self.capacities)
            if not poll.usable():
                continue  # a gap, which the tracker fills up to the next usable step
            self.tracker.take(poll)
            self.engine.take(poll)
            self.steps += 1
            if self.steps % _SLICE == 0:
                await asyncio.sleep(0)
