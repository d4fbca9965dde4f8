"""Spreads the making of messages for readers, who together get a bounded share of the process."""

import asyncio


class MessagePace:
    """Turns at a rate, with a burst after a pause; those that wait get theirs in order.

    The virtual scheduling form of the generic cell rate algorithm (ITU-T I.371).
    """

    def __init__(self, *, per_second: float, burst: int) -> None:
        self._interval_seconds = 1 / per_second
        self._burst_seconds = burst / per_second
        self._next_seconds = 0.0
        """When the next turn would be if all turns were spread evenly, on the loop's clock."""

    async def turn(self) -> None:
        """Wait until one more message may be made."""
        now = asyncio.get_running_loop().time()
        begin = max(self._next_seconds, now - self._burst_seconds)
        self._next_seconds = begin + self._interval_seconds
        if self._next_seconds > now:
            await asyncio.sleep(self._next_seconds - now)
