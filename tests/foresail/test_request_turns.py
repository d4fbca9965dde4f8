"""How many requests a port lets through, and whose, in simulated time."""

import asyncio
from collections.abc import Callable

from foresail.ports.request_turns import RequestTurns
from scaler.limits import Limit

LetThrough = list[tuple[float, str]]


async def ask(turns: RequestTurns, client: str, let_through: LetThrough) -> None:
    if await turns.take(client):
        let_through.append((asyncio.get_running_loop().time(), client))


async def test_requests_beyond_the_pace_wait_and_a_quiet_time_is_made_up_for_once(
    limits_exceeded: Callable[[], set[Limit]],
) -> None:
    turns, let_through = RequestTurns(a_second=2, at_once=3), LetThrough()
    for _ in range(3):
        await ask(turns, "a", let_through)
    assert Limit.REQUESTS not in limits_exceeded()
    for _ in range(3):
        await ask(turns, "a", let_through)
    assert [at for at, _ in let_through] == [0, 0, 0, 0.5, 1, 1.5]
    assert Limit.REQUESTS in limits_exceeded()

    await asyncio.sleep(100)
    for _ in range(5):
        await ask(turns, "a", let_through)
    assert [at for at, _ in let_through[6:]] == [101.5, 101.5, 101.5, 102, 102.5]


async def test_addresses_that_wait_have_turns_however_many_requests_one_of_them_has() -> None:
    turns, let_through = RequestTurns(a_second=1, at_once=1), LetThrough()
    async with asyncio.TaskGroup() as group:
        for client in (*["many"] * 1000, "few", "few"):
            _ = group.create_task(ask(turns, client, let_through))

    # The first finds a quiet port, the second is next when the others come.
    assert [client for _, client in let_through[2:8]] == ["many", "few"] * 2 + ["many"] * 2


async def test_who_has_left_takes_no_turn() -> None:
    turns, let_through = RequestTurns(a_second=1, at_once=1), LetThrough()
    await ask(turns, "a", let_through)
    gone = [asyncio.create_task(turns.take("b", lambda: True)) for _ in range(1000)]
    await ask(turns, "c", let_through)

    assert await asyncio.gather(*gone) == [False] * 1000
    assert let_through == [(0, "a"), (1, "c")]


async def test_an_answer_that_costs_more_counts_as_more_requests() -> None:
    turns, let_through = RequestTurns(a_second=10, at_once=10), LetThrough()
    await ask(turns, "a", let_through)
    turns.spend(29)
    await ask(turns, "a", let_through)

    assert let_through == [(0, "a"), (2.1, "a")]
