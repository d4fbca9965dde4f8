"""How many requests of each address a port lets in, in simulated time."""

import asyncio
from collections.abc import Callable

from foresail.ports.request_pace import ADDRESSES_MAX, HELD_BACK_MAX, RequestPace
from scaler.limits import Limit


async def let_in(pace: RequestPace, *addresses: str) -> list[bool]:
    """Whether each request is let in; all come at once."""
    return await asyncio.gather(*(pace.admit(address) for address in addresses))


async def test_requests_beyond_the_pace_are_refused_and_a_quiet_time_is_made_up_for_once(
    limits_exceeded: Callable[[], set[Limit]],
) -> None:
    loop, pace = asyncio.get_running_loop(), RequestPace(a_second=2, at_once=3)
    assert await let_in(pace, "a", "a", "a") == [True] * 3
    assert loop.time() == 0
    assert Limit.REQUESTS not in limits_exceeded()

    assert not await pace.admit("a")
    assert loop.time() == 1  # a connection that stays open asks once a second
    assert Limit.REQUESTS in limits_exceeded()

    assert await let_in(pace, *"aaa") == [True, True, False]  # of the second that it waited
    await asyncio.sleep(100)
    assert await let_in(pace, *"aaaa") == [True, True, True, False]


async def test_one_address_takes_nothing_from_another() -> None:
    pace = RequestPace(a_second=1, at_once=1)
    pace.charge("greedy", 1e9)
    refused = asyncio.gather(*(pace.admit("greedy") for _ in range(100)))
    await asyncio.sleep(0)

    assert await pace.admit("modest")
    assert asyncio.get_running_loop().time() == 0
    assert await refused == [False] * 100


async def test_a_refusal_is_held_for_a_second_and_only_so_many_are() -> None:
    loop, pace = asyncio.get_running_loop(), RequestPace(a_second=1, at_once=1)
    pace.charge("a", 100)
    refused = [asyncio.create_task(pace.admit("a")) for _ in range(10_000)]
    await asyncio.sleep(0.5)  # their clients have left, say
    assert sum(not task.done() for task in refused) == HELD_BACK_MAX

    assert await asyncio.gather(*refused) == [False] * 10_000
    assert loop.time() == 1
    assert not await pace.admit("a")
    assert loop.time() == 2  # there is room again


async def test_an_answer_that_costs_more_counts_as_more_requests() -> None:
    pace = RequestPace(a_second=10, at_once=10)
    assert await pace.admit("a", 5)
    pace.charge("a", 5)
    assert not await pace.admit("a")


async def test_no_debt_outlasts_three_seconds() -> None:
    pace = RequestPace(a_second=10, at_once=10)
    assert await pace.admit("a", 1e9)
    pace.charge("a", 1e9)
    await asyncio.sleep(2.5)
    assert not await pace.admit("a")  # told so at 3.5 s
    assert await pace.admit("a")


async def test_addresses_without_room_in_the_table_share_a_pace_until_others_are_quiet() -> None:
    pace = RequestPace(a_second=1, at_once=2)
    many = [f"10.0.0.{n}" for n in range(ADDRESSES_MAX)]
    assert all(await let_in(pace, *many))
    assert await let_in(pace, "late-1", "late-2", "late-3") == [True, True, False]

    await asyncio.sleep(2)
    assert all(await let_in(pace, "late-1", "late-2", "late-3", "late-3"))
