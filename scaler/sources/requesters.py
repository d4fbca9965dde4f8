"""An engine under llm-d's Fast Model Actuation: capacity and starts are those of its requesters.

A requester is a pod that holds GPUs and runs no engine. Engines run in launchers, awake or asleep,
and a launcher that is bound to no requester loses the label by which monitors find it. So neither
the pages that answer nor the engines that say they sleep tell how many replicas serve: ready
requesters do. Where they are not known, the replicas are not known.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from scaler.signals import Absent, Feed, Observation, Reading, Signal
from scaler.sources.beside import Past, observed, wait_limit


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedOfRequesters:
    """A feed of the engine's, with what requesters and the actuation controller show."""

    engine: Feed
    requesters: Feed | None = None
    actuations: Feed | None = None

    async def observe(self, *, now_seconds: float) -> Observation:
        """Raises what the engine's feed raises."""
        seen = await self.engine.observe(now_seconds=now_seconds)
        # One after the other: a look has a slot for one read of its source.
        limit = wait_limit()
        if self.requesters is not None:
            found, why_not = await observed(self.requesters, now_seconds=now_seconds, limit=limit)
            seen = with_requesters(seen, found, why_not=why_not)
        if self.actuations is not None:
            found, why_not = await observed(self.actuations, now_seconds=now_seconds, limit=limit)
            remarks = [f"actuations are not read: {why_not}"] if found is None else []
            starts = {} if found is None else found.starts
            seen = replace(seen, starts=starts, remarks=(*seen.remarks, *remarks))
        return seen

    async def history(
        self, *, start_seconds: float, end_seconds: float, step_seconds: float
    ) -> AsyncIterator[Observation]:
        """The engine's past, with the requesters of the same steps; raises as `observe` does."""
        engine = self.engine.history(
            start_seconds=start_seconds, end_seconds=end_seconds, step_seconds=step_seconds
        )
        if self.requesters is None:
            async for observation in engine:
                yield observation
            return
        past = Past(
            self.requesters.history(
                start_seconds=start_seconds, end_seconds=end_seconds, step_seconds=step_seconds
            )
        )
        async for observation in engine:
            found = await past.at(observation.at_seconds)
            yield with_requesters(observation, found, why_not="not in the past")


def with_requesters(
    engine: Observation, requesters: Observation | None, *, why_not: str = ""
) -> Observation:
    """The engine's observation, whose replicas are the ready requesters.

    Args:
        engine: what it shows.
        requesters: None where they were not read.
        why_not: why they were not, in words.
    """
    ready: Reading | None = None
    if requesters is not None:
        ready = requesters.readings.get(Signal.REPLICAS)
    if ready is None:
        ready = Absent(why=f"ready requesters are not read: {why_not}")
    return replace(engine, readings={**engine.readings, Signal.REPLICAS: ready})
