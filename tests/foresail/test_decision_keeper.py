"""`foresail explain --at`: the decision of then, in the words of then, over restarts."""

import sqlite3
import zlib
from collections.abc import Sequence
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bench._faults_row import Observe
from foresail.explain.asked_time import moment_of
from foresail.explain.decision_log import Bounds, DecisionLog, Entry
from scaler.errors import ForesailError
from tests.foresail.test_explain import EPOCH, Site

BOUNDS = Bounds(seconds=7 * 86_400.0, per_workload=1000, size_bytes=2**26)


def site(folder: Path, *, begins: float = EPOCH, **metadata: str) -> Site:
    return Site(keeps=DecisionLog(folder, BOUNDS), begins=begins, **metadata)


async def writes(site: Site) -> None:
    assert site.keeper is not None
    await site.keeper.write_changes(site.loop.status)


def rows(folder: Path) -> int:
    with sqlite3.connect(folder / "decisions.sqlite") as database:
        (count,) = database.execute("SELECT COUNT(*) FROM decisions").fetchone()
    database.close()
    return int(count)


async def test_a_past_decision_is_explained_in_the_words_of_then(tmp_path: Path) -> None:
    one = site(tmp_path)
    await one.looks(every=60, times=3)
    await writes(one)
    _, then = await one.page("llm/qwen")
    await one.looks(prompt=9000.0, every=3600)
    await writes(one)
    one.now += 60

    # Looks at minutes 1 to 3; an hour later the next one, and a minute has gone by since.
    status, past = await one.page("llm/qwen", "?at=2026-03-03T00:10:00Z")
    _, now = await one.page("llm/qwen", "?at=-10s")
    assert status == 200
    head, _, body = past.partition("\n")
    assert head == (
        "at 2026-03-03 00:10:00Z: the decision of 2026-03-03 00:03:00Z, "
        "until 2026-03-03 01:03:00Z; as it was then:"
    )
    assert body == then
    assert "handed to KEDA" in then
    assert now.splitlines()[0] == (
        "at 2026-03-03 01:03:50Z: the decision of 2026-03-03 01:03:00Z, "
        "and still in force; as it was then:"
    )


async def test_before_the_first_decision_its_time_is_said(tmp_path: Path) -> None:
    one = site(tmp_path)
    await one.looks(every=60)
    await writes(one)
    one.now += 60

    assert await one.page("llm/qwen", "?at=2026-03-03T00:00:59Z") == (
        404,
        "no decision of llm/qwen is kept before 2026-03-03 00:01:00Z\n",
    )
    assert await one.page("llm/chat", "?at=-1s") == (404, "no decision of llm/chat is kept\n")


async def test_a_decision_outlives_a_restart_and_the_time_between_is_not_known(
    tmp_path: Path,
) -> None:
    before = site(tmp_path)
    await before.looks(every=60)
    await writes(before)
    _, then = await before.page("llm/qwen")
    assert before.keeper is not None
    before.keeper.close()
    after = site(tmp_path, begins=EPOCH + 3600)
    await after.looks(every=60)
    await writes(after)

    status, past = await after.page("llm/qwen", "?at=2026-03-03T00:01:30Z")
    assert (status, past.partition("\n")[2]) == (200, then)
    status, between = await after.page("llm/qwen", "?at=2026-03-03T00:30:00Z")
    assert status == 200
    assert between.splitlines()[0] == (
        "at 2026-03-03 00:30:00Z: ?, nothing was kept between 2026-03-03 00:01:00Z and "
        "2026-03-03 01:01:00Z; the last decision before, of 2026-03-03 00:01:00Z:"
    )


async def test_a_look_that_decides_the_same_adds_nothing(tmp_path: Path) -> None:
    one = site(tmp_path)
    for _ in range(5):
        await one.looks(every=60)
        await writes(one)

    assert rows(tmp_path) == 1
    await one.fails(after=15)  # the source is gone, and the answer stands
    await writes(one)
    assert rows(tmp_path) == 2


async def test_what_may_be_a_secret_is_not_kept(tmp_path: Path) -> None:
    one = site(tmp_path, passwordFromEnv="hunter2", unknownKey="hunter2")
    await one.looks(every=60)
    await writes(one)

    with sqlite3.connect(tmp_path / "decisions.sqlite") as database:
        ((packed, trigger),) = database.execute("SELECT account, trigger FROM decisions").fetchall()
        ((dictionary,),) = database.execute("SELECT content FROM dictionaries").fetchall()
    database.close()
    kept = dictionary + zlib.decompressobj(zdict=dictionary).decompress(packed)
    assert b"passwordFromEnv" in kept
    assert b"hunter2" not in kept
    # The name of a trigger is made of what may be shown: it cannot be tried for a secret either.
    other = site(tmp_path / "other", passwordFromEnv="1234", unknownKey="1234")
    await other.looks(every=60)
    await writes(other)
    with sqlite3.connect(tmp_path / "other" / "decisions.sqlite") as database:
        ((same,),) = database.execute("SELECT trigger FROM decisions").fetchall()
    database.close()
    assert same == trigger


async def test_a_disk_that_does_not_work_is_named_once_and_nothing_is_lost_meanwhile(
    tmp_path: Path, observed: Observe
) -> None:
    (tmp_path / "states").write_text("a file where the folder should be")
    one = site(tmp_path / "states")
    with capture_logs() as said:
        for prompt in (4000.0, 9000.0, 2000.0):
            await one.looks(prompt=prompt, every=600)
            await writes(one)
        (tmp_path / "states").unlink()
        await writes(one)

    events = [line["event"] for line in said if line["event"].startswith("decisions")]
    assert events == ["decisions_not_kept", "decisions_kept_again"]
    status, _ = await one.page("llm/qwen", "?at=2026-03-03T00:10:00Z")
    assert status == 200
    kept = rows(tmp_path / "states")
    observed(f"one line in the log; {kept} of 3 decisions kept", lost=3 - kept)
    assert kept == 3


