"""Decisions outlive restarts, within bounds; a file that cannot be used stops nothing."""

import os
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bench._faults_row import Observe
from foresail.explain.decision_log import Bounds, DecisionLog, Entry

NOW = 1_772_496_000.0
DAY = 86_400.0
BOUNDS = Bounds(seconds=7 * DAY, per_workload=1000, size_bytes=2**26)


def entry(replicas: int, at: float, *, name: str = "chat", padding: int = 0) -> Entry:
    account = {"plan": {"planned": replicas}, "padding": os.urandom(padding // 2).hex()}
    return Entry(workload=f"llm/{name}", trigger="a", at_seconds=at, account=account)


def opened(folder: Path, bounds: Bounds = BOUNDS) -> DecisionLog:
    return DecisionLog(folder, bounds)


def planned(decisions: DecisionLog, at: float, name: str = "chat") -> int | None:
    """Of the decision in force at a moment."""
    for one in decisions.at(f"llm/{name}", at).decisions:
        if one.in_force and one.account is not None:
            return int(one.account["plan"]["planned"])
    return None


@contextmanager
def disk_of(size: int) -> Iterator[None]:
    """No file may grow beyond so many bytes; a write is cut off there, as by a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_the_decision_of_a_moment_is_the_newest_before_it(tmp_path: Path) -> None:
    decisions = opened(tmp_path)
    decisions.append([entry(3, NOW), entry(5, NOW + 600)], now_seconds=NOW + 1000)

    assert planned(decisions, NOW - 1) is None
    assert planned(decisions, NOW) == 3
    assert planned(decisions, NOW + 599) == 3
    assert planned(decisions, NOW + 600) == 5
    (found,) = decisions.at("llm/chat", NOW + 10).decisions
    assert (found.at_seconds, found.until_seconds) == (NOW, NOW + 600)
    assert decisions.at("llm/chat", NOW - 1).first_seconds == NOW
    assert decisions.at("llm/other", NOW).first_seconds is None


def test_a_restart_keeps_what_was_and_knows_when_nothing_ran(tmp_path: Path) -> None:
    before = opened(tmp_path)
    before.append([entry(3, NOW)], now_seconds=NOW)
    before.append([], now_seconds=NOW + 300)
    before.close()
    after = opened(tmp_path)
    after.append([entry(4, NOW + 3600)], now_seconds=NOW + 3600)

    assert planned(after, NOW + 300) == 3
    assert planned(after, NOW + 360) == 3  # it may have ended up to a minute after its last word
    assert planned(after, NOW + 361) is None
    (found,) = after.at("llm/chat", NOW + 1000).decisions
    assert (found.in_force, found.written_until_seconds) == (False, NOW + 300)
    assert planned(after, NOW + 9000) == 4  # of the run that goes on


def test_a_forgotten_workload_has_no_decision_in_force(tmp_path: Path) -> None:
    decisions = opened(tmp_path)
    gone = Entry(workload="llm/chat", trigger="a", at_seconds=NOW + 60, account=None)
    decisions.append([entry(3, NOW), gone], now_seconds=NOW + 60)

    assert planned(decisions, NOW + 59) == 3
    assert planned(decisions, NOW + 60) is None


def test_a_trigger_before_its_edit_and_after_it_are_both_kept(tmp_path: Path) -> None:
    decisions = opened(tmp_path)
    edited = Entry(workload="llm/chat", trigger="b", at_seconds=NOW + 60, account={"n": 2})
    decisions.append([entry(3, NOW), edited], now_seconds=NOW + 60)

    found = decisions.at("llm/chat", NOW + 100).decisions
    assert [one.at_seconds for one in found] == [NOW + 60, NOW]


# Bounds.


def test_old_decisions_go_but_not_the_one_in_force_at_the_bound(tmp_path: Path) -> None:
    decisions = opened(tmp_path)
    times = (NOW, NOW + DAY, NOW + 9 * DAY)
    decisions.append([entry(n, at) for n, at in enumerate(times)], now_seconds=times[-1])
    decisions.prune(now_seconds=NOW + 10 * DAY)  # the bound is at the third day

    assert planned(decisions, NOW + 0.5 * DAY) is None
    assert planned(decisions, NOW + 4 * DAY) == 1
    assert decisions.at("llm/chat", NOW).first_seconds == NOW + DAY


def test_a_workload_has_no_more_than_its_number_of_decisions(tmp_path: Path) -> None:
    decisions = opened(tmp_path, Bounds(seconds=7 * DAY, per_workload=3, size_bytes=2**26))
    decisions.append([entry(n, NOW + n) for n in range(10)], now_seconds=NOW + 10)
    decisions.append([entry(0, NOW, name="other")], now_seconds=NOW + 10)
    decisions.prune(now_seconds=NOW + 10)

    assert decisions.at("llm/chat", NOW).first_seconds == NOW + 7
    assert decisions.at("llm/other", NOW).first_seconds == NOW


def test_the_file_stays_within_its_bytes_and_the_newest_stay(tmp_path: Path) -> None:
    size = 2**20
    decisions = opened(tmp_path, Bounds(seconds=7 * DAY, per_workload=10**6, size_bytes=size))
    for minute in range(100):  # 4 MB of what does not compress well
        some = [entry(minute, NOW + minute, name=f"w{n}", padding=8000) for n in range(10)]
        decisions.append(some, now_seconds=NOW + minute)

    decisions.close()
    assert (tmp_path / "decisions.sqlite").stat().st_size <= size
    again = opened(tmp_path, Bounds(seconds=7 * DAY, per_workload=10**6, size_bytes=size))
    assert planned(again, NOW + 99, name="w0") == 99
    assert planned(again, NOW + 1, name="w0") is None


def test_accounts_that_resemble_each_other_take_little(tmp_path: Path) -> None:
    rules = {f"rule {n}": os.urandom(40).hex() for n in range(50)}  # 4 KB that do not compress
    decisions = opened(tmp_path)
    decisions.append([Entry(workload="llm/a", trigger="a", at_seconds=NOW, account={"unread": 1})],
                     now_seconds=NOW)  # fmt: skip
    many = [
        Entry(workload=f"llm/{n}", trigger="a", at_seconds=NOW, account={"n": n, **rules})
        for n in range(1000)
    ]
    decisions.append(many, now_seconds=NOW)
    decisions.close()

    assert (tmp_path / "decisions.sqlite").stat().st_size < 300 * 1000
    (found,) = opened(tmp_path).at("llm/999", NOW).decisions
    assert found.account == {"n": 999, **rules}


def test_what_old_decisions_were_compressed_with_goes_with_them(tmp_path: Path) -> None:
    for day in range(20):
        decisions = opened(tmp_path)
        at = NOW + day * DAY
        decisions.append([entry(day, at, padding=1000)], now_seconds=at)
        decisions.prune(now_seconds=at)
        decisions.close()

    # Of the last seven days, and of the one that was in force at their beginning.
    with sqlite3.connect(tmp_path / "decisions.sqlite") as database:
        for table in ("decisions", "runs", "dictionaries"):
            assert database.execute(f"SELECT COUNT(*) FROM {table}").fetchone() == (8,)  # noqa: S608
    database.close()
    again = opened(tmp_path)
    again.append([], now_seconds=NOW + 19 * DAY)
    (found,) = again.at("llm/chat", NOW + 15 * DAY).decisions
    assert found.account is not None
    assert found.account["plan"] == {"planned": 15}


# Files that cannot be used.


@pytest.mark.parametrize("content", [b"not a database at all, " * 100, b"SQLite format 3\0" * 300])
def test_a_damaged_file_is_set_aside_and_keeping_goes_on(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "decisions.sqlite").write_bytes(content)
    decisions = opened(tmp_path)
    with capture_logs() as said:
        decisions.append([entry(3, NOW)], now_seconds=NOW)
        decisions.append([entry(4, NOW + 1)], now_seconds=NOW + 1)

    assert [line["event"] for line in said] == ["decisions_set_aside"]
    assert (tmp_path / "decisions.damaged").read_bytes() == content
    assert planned(decisions, NOW + 1) == 4


def test_a_file_that_is_damaged_while_it_is_used_is_set_aside_too(
    tmp_path: Path, observed: Observe
) -> None:
    decisions = opened(tmp_path)
    decisions.append(
        [entry(n, NOW, name=f"w{n}", padding=4000) for n in range(200)], now_seconds=NOW
    )
    decisions.close()
    path = tmp_path / "decisions.sqlite"
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)  # all but the first page
    path.write_bytes(content)
    again = opened(tmp_path)
    with capture_logs() as said:
        again.append([entry(3, NOW)], now_seconds=NOW)

    assert [line["event"] for line in said] == ["decisions_set_aside"]
    kept = int(planned(again, NOW) == 3)
    observed(f"set aside; {kept} of 1 later decision kept", lost=1 - kept)
    assert kept == 1


def test_a_file_of_another_version_is_set_aside(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "decisions.sqlite") as newer:
        newer.execute("PRAGMA user_version = 9")
    newer.close()
    decisions = opened(tmp_path)
    decisions.append([entry(3, NOW)], now_seconds=NOW)

    assert planned(decisions, NOW) == 3
    assert (tmp_path / "decisions.damaged").exists()


def test_a_full_disk_is_an_error_and_the_next_write_succeeds(tmp_path: Path) -> None:
    decisions = opened(tmp_path)
    decisions.append([entry(3, NOW)], now_seconds=NOW)
    much = [entry(n, NOW + n, padding=8000) for n in range(100)]
    with disk_of(2**16), pytest.raises(sqlite3.OperationalError):
        decisions.append(much, now_seconds=NOW + 100)

    assert planned(decisions, NOW + 50) == 3  # all of a write, or nothing
    decisions.append(much, now_seconds=NOW + 100)
    assert planned(decisions, NOW + 50) == 50


def test_a_second_process_on_the_folder_does_not_write_and_takes_over_later(
    tmp_path: Path,
) -> None:
    first, second = opened(tmp_path), opened(tmp_path)
    first.append([entry(3, NOW)], now_seconds=NOW)
    with pytest.raises(BlockingIOError, match="another process keeps its decisions here"):
        second.append([entry(9, NOW)], now_seconds=NOW)

    assert planned(first, NOW) == 3
    first.close()
    second.append([entry(4, NOW + 60)], now_seconds=NOW + 60)
    assert planned(second, NOW + 30) == 3
    assert planned(second, NOW + 60) == 4


def test_nobody_else_reads_the_file(tmp_path: Path) -> None:
    opened(tmp_path).append([entry(3, NOW)], now_seconds=NOW)

    assert (tmp_path / "decisions.sqlite").stat().st_mode & 0o077 == 0
