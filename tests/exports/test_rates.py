"""Rates out of a dashboard, in whatever file they were saved, as traffic to replay."""

import json
import sys
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from foresail.cli import main
from foresail.exports import minutes
from foresail.exports.dumps import read_dump
from foresail.exports.errors import ExportError
from foresail.exports.kinds import Kind, kind_of
from foresail.exports.minutes import Minutes
from foresail.exports.moments import zone_named
from foresail.exports.rates import columns_given
from foresail.exports.reading import Asked, read_export
from foresail.exports.recorded import RecordedInExport
from replay.traces import Lengths, Trace

duckdb = pytest.importorskip("duckdb")

RATES = ("requests_per_second", "prompt_tokens_per_second", "generated_tokens_per_second")
BEGIN = 1_795_179_600
"""2026-11-20 13:00 UTC."""
UTC_ZONE = Asked(zone=UTC)
BERLIN = Asked(zone=zone_named("Europe/Berlin"))


def traffic(path: Path, asked: Asked = UTC_ZONE) -> Trace:
    found = read_export(path, asked)
    assert isinstance(found, Trace)
    return found


def written(tmp_path: Path, text: str, name: str = "export.csv") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def wide(tmp_path: Path, *times: str) -> Path:
    """2 to 4 requests a second, of 800 or 1000 prompt tokens; the third minute is missing."""
    return written(
        tmp_path,
        f"Time,{','.join(RATES)}\n"
        f"{times[0]},2,1600,400\n{times[1]},3,3000,900\n{times[2]},4,4000,400\n",
    )


def assert_as_recorded(trace: Trace) -> None:
    """Of `wide`, whatever it was written as."""
    assert trace.begin_seconds == BEGIN
    assert trace.step_seconds == 60
    np.testing.assert_array_equal(trace.requests_per_second, [2, 3, np.nan, 4])
    np.testing.assert_array_equal(trace.prompt_tokens, [800, 1000, np.nan, 1000])
    np.testing.assert_array_equal(trace.output_tokens, [200, 300, np.nan, 100])


@pytest.mark.parametrize(
    ("asked", "times"),
    [
        pytest.param(
            Asked(), ("1795179600000", "1795179660000", "1795179780000"), id="milliseconds"
        ),
        pytest.param(Asked(), ("1795179600", "1795179660", "1795179780"), id="seconds"),
        pytest.param(
            Asked(),
            ("2026-11-20T13:00:00Z", "2026-11-20T14:01:00+01:00", "2026-11-20T13:03:00.000Z"),
            id="dates-with-a-zone",
        ),
        pytest.param(
            BERLIN,
            ("2026-11-20 14:00:00", "2026-11-20 14:01:00", "2026-11-20 14:03:00"),
            id="dates-of-a-named-zone",
        ),
    ],
)
def test_grafanas_columns_are_rates_at_their_times_and_gaps_stay(
    tmp_path: Path, asked: Asked, times: tuple[str, ...]
) -> None:
    assert_as_recorded(traffic(wide(tmp_path, *times), asked))


def test_a_time_without_a_zone_is_refused_with_its_line(tmp_path: Path) -> None:
    path = wide(tmp_path, "2026-11-20 14:00:00", "2026-11-20 14:01:00", "2026-11-20 14:03:00")
    with pytest.raises(ExportError, match=r"export\.csv: line 2: .* say --timezone with the zone"):
        read_export(path, Asked())
    with pytest.raises(ExportError, match="--timezone 'Berlin' is no time zone"):
        zone_named("Berlin")


def test_the_hour_that_a_clock_repeats_comes_twice(tmp_path: Path) -> None:
    hours = ("2026-10-25 01:30:00", "2026-10-25 02:30:00", "2026-10-25 02:30:00")
    trace = traffic(wide(tmp_path, *hours), BERLIN)
    assert trace.begin_seconds == datetime(2026, 10, 24, 23, 30, tzinfo=UTC).timestamp()
    np.testing.assert_array_equal(trace.requests_per_second, [2, 3, 4])


def test_rows_that_are_blank_or_half_known_are_gaps(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        f"time,{','.join(RATES)}\n"
        f"{BEGIN},2,1600,400\n{BEGIN + 60},,,\n{BEGIN + 120},3,,900\n{BEGIN + 180},4,4000,400\n",
    )
    trace = traffic(path)
    np.testing.assert_array_equal(trace.requests_per_second, [2, np.nan, np.nan, 4])