async def test_a_file_that_somebody_has_locked_is_waited_for(
    tmp_path: Path, observed: Observe
) -> None:
    one = site(tmp_path)
    await one.looks(every=60)
    await writes(one)
    shell = sqlite3.connect(tmp_path / "decisions.sqlite", isolation_level=None)
    shell.execute("BEGIN IMMEDIATE")
    with capture_logs() as said:
        await one.looks(prompt=9000.0, every=600)
        await writes(one)
        shell.execute("ROLLBACK")
        shell.close()
        await writes(one)

    events = [line["event"] for line in said if line["event"].startswith("decisions")]
    assert events == ["decisions_not_kept", "decisions_kept_again"]
    kept = rows(tmp_path)
    observed(f"one line in the log; {kept} of 2 decisions kept", lost=2 - kept)
    assert kept == 2


class BrokenDisk(DecisionLog):
    """Refuses so many writes."""

    def __init__(self, folder: Path, failures: int) -> None:
        super().__init__(folder, BOUNDS)
        self.failures = failures

    def append(self, entries: Sequence[Entry], *, now_seconds: float) -> None:
        self.failures -= 1
        if self.failures >= 0:
            raise sqlite3.OperationalError("database or disk is full")
        super().append(entries, now_seconds=now_seconds)


async def test_what_waits_too_long_is_given_up_and_the_gap_is_shown(
    tmp_path: Path, observed: Observe
) -> None:
    one = Site(keeps=BrokenDisk(tmp_path, failures=3), waiting_max=2)
    with capture_logs() as said:
        for prompt in (4000.0, 9000.0, 2000.0, 9000.0):
            await one.looks(prompt=prompt, every=600)
            await writes(one)

    events = [line["event"] for line in said if line["event"].startswith("decisions")]
    assert events == ["decisions_not_kept", "decisions_lost", "decisions_kept_again"]
    lost = said[-1]["lost"]
    assert lost == 3
    observed(
        f"{lost} decisions that waited beyond the bound are given up, and the gap is said",
        lost=lost,
    )
    status, text = await one.page("llm/qwen", "?at=2026-03-03T00:25:00Z")
    assert (status, text) == (
        404,
        "no decision of llm/qwen is kept before 2026-03-03 00:40:00Z\n",
    )


class Faulty(DecisionLog):
    """Has a fault of ours."""

    def append(self, entries: Sequence[Entry], *, now_seconds: float) -> None:
        raise TypeError("a fault of ours")


async def test_a_fault_of_ours_ends_no_planner(tmp_path: Path) -> None:
    one = Site(keeps=Faulty(tmp_path, BOUNDS))
    await one.looks()
    with capture_logs() as said:
        await writes(one)

    assert [line["event"] for line in said] == ["decisions_not_taken", "decisions_lost"]


async def test_without_a_folder_it_is_said_which_setting_keeps_decisions() -> None:
    one = Site()
    await one.looks()

    status, text = await one.page("llm/qwen", "?at=-5s")
    assert (status, text) == (
        404,
        "no decisions are kept: the settings have no state.directory, or decisions: null\n",
    )


async def test_while_another_process_has_the_file_it_is_said(tmp_path: Path) -> None:
    first, second = site(tmp_path), site(tmp_path)
    await first.looks()
    await writes(first)
    await second.looks()
    await writes(second)

    status, text = await second.page("llm/qwen", "?at=-1s")
    assert status == 503
    assert "another process keeps its decisions here" in text


async def test_a_damaged_record_is_said_and_stops_nothing(tmp_path: Path) -> None:
    one = site(tmp_path)
    await one.looks()
    await writes(one)
    with sqlite3.connect(tmp_path / "decisions.sqlite") as database:
        database.execute("UPDATE decisions SET account = x'00'")
    database.close()

    status, text = await one.page("llm/qwen", "?at=-0s")
    assert status == 503
    assert text.startswith("decisions cannot be read: ")


async def test_a_moment_that_cannot_be_meant_is_refused(tmp_path: Path) -> None:
    status, text = await site(tmp_path).page("llm/qwen", "?at=yesterday")

    assert status == 400
    assert text == (
        "at: 'yesterday' is no moment: it takes RFC 3339, such as 2026-03-03T10:00:00Z, or a "
        "duration back, such as -2h\n"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-03T00:00:00Z", EPOCH),
        ("2026-03-03T02:00:00+02:00", EPOCH),
        ("-2h", EPOCH + 86_400 - 7200),
        ("-1h30m", EPOCH + 86_400 - 5400),
    ],
)
def test_a_moment_is_a_time_or_a_duration_back(text: str, expected: float) -> None:
    assert moment_of(text, now_seconds=EPOCH + 86_400) == expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("-", "is no moment"),
        ("-5", "is no moment"),
        ("-99999999d", "is no moment"),
        ("2026-03-03", "names no time zone"),
        ("2026-03-03T00:00:00", "names no time zone"),
        ("2026-03-05T00:00:00Z", "is in the future"),
        ("0001-01-01T00:00:00+14:00", "is no moment"),
    ],
)
def test_a_moment_that_is_none_is_refused(text: str, told: str) -> None:
    with pytest.raises(ForesailError, match=told):
        moment_of(text, now_seconds=EPOCH + 86_400)
