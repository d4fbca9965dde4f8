"""A feed that answers what it is given, beside another one."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from scaler.errors import SourceError
from scaler.signals import Observation


@dataclass
class Given:
    now: Observation | SourceError
    past: Sequence[Observation] = ()
    takes_seconds: float = 0.0
    breaks: SourceError | None = None
    """Raised at the end of the past."""

    async def observe(self, *, now_seconds: float) -> Observation:
        await asyncio.sleep(self.takes_seconds)
        if isinstance(self.now, SourceError):
            raise self.now
        return self.now

    async def history(
        self, *, start_seconds: float, end_seconds: float, step_seconds: float
    ) -> AsyncIterator[Observation]:
        for one in self.past:
            yield one
        if self.breaks is not None:
            raise self.breaks
