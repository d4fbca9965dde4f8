"""Slots for pasts, of which the newest that waits is next, and for looks, of namespaces in turn."""

import asyncio

import pytest

from scaler.serving.slots import InTurn, NewestFirst


async def read(slots: NewestFirst, name: str, asked_at: float, order: list[str]) -> None:
    async with slots.slot("a", lambda: asked_at):
        order.append(name)
        await asyncio.sleep(10)


async def test_the_newest_is_next_and_of_equally_new_ones_the_last_to_come() -> None:
    slots, order = NewestFirst(1), []
    async with asyncio.TaskGroup() as group:
        for name, asked_at in (("a", 50.0), ("b", 10.0), ("c", 30.0), ("d", 30.0)):
            group.create_task(read(slots, name, asked_at, order))
            await asyncio.sleep(1)

    assert order == ["a", "d", "c", "b"]


async def test_how_new_one_is_counts_when_a_slot_becomes_free() -> None:
    slots, order = NewestFirst(1), []
    asked_at = {"b": 10.0, "c": 20.0}

    async def waiting(name: str) -> None:
        async with slots.slot("a", lambda: asked_at[name]):
            order.append(name)

    async with asyncio.TaskGroup() as group:
        group.create_task(read(slots, "a", 0.0, order))
        await asyncio.sleep(1)
        group.create_task(waiting("b"))
        group.create_task(waiting("c"))
        await asyncio.sleep(1)
        asked_at["b"] = 30.0

    assert order == ["a", "b", "c"]


@pytest.mark.parametrize("given", [False, True], ids=["waiting", "just-given"])
async def test_one_that_gives_up_leaves_its_slot_to_the_next(given: bool) -> None:
    slots, order = NewestFirst(1), []
    async with slots.slot("a", lambda: 0.0):
        leaving = asyncio.create_task(read(slots, "leaving", 9.0, order))
        staying = asyncio.create_task(read(slots, "staying", 1.0, order))
        await asyncio.sleep(1)
        if not given:
            leaving.cancel()
    leaving.cancel()  # given a slot meanwhile, in the second case
    await asyncio.wait_for(staying, 11)

    assert order == ["staying"]
    async with asyncio.timeout(1), slots.slot("a", lambda: 0.0):
        pass


async def test_a_namespace_whose_feeds_are_always_the_newest_delays_anothers_past_by_one() -> None:
    slots, order = NewestFirst(1), []

    async def read_past(namespace: str, asked_at: float) -> None:
        async with slots.slot(namespace, lambda: asked_at):
            order.append(namespace)
            await asyncio.sleep(10)

    async with asyncio.TaskGroup() as group:
        for begun in range(6):  # one edit for each past that is read: one waits at a time
            group.create_task(read_past("edited", 100.0 + begun))
            if begun == 0:
                group.create_task(read_past("honest", 50.0))
                group.create_task(read_past("honest", 50.0))
            await asyncio.sleep(9.5)

    assert order[:4] == ["edited", "honest", "edited", "honest"]


# Looks.


async def look(slots: InTurn, namespace: str, order: list[str], seconds: float = 10.0) -> None:
    async with slots.slot(namespace):
        order.append(namespace)
        await asyncio.sleep(seconds)


async def test_a_namespace_of_many_looks_delays_another_by_one() -> None:
    slots, order = InTurn(1), []
    async with asyncio.TaskGroup() as group:
        for namespace in (*["many"] * 5, "few", "few", "one"):
            group.create_task(look(slots, namespace, order))

    assert order == ["many", "many", "few", "one", "many", "few", "many", "many"]


async def test_what_comes_after_all_looks_waits_for_none_that_has_a_slot_of_several() -> None:
    one, two, order = InTurn(1), InTurn(2), list[str]()

    async def last(slots: InTurn, name: str) -> None:
        await slots.until_free()
        order.append(name)

    async with asyncio.TaskGroup() as group:
        group.create_task(look(one, "first", order))
        group.create_task(look(one, "second", order))
        group.create_task(look(two, "third", order))
        await asyncio.sleep(1)
        group.create_task(last(one, "after all"))
        group.create_task(last(two, "beside"))

    assert order == ["first", "third", "beside", "second", "after all"]
    async with asyncio.timeout(1):
        await one.until_free()


async def test_a_look_that_goes_on_comes_before_those_of_its_namespace_that_have_not_begun() -> (
    None
):
    slots, order = InTurn(1), []

    async def of_parts(name: str) -> None:
        for part in range(3):
            async with slots.slot("same", ahead=part > 0):
                order.append(name)
                await asyncio.sleep(10.0)

    async with asyncio.TaskGroup() as group:
        for name in ("a", "b", "c"):
            group.create_task(of_parts(name))
        group.create_task(look(slots, "other", order))

    # The turn is given on before it is asked for again, so two of them go on side by side.
    assert order == ["a", "b", "other", "a", "b", "a", "b", "c", "c", "c"]


@pytest.mark.parametrize("given", [False, True], ids=["waiting", "just-given"])
async def test_a_look_that_is_given_up_leaves_its_turn(given: bool) -> None:
    slots, order = InTurn(1), []
    async with slots.slot("a"):
        leaving = asyncio.create_task(look(slots, "b", order))
        staying = asyncio.create_task(look(slots, "c", order))
        await asyncio.sleep(1)
        assert slots.locked()
        if not given:
            leaving.cancel()
    leaving.cancel()
    await asyncio.wait_for(staying, 11)

    assert order == ["c"]
    assert not slots.locked()