def test_grafanas_long_layout_with_semicolons_for_excel(tmp_path: Path) -> None:
    lines = ["sep=;", "Series;Time;Value"]
    for rate, values in zip(RATES, ((2, 3, 4), (1600, 3000, 4000), (400, 900, 400)), strict=True):
        lines += [
            f"{rate};{BEGIN + 60 * minute};{value}"
            for minute, value in zip((0, 1, 3), values, strict=True)
        ]
    assert_as_recorded(traffic(written(tmp_path, "\ufeff" + "\n".join(lines) + "\n")))


def test_titles_of_a_panel_are_rates_where_the_options_say_so(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        '"Time","Requests (req/s)","prompt, tokens","out"\n'
        f"{BEGIN},2,1600,400\n{BEGIN + 60},3,3000,900\n",
    )
    with pytest.raises(ExportError) as raised:
        read_export(path, Asked())
    for part in ("'Requests (req/s)'", "'prompt, tokens'", "'out'", "--column requests_per_second"):
        assert part in str(raised.value)
    columns = columns_given(
        (
            "requests_per_second=Requests (req/s)",
            "prompt_tokens_per_second=prompt, tokens",
            "generated_tokens_per_second=out",
        )
    )
    np.testing.assert_array_equal(traffic(path, Asked(columns=columns)).requests_per_second, [2, 3])
    with pytest.raises(ExportError, match="--column 'rps=out' is not of the form RATE=TITLE"):
        columns_given(("rps=out",))


def matrix(rate: str, values: list[tuple[float, str]]) -> dict[str, object]:
    result = [{"metric": {}, "values": values}]
    return {"status": "success", "data": {"resultType": "matrix", "result": result}}


def test_a_folder_has_an_answer_of_query_range_for_each_rate(tmp_path: Path) -> None:
    for rate, values in zip(RATES, ((2, 3, 4), (1600, 3000, 4000), (400, 900, 400)), strict=True):
        points = [
            (BEGIN + 60 * minute, str(value))
            for minute, value in zip((0, 1, 3), values, strict=True)
        ]
        written(tmp_path, json.dumps(matrix(rate, points)), f"{rate}.json")
    assert_as_recorded(traffic(tmp_path))


def test_promtools_answers_of_computed_rates_are_called_by_their_files(tmp_path: Path) -> None:
    for rate, (first, last) in zip(RATES, ((2, 3), (1600, 3000), (400, 900)), strict=True):
        written(tmp_path, f"{{}} =>\n{first} @[{BEGIN}]\n{last} @[{BEGIN + 60}]\n", f"{rate}.txt")
    np.testing.assert_array_equal(traffic(tmp_path).requests_per_second, [2, 3])


@pytest.mark.parametrize("naive", [False, True], ids=["with-a-zone", "local"])
def test_parquet_is_read_by_duckdb(tmp_path: Path, *, naive: bool) -> None:
    path = tmp_path / "export.parquet"
    kind = "TIMESTAMP" if naive else "TIMESTAMPTZ"
    zone = "" if naive else "+00"
    rows = ",".join(
        f"('2026-11-20 13:0{minute}:00{zone}'::{kind}, {values})"
        for minute, values in ((0, "2, 1600, 400"), (1, "3, 3000, 900"), (3, "4, 4000, 400"))
    )
    table = f"(VALUES {rows}) AS t(time, {', '.join(RATES)})"
    duckdb.sql(f"COPY (SELECT * FROM {table}) TO '{path}'")  # noqa: S608 - our own
    assert_as_recorded(traffic(path))
    if naive:
        with pytest.raises(ExportError, match=r"line 2: .* names no time zone"):
            read_export(path, Asked())


def test_parquet_without_duckdb_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "export.parquet"
    path.write_bytes(b"PAR1")
    with pytest.raises(ExportError, match="no Parquet that can be read"):
        read_export(path, Asked())
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(ExportError, match=r"pip install 'foresail\[exports\]'"):
        read_export(path, Asked())


