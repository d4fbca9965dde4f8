"""A past that is read beside another one, step by step."""

from collections.abc import AsyncIterator

from scaler.errors import SourceError
from scaler.signals import Observation


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
