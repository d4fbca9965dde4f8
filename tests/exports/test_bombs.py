"""Files that are small, and whose reading would take all memory, all time, or wait for ever."""

import json
import os
import shutil
import tracemalloc
from pathlib import Path

import pytest

from foresail.exports.dumps import read_dump
from foresail.exports.errors import ExportError
from foresail.exports.found import FoundSeries
from foresail.exports.labels import labels_of
from foresail.exports.reading import Asked, read_export
from replay.traces import Lengths, Trace
from tests.cpu_time import cpu_seconds

duckdb = pytest.importorskip("duckdb")

ASKED = Asked(lengths=Lengths(prompt_tokens=800, output_tokens=200))


@pytest.mark.parametrize("column", ["repeat('x', 100000)", "range(10000)"], ids=["text", "list"])
def test_a_parquet_file_of_huge_values_is_refused_before_they_are_in_memory(
    tmp_path: Path, column: str
) -> None:
    path = tmp_path / "bomb.parquet"
    duckdb.sql(
        f"COPY (SELECT i * 60 AS time, 1.0 AS value, {column} AS pod FROM range(100) t(i))"  # noqa: S608 - our own
        f" TO '{path}'"
    )
    tracemalloc.start()
    try:
        with pytest.raises(ExportError, match="a value of over 16384 bytes in a row"):
            read_export(path, ASKED)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 4_000_000


def test_a_pipe_is_refused_and_not_read_in_part() -> None:
    """As of `--from <(gunzip --stdout export.csv.gz)`: its beginning would be gone."""
    reader, writer = os.pipe()
    try:
        os.write(writer, b"time,requests_per_second\n60,1\n120,1\n")
        os.close(writer)
        with pytest.raises(ExportError, match="a pipe can be read only once: write what comes out"):
            read_export(Path(f"/dev/fd/{reader}"), ASKED)
    finally:
        os.close(reader)


@pytest.mark.parametrize("more", ["", "a"])
def test_a_long_line_may_have_any_characters_anywhere(tmp_path: Path, more: str) -> None:
    """The kind of a file is told by its first 64 KiB, which may end within a character."""
    series = {
        "metric": {"__name__": "requests_per_second", "title": more + "ä" * 40_000},
        "values": [[60, "1"], [120, "2"]],
    }
    path = tmp_path / "answer.json"
    answer = {"status": "success", "data": {"resultType": "matrix", "result": [series]}}
    path.write_text(json.dumps(answer, ensure_ascii=False), encoding="utf-8")
    assert isinstance(read_export(path, ASKED), Trace)


def test_a_line_of_spaces_takes_no_more_time_than_its_length() -> None:
    line = "up" + " " * 20_000 + "!"
    assert labels_of(line) is None
    assert cpu_seconds(lambda: labels_of(line)) < 0.5


class _Points:
    def __init__(self) -> None:
        self.asked = 0

    def wants(self, series: FoundSeries) -> bool:
        self.asked += series.name is not None
        return True

    def add(self, series: FoundSeries, at_seconds: float, value: float) -> None:
        """Take it."""


def test_series_of_a_dump_that_take_turns_are_kept_once_each() -> None:
    points = _Points()
    lines = [f"{name} 1 {at}" for at in range(100) for name in ("up", "down")]
    assert read_dump(lines, points, place="dump.txt") == 200
    assert points.asked == 2


def test_titles_in_a_message_are_cut(tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    path.write_text(f"time,{'x' * 100_000}\n60,1\n120,1\n")
    with pytest.raises(ExportError, match="say which is which with --column") as raised:
        read_export(path, ASKED)
    path.write_text(f"{'y' * 100_000},x\n60,1\n")
    with pytest.raises(ExportError, match="expected t_s and requests") as without_time:
        read_export(path, ASKED)
    assert max(map(len, (str(raised.value), str(without_time.value)))) < 10_000


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool on the PATH")
@pytest.mark.parametrize("place", ["wal/all", "01BLOCK/all"])
def test_a_data_folder_with_a_link_is_refused_before_the_disk_behind_it_is_copied(
    tmp_path: Path, place: str
) -> None:
    """Of a log, and of a block beside it."""
    large = tmp_path / "all-of-the-disk"
    large.mkdir()
    data = tmp_path / "data"
    for folder in ("wal", "01BLOCK"):
        (data / folder).mkdir(parents=True)
    for file in ("meta.json", "index"):
        (data / "01BLOCK" / file).touch()
    (data / place).symlink_to(large)
    with pytest.raises(ExportError, match=f"{place}: neither a file nor a folder"):
        read_export(data, ASKED)