HEADER = f"time,{','.join(RATES)}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            f"{HEADER}{BEGIN},1.2 K,1,1\n",
            r"line 2: column 'requests_per_second': '1\.2 K' is formatted, and rounded",
            id="thousands",
        ),
        pytest.param(f"{HEADER}{BEGIN},12 req/s,1,1\n", "'12 req/s' is formatted", id="unit"),
        pytest.param(f'{HEADER}{BEGIN},"1,200",1,1\n', "'1,200' is formatted", id="comma"),
        pytest.param(f"{HEADER}{BEGIN},many,1,1\n", "'many' is no number", id="word"),
        pytest.param(f"{HEADER}{BEGIN},-1,1,1\n", "line 2: .*-1 is below 0", id="negative"),
        pytest.param(f"{HEADER}{BEGIN},2\n", "line 2: 2 cells, and the header has 4", id="short"),
        pytest.param(f"{HEADER}soon,1,1,1\n", "line 2: 'soon' is no time; there are", id="time"),
        pytest.param(f"{HEADER}{BEGIN},1,1,1\n", "1 times at which .* at least two", id="one-row"),
        pytest.param("a,b\n1,2\n", "line 1: columns a, b; expected t_s and requests", id="header"),
        pytest.param("", "empty", id="empty"),
        pytest.param("[{]", "no JSON", id="json"),
        pytest.param('{"status": "error", "error": "bad"}', "answered: bad", id="refused"),
        pytest.param('{"some": "thing"}', "no data.result", id="foreign"),
        pytest.param("up{} =>\nup 3\n", "line 2: 'up 3' is no point", id="promtool"),
        pytest.param(
            'up{a="1"} 1 1795179600000\nup{a=} 2 1\n', "line 2: .* is no sample", id="dump"
        ),
        pytest.param("a\0b", "neither text nor Parquet", id="bytes"),
    ],
)
def test_what_cannot_be_read_is_told_with_file_line_and_value(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(ExportError, match=message) as raised:
        read_export(written(tmp_path, text), UTC_ZONE)
    assert "export.csv" in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"time,Requests (req/min)\n{BEGIN},2\n{BEGIN + 60},2\n", id="wide"),
        pytest.param(
            f"time,series,value\n{BEGIN},Requests (req/min),2\n{BEGIN + 60},Requests (req/min),2\n",
            id="long",
        ),
    ],
)
def test_a_unit_that_is_not_per_second_is_refused(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, text)
    asked = Asked(
        columns={"Requests (req/min)": RATES[0]}, lengths=Lengths(prompt_tokens=8, output_tokens=2)
    )
    with pytest.raises(ExportError, match="its unit is 'req/min', and a rate per second is needed"):
        read_export(path, asked)


def test_tokens_without_requests_ask_for_the_rate_of_requests(tmp_path: Path) -> None:
    path = written(tmp_path, f"time,prompt_tokens_per_second\n{BEGIN},9\n{BEGIN + 60},9\n")
    with pytest.raises(ExportError, match="export the rate of requests too"):
        read_export(path, Asked())


def test_requests_without_tokens_ask_for_their_mean(tmp_path: Path) -> None:
    path = written(tmp_path, f"time,requests_per_second\n{BEGIN},2\n{BEGIN + 60},3\n")
    with pytest.raises(ExportError, match="--prompt-tokens 800 --output-tokens 200"):
        read_export(path, Asked())
    trace = traffic(path, Asked(lengths=Lengths(prompt_tokens=700, output_tokens=90)))
    np.testing.assert_array_equal(trace.prompt_tokens, [700, 700])


def dump(tmp_path: Path, *, every: int, count: int) -> Path:
    """A counter of one vLLM pod, sampled every so many seconds."""
    series = '{__name__="vllm:request_success_total", model_name="m\\"1", pod="p-0"}'
    lines = [f"{series} {10 * n} {1000 * (BEGIN + every * n)}" for n in range(count)]
    return written(tmp_path, "\n".join(lines) + "\n", "dump.txt")


def test_samples_of_engines_are_kept_by_the_minute(tmp_path: Path) -> None:
    found = read_export(dump(tmp_path, every=15, count=9), Asked(model='m"1'))
    assert isinstance(found, RecordedInExport)
    assert (found.begin_seconds, found.end_seconds) == (BEGIN - 60, BEGIN + 120)
    kept = found.series[0]
    # Of the minutes that end at 0, 60 and 120 s, the last sample each.
    assert list(kept.at_seconds) == [BEGIN, BEGIN + 60, BEGIN + 120]
    assert list(kept.values) == [0, 40, 80]
    assert kept.labels == {"model_name": 'm"1', "pod": "p-0"}


def test_written_dump_of_openmetrics_is_read_and_native_histograms_are_left_out(
    tmp_path: Path,
) -> None:
    # As the source of promtool 3 prints them; Debian's has no such command.
    gauge = 'vllm:num_requests_running{model_name="m",pod="p-0"}'
    histogram = (
        '{__name__="vllm:e2e_seconds", model_name="m"} {count:2, sum:3, (1,2]:2} 1795179600000'
    )
    text = f"{gauge} 4 {BEGIN}.000\n{gauge} NaN {BEGIN + 30}.500\n{histogram}\n# EOF\n"
    found = read_export(written(tmp_path, text, "dump.txt"), Asked(model="m"))
    assert isinstance(found, RecordedInExport)
    (kept,) = found.series
    assert (list(kept.at_seconds), list(kept.values)) == ([BEGIN], [4])


