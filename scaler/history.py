"""A feed's past, read into a fresh track at the start.

It is read in small slices, because the present comes first: whoever shares the event loop waits for
one slice at most. What cannot be read costs accuracy for a while and nothing else.
"""

import asyncio
from dataclasses import dataclass

import structlog

from scaler.errors import SourceError
from scaler.signals import Feed
from scaler.track import Sight, Track

log = structlog.get_logger()

_SLICE = 20
"""Observations taken between two pauses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Which past, on which grid, and how long reading it may take."""

    start_seconds: float
    end_seconds: float
    step_seconds: float
    reading_seconds_max: float


async def read_into(track: Track, feed: Feed, span: Span) -> int | None:
    """Let `track` take the feed's past.

    Returns:
        The number of steps that were measured; None where nothing could be read this time.
    """
    taken = 0
    try:
        async with asyncio.timeout(span.reading_seconds_max):
            async for observation in feed.history(
                start_seconds=span.start_seconds,
                end_seconds=span.end_seconds,
                step_seconds=span.step_seconds,
            ):
                sight = Sight(at_seconds=observation.at_seconds, observation=observation)
                if not sight.usable():
                    continue  # a gap: the next usable step says how long it was
                track.take(sight)
                taken += 1
                if taken % _SLICE == 0:
                    await asyncio.sleep(0)
    except (SourceError, TimeoutError) as error:
        log.warning("history_not_restored", steps=taken, error=str(error) or "too slow")
        return taken or None
    return taken
