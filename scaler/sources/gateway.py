"""An engine behind a gateway: the engine's observation, with the arrivals that the gateway counted.

A gateway knows of requests before the engine does, and of those that no engine served. Its requests
stand in for the engine's, so that they lead the forecast of the tokens. All of the model's requests
must go through it. An engine whose gateway does not answer is read as one without a gateway, and
waits for it no longer than `WAIT_SECONDS`.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from scaler.signals import Feed, Observation, Reading, Signal, Value
from scaler.sources.beside import Past, observed, wait_limit


def joined(engine: Observation, gateway: Observation | None, *, why_not: str = "") -> Observation:
    """The engine's observation, with the gateway's arrivals where they are measured.

    Args:
        gateway: None where it was not read.
        why_not: why it was not, in words.
    """
    requests = None if gateway is None else gateway.readings.get(Signal.REQUESTS)
    if gateway is None or not isinstance(requests, Value):
        if gateway is not None:
            why_not = gateway.unmeasured([Signal.REQUESTS], now_seconds=gateway.at_seconds)
        remark = f"arrivals are the engine's own, for the gateway has none: {why_not}"
        return replace(engine, remarks=(*engine.remarks, remark))
    rejected = _larger(engine.readings.get(Signal.REJECTED), gateway.readings.get(Signal.REJECTED))
    readings = {**engine.readings, Signal.REQUESTS: requests}
    if rejected is not None:
        readings[Signal.REJECTED] = rejected
    return replace(engine, readings=readings, remarks=(*engine.remarks, *gateway.remarks))


def _larger(engine: Reading | None, gateway: Reading | None) -> Reading | None:
    """A request that the engine rejects, the gateway counts too; so they are not added."""
    if not isinstance(engine, Value) or not isinstance(gateway, Value):
        return gateway if isinstance(gateway, Value) else engine
    return max(engine, gateway, key=lambda reading: reading.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedBehindGateway:
    """A feed made of the engine's and the gateway's."""

    engine: Feed
    gateway: Feed

    async def observe(self, *, now_seconds: float) -> Observation:
        """Raises what the engine's feed raises."""
        engine = await self.engine.observe(now_seconds=now_seconds)
        # One after the other: a look has a slot for one read of its source.
        gateway, why_not = await observed(self.gateway, now_seconds=now_seconds, limit=wait_limit())
        return joined(engine, gateway, why_not=why_not)

    async def history(
        self, *, start_seconds: float, end_seconds: float, step_seconds: float
    ) -> AsyncIterator[Observation]:
        """The engine's past, with the gateway's of the same steps; raises as `observe` does."""
        past = Past(
            self.gateway.history(
                start_seconds=start_seconds, end_seconds=end_seconds, step_seconds=step_seconds
            )
        )
        async for observation in self.engine.history(
            start_seconds=start_seconds, end_seconds=end_seconds, step_seconds=step_seconds
        ):
            gateway = await past.at(observation.at_seconds)
            yield observation if gateway is None else joined(observation, gateway)
