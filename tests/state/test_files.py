"""A directory of states: what was written is found again, and a faulty disk hurts nothing."""

import asyncio
import os
import resource
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bench._faults_row import Observe
from scaler.serving.state_files import KEPT_MAX, KEPT_SECONDS, SLICES, StateFiles, name_of, slice_of
from scaler.serving.state_keeper import StateKeeper
from scaler.state.feed_bytes import decode_feed
from scaler.state.frames import Frame
from scaler.state.records import FeedState, WorkloadState
from scaler.state.workload_bytes import decode_workload, encode_workload
from tests.state.records import NOW, REFERENCE, feed, workload


def frame(name: str = "feed", payload: bytes = b"state", *, at: float = NOW) -> Frame:
    return Frame(name=name, at_seconds=at, payload=payload)


def write(files: StateFiles, key: str, *, at: float = NOW, payload: bytes = b"state") -> None:
    files.write_feeds(slice_of(key), [frame(name_of(key), payload, at=at)], now_seconds=NOW)


def same_slice(count: int) -> list[str]:
    """Keys that share a file."""
    names = (f"feed-{number}" for number in range(100_000))
    return list(islice((name for name in names if slice_of(name) == 0), count))


@contextmanager
def disk_of(size: int) -> Iterator[None]:
    """No file may grow beyond so many bytes; a write is cut off there, as by a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_feed_is_found_again_by_another_process(tmp_path: Path) -> None:
    one, other = same_slice(2)
    write(StateFiles(tmp_path), one, payload=b"one")
    write(StateFiles(tmp_path), other, payload=b"other")
    files = StateFiles(tmp_path)

    assert (files.read_feed(one), files.read_feed(other)) == (b"one", b"other")
    assert files.read_feed("never written") is None


def test_a_feed_is_read_from_the_file_that_stands_there_now(tmp_path: Path) -> None:
    one, other = same_slice(2)
    files = StateFiles(tmp_path)
    write(files, one, payload=b"old")
    assert files.read_feed(one) == b"old"

    write(StateFiles(tmp_path), other)
    write(StateFiles(tmp_path), one, payload=b"newer and longer")

    assert files.read_feed(one) == b"newer and longer"


def test_feeds_that_nobody_asks_about_are_kept_for_a_day_and_bounded(tmp_path: Path) -> None:
    files = StateFiles(tmp_path)
    asked, old, *others = same_slice(KEPT_MAX + 12)
    aged = [frame(name_of(key), at=NOW - 10 - number) for number, key in enumerate(others)]
    aged.append(frame(name_of(old), at=NOW - KEPT_SECONDS - 1))
    files.write_feeds(0, aged, now_seconds=NOW)

    write(files, asked)

    assert files.read_feed(asked) is not None
    assert files.read_feed(old) is None
    assert sum(files.read_feed(key) is not None for key in others) == KEPT_MAX
    assert files.read_feed(others[0]) is not None
    assert files.read_feed(others[-1]) is None


def test_the_number_of_files_has_a_bound(tmp_path: Path) -> None:
    files = StateFiles(tmp_path)
    files.acquire()
    for number in range(500):
        write(files, f"feed-{number}")
    files.replace_workloads([frame()])

    assert len(list(tmp_path.iterdir())) == SLICES + 2  # the lock and the workloads


def test_later_states_stand_behind_earlier_ones(tmp_path: Path) -> None:
    files = StateFiles(tmp_path)
    files.append_workloads([frame(payload=b"1"), frame(payload=b"2")])
    files.append_workloads([frame(payload=b"3")])
    assert [one.payload for one in files.read_workloads()] == [b"1", b"2", b"3"]

    files.replace_workloads([frame(payload=b"3")])
    assert [one.payload for one in files.read_workloads()] == [b"3"]


def test_a_damaged_file_is_named_and_costs_its_own_states(
    tmp_path: Path, observed: Observe
) -> None:
    files = StateFiles(tmp_path)
    files.append_workloads([frame(payload=b"first"), frame(payload=b"second")])
    path = tmp_path / "workloads.state"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)

    with capture_logs() as said:
        found = files.read_workloads()

    assert [one.payload for one in found] == [b"first"]
    observed(
        f"{len(found)} of the 1 whole state read, the damage named",
        lost=1 - len(found),
    )
    (line,) = said
    assert (line["event"], line["reason"]) == ("state_refused", "corrupted")
    assert line["file"] == str(path)


def test_an_append_that_the_disk_cut_off_is_undone(tmp_path: Path, observed: Observe) -> None:
    files = StateFiles(tmp_path)
    size = files.append_workloads([frame(payload=b"first")])

    with disk_of(size + 10), pytest.raises(OSError, match=r"space|large"):
        files.append_workloads([frame(payload=b"second")])
    files.append_workloads([frame(payload=b"third")])

    found = [one.payload for one in files.read_workloads()]
    observed(
        f"{len(found)} of the 2 states that there was room for are read",
        lost=2 - len(found),
    )
    assert found == [b"first", b"third"]


def test_a_slice_that_the_disk_cut_off_leaves_the_old_one(tmp_path: Path) -> None:
    files = StateFiles(tmp_path)
    write(files, "feed", payload=b"old")

    with disk_of(50), pytest.raises(OSError, match=r"space|large"):
        write(files, "feed", payload=b"new" * 100)

    assert files.read_feed("feed") == b"old"
    assert [path.name for path in tmp_path.glob("*.tmp")] == []


def test_one_process_writes_and_its_death_lets_the_next_one(tmp_path: Path) -> None:
    first, second = StateFiles(tmp_path), StateFiles(tmp_path)
    first.acquire()
    (tmp_path / "feeds-00.tmp").write_bytes(b"left by a crash")

    with pytest.raises(BlockingIOError):
        second.acquire()
    first.release()
    second.acquire()

    assert [path.name for path in tmp_path.glob("*.tmp")] == []


# The keeper.

DISK_SECONDS_MAX = 60.0


async def until(condition: Callable[[], bool]) -> None:
    """Let simulated time pass until something is true.

    The disk's threads take real time: a slow disk or busy cores may need seconds of it, in which
    the simulated clock runs on for hours. So the limit is one of real time.
    """
    give_up_at = time.perf_counter() + DISK_SECONDS_MAX
    while not condition():
        if time.perf_counter() > give_up_at:
            raise AssertionError(f"it did not happen within {DISK_SECONDS_MAX:.0f} s")
        await asyncio.sleep(1)
        os.sched_yield()


@contextmanager
def keeping(directory: Path, feeds: Mapping[str, FeedState] | None = None) -> Iterator[StateKeeper]:
    keeper = StateKeeper(StateFiles(directory), every_seconds=64.0, clock=lambda: NOW)
    held = feeds or {}

    def take() -> dict[str, Callable[[], FeedState]]:
        return {key: lambda state=state: state for key, state in held.items()}

    task = asyncio.get_running_loop().create_task(keeper.run(take))
    try:
        yield keeper
    finally:
        task.cancel()


def note(keeper: StateKeeper, state: WorkloadState) -> None:
    keeper.note(state.reference, encode_workload(state), at_seconds=NOW)


async def test_a_noted_workload_is_on_disk_soon(tmp_path: Path) -> None:
    with keeping(tmp_path) as keeper:
        note(keeper, workload(7))
        await until(lambda: bool(StateFiles(tmp_path).read_workloads()))
        note(keeper, workload(9))
        await until(lambda: len(StateFiles(tmp_path).read_workloads()) > 1)

    last = StateFiles(tmp_path).read_workloads()[-1]
    assert decode_workload(last.payload) == workload(9)


async def test_a_forgotten_workload_is_left_out_of_the_next_whole_file(tmp_path: Path) -> None:
    with keeping(tmp_path) as keeper:
        note(keeper, workload(7))
        note(keeper, workload(8, name="other"))
        keeper.forget(REFERENCE)
        await until(lambda: bool(StateFiles(tmp_path).read_workloads()))

    (kept,) = StateFiles(tmp_path).read_workloads()
    assert decode_workload(kept.payload).reference.name == "other"


async def test_every_feed_is_on_disk_after_a_round(tmp_path: Path) -> None:
    feeds = {key: feed(key) for key in ("a", "b", "c")}
    with keeping(tmp_path, feeds):
        await until(lambda: all(StateFiles(tmp_path).read_feed(key) for key in feeds))

    for key, state in feeds.items():
        payload = StateFiles(tmp_path).read_feed(key)
        assert payload is not None
        assert decode_feed(payload) == state


async def test_a_disk_that_cannot_be_written_is_said_once_and_again_when_it_works(
    tmp_path: Path, observed: Observe
) -> None:
    directory = tmp_path / "states"
    directory.write_bytes(b"a file where a directory should be")
    with capture_logs() as said, keeping(directory, {"a": feed("a")}) as keeper:
        note(keeper, workload(7))
        await until(lambda: bool(said))
        await asyncio.sleep(600)
        assert [line["event"] for line in said] == ["state_not_kept"]
        assert said[0]["directory"] == str(directory)

        directory.unlink()
        begun = asyncio.get_running_loop().time()
        await until(lambda: len(said) > 1)
        await until(lambda: bool(StateFiles(directory).read_workloads()))
        seconds = asyncio.get_running_loop().time() - begun

    assert said[1]["event"] == "state_kept_again"
    observed(
        "one line in the log; the last state is on disk when it works again",
        recovered_seconds=seconds,
    )


async def test_what_a_crash_left_at_the_end_of_the_file_hides_nothing_new(tmp_path: Path) -> None:
    files = StateFiles(tmp_path)
    files.append_workloads([frame(payload=b"x" * 100)])
    with suppress(OSError):
        os.truncate(tmp_path / "workloads.state", 60)

    with keeping(tmp_path) as keeper:
        note(keeper, workload(7))
        await until(lambda: bool(files.read_workloads()))

    assert decode_workload(files.read_workloads()[0].payload) == workload(7)


async def test_a_state_that_cannot_be_taken_costs_no_other(tmp_path: Path) -> None:
    def broken() -> FeedState:
        raise RuntimeError("a fault of ours")

    keeper = StateKeeper(StateFiles(tmp_path), every_seconds=64.0, clock=lambda: NOW)
    one, other = same_slice(2)
    feeds = {one: broken, other: lambda: feed(other)}
    task = asyncio.create_task(keeper.run(lambda: feeds))
    with capture_logs() as said:
        await until(lambda: StateFiles(tmp_path).read_feed(other) is not None)
    task.cancel()

    assert {line["event"] for line in said} == {"state_not_taken"}


async def test_a_state_larger_than_a_reader_takes_is_not_written(tmp_path: Path) -> None:
    one, other = same_slice(2)
    large = feed(one, snapshot=b"x" * 2**21)
    with keeping(tmp_path, {one: large, other: feed(other)}):
        await until(lambda: StateFiles(tmp_path).read_feed(other) is not None)

    assert StateFiles(tmp_path).read_feed(one) is None


async def test_a_feed_that_waits_for_its_past_keeps_what_is_on_disk(tmp_path: Path) -> None:
    files = StateFiles(tmp_path)
    known, *waiting = same_slice(KEPT_MAX + 10)
    before = [frame(name_of(key), b"before") for key in (known, *waiting)]
    files.write_feeds(0, before, now_seconds=NOW)
    keeper = StateKeeper(files, every_seconds=64.0, clock=lambda: NOW)
    feeds = {known: lambda: feed(known), **dict.fromkeys(waiting)}
    task = asyncio.create_task(keeper.run(lambda: feeds))
    await until(lambda: StateFiles(tmp_path).read_feed(known) != b"before")
    task.cancel()

    assert {StateFiles(tmp_path).read_feed(key) for key in waiting} == {b"before"}


def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "workloads.state")

    with pytest.raises(OSError, match="not a regular file"):
        StateFiles(tmp_path).read_workloads()
