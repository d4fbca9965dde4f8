"""The garbage collector beside the answers, and beside the looks."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from foresail.ports.process import FULL_PASS_SECONDS, collect_seldom, spare_collector


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def test_a_pass_waits_for_no_more_than_a_thousand_new_objects_and_visits_no_old_ones() -> None:
    old: list[object] = [[] for _ in range(50_000)]
    spare_collector()
    passes = gc.get_stats()[0]["collections"]

    new: list[object] = [[] for _ in range(5_050)]

    assert gc.get_stats()[0]["collections"] - passes == 5
    assert gc.get_freeze_count() > len(old)
    assert len(gc.get_objects()) < len(new) + 1_000


class _Cycle:
    def __init__(self) -> None:
        self.itself = self


@asynccontextmanager
async def as_in_the_planner() -> AsyncIterator[None]:
    task = asyncio.create_task(collect_seldom())
    await asyncio.sleep(0)
    yield
    task.cancel()


def full_passes() -> int:
    return int(gc.get_stats()[2]["collections"])


async def test_no_number_of_new_objects_makes_a_full_pass_of_the_planner() -> None:
    async with as_in_the_planner():
        passes = full_passes()

        kept: list[object] = [[] for _ in range(len(gc.get_objects()) + 100_000)]

        assert full_passes() == passes, len(kept)


async def test_an_old_cycle_is_freed_at_the_planners_next_full_pass() -> None:
    cycle = _Cycle()
    known = weakref.ref(cycle)
    for generation in (0, 1):
        gc.collect(generation)
    async with as_in_the_planner():
        del cycle
        gc.collect(1)
        assert known() is not None

        await asyncio.sleep(FULL_PASS_SECONDS + 1)

        assert known() is None