def test_an_export_larger_than_what_is_kept_says_how_to_make_a_smaller_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = dump(tmp_path, every=15, count=9)
    monkeypatch.setattr(minutes, "MINUTES_MAX", 2)
    with pytest.raises(ExportError, match="more than 2 minutes of series: export fewer days"):
        read_export(path, Asked(model='m"1'))


def test_series_whose_samples_alternate_take_no_more_memory_than_their_minutes() -> None:
    minutes = Minutes(None)
    lines = (
        f'{{__name__="vllm:request_success_total", model_name="m", pod="p-{n % 2}"}} {n} {BEGIN}'
        for n in range(1000)
    )
    tracemalloc.start()
    try:
        assert read_dump(lines, minutes, place="dump.txt") == 1000
        assert tracemalloc.get_traced_memory()[0] < 2**18
    finally:
        tracemalloc.stop()
    assert [list(one.values) for one in minutes.kept()] == [[998], [999]]


@pytest.mark.parametrize("shift", range(2))
def test_an_answer_in_one_long_line_may_have_any_character_where_the_head_ends(
    shift: int, tmp_path: Path
) -> None:
    series = {"metric": {"__name__": "x", "team": "é" * 2**16}, "values": []}
    text = " " * shift + json.dumps([series], ensure_ascii=False)
    assert kind_of(written(tmp_path, text, "answer.json")) is Kind.MATRIX


def backtest(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["backtest", *map(str, arguments)])


def test_series_of_engines_are_asked_about_by_their_model_as_a_prometheus_is(
    tmp_path: Path,
) -> None:
    path = dump(tmp_path, every=30, count=20)
    done = backtest("--from", path)
    assert done.exit_code == 2
    assert f"--model is missing: {path} has series of engines" in done.output
    done = backtest("--from", path, "--model", 'm"1', "--engine", "sglang")
    assert done.exit_code == 1
    # All of the export: the minutes that end at 0, 60, ... 600 s, and rates in all but the first.
    assert f"no series of sglang in {path} in the last 11 minutes" in done.output
    done = backtest("--from", path, "--model", 'm"1')
    assert done.exit_code == 1
    assert "10 minutes of requests in the last 11 minutes, at least 30 are needed" in (done.output)
    done = CliRunner().invoke(main, ["replay", str(path)])
    assert f"foresail backtest --from {path} --model MODEL reads them" in done.output


def test_options_of_a_file_are_refused_where_there_is_none() -> None:
    done = backtest("--prometheus", "http://127.0.0.1:9", "--model", "m", "--timezone", "UTC")
    assert done.exit_code == 2
    assert "--timezone is for --from with a file that lacks it: leave it out" in done.output
    done = backtest("--prometheus", "http://127.0.0.1:9", "--from", "dump.txt")
    assert done.exit_code == 2
    assert "one of --prometheus and --model, --config and --model, or --from" in done.output


def test_counters_coarser_than_a_minute_are_refused_with_the_step_to_ask_for(
    tmp_path: Path,
) -> None:
    with pytest.raises(ExportError, match=r"are 300 s apart.* a step of 60 s"):
        read_export(dump(tmp_path, every=300, count=4), Asked(model='m"1'))


def test_grafanas_columns_with_the_text_of_a_series_are_engines_series(tmp_path: Path) -> None:
    title = 'vllm:num_requests_running{model_name="m", pod="p-0"}'
    quoted = title.replace('"', '""')
    path = written(
        tmp_path, f'"Time","{quoted}"\n{BEGIN},4\n{BEGIN + 60},5\n{BEGIN + 120},\n{BEGIN + 180},6\n'
    )
    found = read_export(path, Asked(model="m"))
    assert isinstance(found, RecordedInExport)
    assert list(found.series[0].at_seconds) == [BEGIN, BEGIN + 60, BEGIN + 180]
    long = f"Time,__name__,model_name,Value\n{BEGIN},vllm:num_requests_running,m,4\n"
    found = read_export(written(tmp_path, long, "long.csv"), Asked(model="m"))
    assert isinstance(found, RecordedInExport)
    assert found.series[0].labels == {"model_name": "m"}
