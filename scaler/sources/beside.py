"""A feed that is read beside the engine's: now, for a short time only, and in the past by steps."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from scaler.errors import SourceError
from scaler.signals import Feed, Observation

WAIT_SECONDS: Final = 2.0
"""For all that is read beside one engine: waiting for a time-out would hold up the plan."""


def wait_limit() -> float:
    """The end of a wait that begins now, by the clock of the event loop."""
    return asyncio.get_running_loop().time() + WAIT_SECONDS


async def observed(
    feed: Feed, *, now_seconds: float, limit: float
) -> tuple[Observation | None, str]:
    """What the feed shows; else None, and why in words.

    Args:
        limit: from `wait_limit`.
    """
    try:
        async with asyncio.timeout_at(limit):
            return await feed.observe(now_seconds=now_seconds), ""
    except TimeoutError:
        return None, f"no answer within {WAIT_SECONDS:g} s"
    except SourceError as error:
        return None, str(error)


class Past:
    """A past that is read forward, up to the step that is wanted."""

    def __init__(self, observations: AsyncIterator[Observation]) -> None:
        self._observations = observations
        self._newest: Observation | None = None

    async def at(self, at_seconds: float) -> Observation | None:
        """That of this step; None where there is none, or no more is to be had."""
        try:
            while self._newest is None or self._newest.at_seconds < at_seconds:
                self._newest = await anext(self._observations)
        except (StopAsyncIteration, SourceError):
            return None
        return self._newest if self._newest.at_seconds == at_seconds else None
