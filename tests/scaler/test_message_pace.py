"""Readers of plans together get so many messages a second, in turns, in simulated time."""

import asyncio

import pytest

from scaler.serving.message_pace import MessagePace


async def test_many_readers_together_get_no_more_than_the_rate() -> None:
    pace, loop = MessagePace(per_second=100, burst=10), asyncio.get_running_loop()
    began = loop.time()

    async def read() -> int:
        turns = 0
        while loop.time() < began + 10:
            await pace.turn()
            turns += 1
        return turns

    counts = await asyncio.gather(*(read() for _ in range(20)))

    # A burst of 10 and 100 a second for 10 s; each reader's last turn may end a bit later.
    assert 1000 <= sum(counts) <= 1010 + 20
    assert max(counts) - min(counts) <= 11  # the burst goes to the first


async def test_a_burst_after_a_pause_waits_for_nothing_and_then_the_rate_holds() -> None:
    pace, loop = MessagePace(per_second=100, burst=10), asyncio.get_running_loop()
    await asyncio.sleep(60)
    began = loop.time()
    waited = []
    for _ in range(12):
        await pace.turn()
        waited.append(loop.time() - began)

    assert waited[:10] == [0] * 10
    assert waited[10:] == pytest.approx([0.01, 0.02])
