"""Logging never waits: for a reader, for a disk, at the end of the process."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from foresail.logs import _END_SECONDS_MAX, LogWriter
from scaler.limits import Limit

ROOT = Path(__file__).parents[2]
PROGRAM = """
import structlog
from foresail.logs import LogWriter, log_to_stderr

LogWriter.flush.__defaults__ = ({end_seconds},)
log_to_stderr("info")
log = structlog.get_logger()
for n in range({lines}):
    log.info("line", n=n, text="x" * {width})
print("done", flush=True)
"""


def run(
    stderr: int, *, lines: int, width: int = 100, end_seconds: float = _END_SECONDS_MAX
) -> subprocess.CompletedProcess[bytes]:
    """The program, with nobody reading its log meanwhile, which waits so long at its end."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.format(lines=lines, width=width, end_seconds=end_seconds)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=stderr,
        timeout=60,
        check=False,
    )


def test_a_log_that_nobody_reads_stops_nothing() -> None:
    reading, writing = os.pipe()
    try:
        ended = run(writing, lines=20_000)  # far more than a pipe holds
    finally:
        os.close(writing)
        os.close(reading)

    assert (ended.stdout, ended.returncode) == (b"done\n", 0)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_stops_nothing() -> None:
    with Path("/dev/full").open("wb") as full:
        ended = run(full.fileno(), lines=100)

    assert (ended.stdout, ended.returncode) == (b"done\n", 0)


def test_all_lines_of_a_read_log_are_there_at_the_end(tmp_path: Path) -> None:
    file = tmp_path / "log"
    with file.open("wb") as log:
        run(log.fileno(), lines=500, end_seconds=60)

    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["n"] for line in lines] == list(range(500))


def test_a_line_has_an_end(tmp_path: Path) -> None:
    file = tmp_path / "log"
    with file.open("wb") as log:
        run(log.fileno(), lines=1, width=1_000_000, end_seconds=60)

    (line,) = file.read_text().splitlines()
    assert json.loads(line)["event"] == "long_line"
    assert len(line) < 20_000


def test_lines_that_are_cut_or_dropped_are_counted(
    limits_exceeded: Callable[[], set[Limit]],
) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    writer = LogWriter(writing)
    for _ in range(2000):
        writer.put("x" * 100)
    assert limits_exceeded() == {Limit.LOG_LINES_WAITING}

    writer.put("x" * 20_000)
    assert limits_exceeded() == {Limit.LOG_LINES_WAITING, Limit.LOG_LINE}
    os.close(reading)  # the thread of the writer is then free of it
