"""One replica of the controller leads, and stops acting before another can."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from bench._faults_row import Observe
from foresail.controller.election import Election, Pace
from tests.foresail.controller.memory_leases import LeasesView, MemoryLeases

BEGIN = 1_800_000_000.0


@dataclass
class Replica:
    """One that stands for election, with a wall clock that may be wrong."""

    election: Election
    leases: LeasesView
    task: "asyncio.Task[None]"

    @property
    def leading(self) -> bool:
        return self.election.leading

    async def stop(self) -> None:
        """As SIGTERM does."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


def clock() -> float:
    return asyncio.get_running_loop().time()


@asynccontextmanager
async def standing(
    leases: MemoryLeases, name: str, *, wall_off: float = 0.0
) -> AsyncIterator[Replica]:
    view = leases.view()
    election = Election(view, name, steady=clock, wall=lambda: BEGIN + wall_off + clock())
    replica = Replica(election, view, asyncio.create_task(election.run()))
    try:
        yield replica
    finally:
        await replica.stop()


async def test_the_first_leads_and_the_second_waits() -> None:
    leases = MemoryLeases()
    async with standing(leases, "a") as a, standing(leases, "b") as b:
        await asyncio.sleep(300)
        assert (a.leading, b.leading) == (True, False)
        assert b.election.holder == "a"
        assert {one.holder for one in leases.writes} == {"a"}
        assert {one.transitions for one in leases.writes} == {0}


async def test_a_leader_that_ends_lets_the_other_lead_at_the_next_attempt() -> None:
    leases = MemoryLeases()
    async with standing(leases, "a") as a, standing(leases, "b") as b:
        await asyncio.sleep(60)
        await a.stop()
        assert leases.record is not None
        assert (leases.record.holder, a.leading) == ("", False)
        await asyncio.sleep(4.5)
        assert b.leading
        assert leases.record.transitions == 1


@pytest.mark.parametrize("at_seconds", [1.0, 7.0], ids=["the first write", "a renewal"])
async def test_one_that_ends_before_the_answer_to_its_write_gives_the_lease_back(
    at_seconds: float,
) -> None:
    """An attempt each 4 s and the 2 s of its answer: at 1 s and at 7 s one is under way."""
    leases = MemoryLeases()
    async with standing(leases, "a") as a:
        a.leases.answer_seconds = 2.0
        await asyncio.sleep(at_seconds)
        assert leases.record is not None
        assert leases.record.holder == "a"
        await a.stop()
    assert (leases.record.holder, a.leading) == ("", False)


async def test_the_note_of_a_leader_outlives_it_and_is_found_before_another_replaces_it() -> None:
    leases, notes, found = MemoryLeases(), ["1"], list[str]()
    async with standing(leases, "a") as a:
        a.election.note = lambda: notes[-1]
        await asyncio.sleep(8)
        notes.append("2")
        await a.stop()
    assert leases.record is not None
    assert (leases.record.holder, leases.record.note) == ("", "2")
    async with standing(leases, "b") as b:
        await asyncio.sleep(8)
        # One that has nothing to note leaves what is there.
        assert (b.leading, leases.record.note) == (True, "2")
    async with standing(leases, "c") as c:
        c.election.note_found = found.append
        c.election.note = lambda: f"{found[-1]} and 3"
        await asyncio.sleep(8)
        assert (c.leading, found, leases.record.note) == (True, ["2"], "2 and 3")


async def test_a_leader_that_is_cut_off_stops_before_the_other_begins(observed: Observe) -> None:
    leases = MemoryLeases()
    async with standing(leases, "a") as a, standing(leases, "b") as b:
        await asyncio.sleep(60)
        a.leases.hangs = True
        cut = clock()
        stopped = began = None
        while began is None:
            await asyncio.sleep(0.5)
            assert not (a.leading and b.leading)
            if not a.leading and stopped is None:
                stopped = clock() - cut
            if b.leading:
                began = clock() - cut
        # 20 s from its last renewal, which was up to 4 s before; the Lease lasts 30 s.
        assert stopped is not None
        assert 15 <= stopped <= 20.5
        assert 26 <= began <= 35
    observed(
        f"the first stops {stopped:.1f} s after the cut, the other begins after {began:.1f} s",
        recovered_seconds=began,
    )


@pytest.mark.parametrize("off", [-86_400.0, 86_400.0])
async def test_wall_clocks_that_are_apart_change_nothing(observed: Observe, off: float) -> None:
    leases, together = MemoryLeases(), 0
    async with standing(leases, "a") as a, standing(leases, "b", wall_off=off) as b:
        for _ in range(300):
            await asyncio.sleep(2)
            together += a.leading and b.leading
        assert (a.leading, b.leading) == (True, False)
    observed(f"two led at {together} of 300 moments", lost=together)
    assert together == 0


async def test_an_api_server_that_fails_for_a_moment_changes_nothing() -> None:
    leases = MemoryLeases()
    async with standing(leases, "a") as a, standing(leases, "b") as b:
        await asyncio.sleep(60)
        a.leases.unreachable = b.leases.unreachable = True
        await asyncio.sleep(12)
        assert a.leading
        assert a.election.trouble == "no route to host"
        a.leases.unreachable = b.leases.unreachable = False
        await asyncio.sleep(60)
        assert (a.leading, b.leading) == (True, False)
        assert a.election.trouble is None


async def test_without_an_api_server_nobody_leads() -> None:
    leases = MemoryLeases()
    async with standing(leases, "a") as a, standing(leases, "b") as b:
        await asyncio.sleep(60)
        a.leases.unreachable = b.leases.unreachable = True
        await asyncio.sleep(600)
        assert (a.leading, b.leading) == (False, False)


async def test_a_lease_that_is_deleted_makes_no_second_leader(observed: Observe) -> None:
    leases = MemoryLeases()
    async with standing(leases, "a") as a:
        await asyncio.sleep(2)  # so that `b` tries in the middle between two renewals of `a`
        async with standing(leases, "b") as b:
            await asyncio.sleep(59)
            leases.record = None
            together = 0
            for _ in range(200):
                await asyncio.sleep(0.5)
                together += a.leading and b.leading
            assert leases.record is not None
            assert (leases.record.holder, a.leading, b.leading) == ("a", True, False)
    observed(f"two led at {together} of 200 moments", lost=together)
    assert together == 0


async def test_a_renewal_whose_answer_is_lost_does_not_count() -> None:
    leases = MemoryLeases()
    async with standing(leases, "a") as a:
        await asyncio.sleep(60)
        a.leases.loses_answers = True
        await asyncio.sleep(25)
        assert not a.leading
        assert leases.record is not None
        assert leases.record.holder == "a"
        a.leases.loses_answers = False
        await asyncio.sleep(10)
        assert a.leading


async def test_many_that_begin_at_once_have_one_leader() -> None:
    leases = MemoryLeases()
    async with (
        standing(leases, "a") as a,
        standing(leases, "b") as b,
        standing(leases, "c") as c,
    ):
        for _ in range(200):
            await asyncio.sleep(0.5)
            assert sum(one.leading for one in (a, b, c)) <= 1
        assert sum(one.leading for one in (a, b, c)) == 1


def test_a_pace_that_would_make_two_leaders_is_refused() -> None:
    with pytest.raises(ValueError, match="the lease must be the longest"):
        Pace(lease_seconds=20.0, deadline_seconds=20.0)
