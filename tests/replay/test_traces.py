"""What a file of recorded traffic becomes, and what is said of rows that cannot be used."""

from pathlib import Path

import numpy as np
import pytest

from replay.replay_input import Platform, draw_input
from replay.traces import Lengths, TraceError, read


def written(folder: Path, text: str) -> Path:
    path = folder / "trace.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_bins_become_rates_and_mean_lengths(tmp_path: Path) -> None:
    trace = read(
        written(
            tmp_path,
            "t_s,requests,prompt_tokens,output_tokens\n0,120,12000,6000\n60,60,9000,1200\n",
        )
    )
    assert trace.step_seconds == 60
    assert trace.requests_per_second.tolist() == [2.0, 1.0]
    assert trace.prompt_tokens.tolist() == [100.0, 150.0]
    assert trace.output_tokens.tolist() == [50.0, 20.0]
    assert trace.complaint() is None


def test_a_missing_and_an_empty_step_are_gaps_and_a_step_without_requests_is_zero(
    tmp_path: Path,
) -> None:
    trace = read(
        written(
            tmp_path,
            "t_s,requests,prompt_tokens,output_tokens\n0,6,60,60\n60,,,\n120,0,0,0\n240,6,60,60\n"
            "300,6,60,60\n",
        )
    )
    # Rows are 60 s apart, and the one of second 60 says that nothing was measured then.
    assert trace.step_seconds == 60
    np.testing.assert_equal(trace.requests_per_second, [0.1, np.nan, 0.0, np.nan, 0.1, 0.1])
    assert np.isnan(trace.prompt_tokens[2])


def test_requests_without_tokens_are_as_long_as_those_beside_them(tmp_path: Path) -> None:
    """A gateway counts requests also while no engine is there."""
    rows = "0,6,600,60\n60,6,0,0\n120,6,600,0\n180,6,600,60\n"
    trace = read(written(tmp_path, f"t_s,requests,prompt_tokens,output_tokens\n{rows}"))

    np.testing.assert_equal(trace.prompt_tokens, [100.0, np.nan, 100.0, 100.0])
    np.testing.assert_equal(trace.output_tokens, [10.0, np.nan, np.nan, 10.0])
    assert trace.complaint() == (
        "trace: 2 steps have requests, and no prompt or no generated tokens: they count as long as"
        " those beside them"
    )
    drawn = draw_input(trace, Platform(), seed=1)
    assert drawn.output_tokens.tolist() == pytest.approx([10.0] * len(drawn.output_tokens))


@pytest.mark.parametrize("bad", ["60,-1,60,60", "0,6,60,60", "60,nan,1,1"])
def test_a_bad_row_near_the_start_does_not_change_the_step(tmp_path: Path, bad: str) -> None:
    good = "".join(f"{60 * n},6,60,60\n" for n in range(2, 9))
    text = f"t_s,requests,prompt_tokens,output_tokens\n0,6,60,60\n{bad}\n{good}"

    trace = read(written(tmp_path, text))

    assert trace.step_seconds == 60
    assert np.nansum(trace.requests_per_second) * 60 == 8 * 6


@pytest.mark.parametrize(
    ("row", "what"),
    [
        pytest.param("0,0,0", "no requests", id="requests"),
        pytest.param("5,0,50", "no prompt tokens", id="prompt"),
        pytest.param("5,50,0", "no generated tokens", id="generated"),
    ],
)
def test_a_file_that_holds_only_zeros_is_no_traffic(tmp_path: Path, row: str, what: str) -> None:
    path = written(tmp_path, f"t_s,requests,prompt_tokens,output_tokens\n0,{row}\n60,{row}\n")
    with pytest.raises(TraceError, match=f"{what} in the whole file"):
        read(path)


def test_requests_alone_take_their_tokens_from_beside_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "t_s,requests\n0,120\n60,0\n120,60\n")
    trace = read(path, Lengths(prompt_tokens=700, output_tokens=90))
    assert trace.requests_per_second.tolist() == [2.0, 0.0, 1.0]
    assert trace.prompt_tokens[[0, 2]].tolist() == [700.0, 700.0]
    assert trace.output_tokens[[0, 2]].tolist() == [90.0, 90.0]


def test_the_tokens_that_a_file_lacks_are_named_with_the_options(tmp_path: Path) -> None:
    path = written(tmp_path, "t_s,requests,prompt_tokens\n0,120,9\n60,0,9\n")
    with pytest.raises(TraceError, match=r"line 1: no column output_tokens; .*--prompt-tokens"):
        read(path)


@pytest.mark.parametrize(
    ("days", "first"),
    [
        pytest.param(0.25, 90.0, id="hours-are-the-very-last"),
        pytest.param(1.4, 72.0, id="more-than-a-day-begins-with-the-nearest-whole-one"),
        pytest.param(1.5, 48.0, id="of-two-as-near-the-one-that-leaves-more"),
        pytest.param(9.0, 0.0, id="all-where-there-is-less"),
    ],
)
def test_the_last_days_of_a_trace(tmp_path: Path, days: float, first: float) -> None:
    # Four days by the hour; each hour's rate is its number.
    rows = "".join(f"{3600 * hour},{3600 * hour},9,9\n" for hour in range(96))
    trace = read(written(tmp_path, f"t_s,requests,prompt_tokens,output_tokens\n{rows}"))
    assert trace.last(days).requests_per_second[0] == first
    assert trace.last(days).requests_per_second[-1] == 95.0


def test_an_export_of_both_ends_has_all_of_its_days(tmp_path: Path) -> None:
    rows = "".join(f"{3600 * hour},1,9,9\n" for hour in range(49))
    trace = read(written(tmp_path, f"t_s,requests,prompt_tokens,output_tokens\n{rows}"))

    assert trace.last(2.0).seconds == 49 * 3600


@pytest.mark.parametrize(
    ("row", "why"),
    [
        pytest.param("60,much,9,9", "no time and three numbers", id="text"),
        pytest.param("60,5,9", "no time and three numbers", id="short"),
        pytest.param("60,-5,9,9", "a number below 0 or above 1e+12, or none", id="negative"),
        pytest.param("60,nan,9,9", "a number below 0 or above 1e+12, or none", id="nan"),
        pytest.param("60,1e300,9,9", "a number below 0 or above 1e+12, or none", id="huge"),
        pytest.param("60,9,9,1e300", "a number below 0 or above 1e+12, or none", id="huge-tokens"),
        pytest.param("inf,9,9,9", "a time that is no number", id="no-end"),
        pytest.param("nan,9,9,9", "a time that is no number", id="no-time"),
        pytest.param("0,5,9,9", "time 0 is not after 0", id="time-goes-back"),
    ],
)
def test_a_bad_row_is_named_with_its_line(tmp_path: Path, row: str, why: str) -> None:
    trace = read(
        written(
            tmp_path,
            f"t_s,requests,prompt_tokens,output_tokens\n0,1,1,1\n{row}\n120,1,1,1\n240,1,1,1\n",
        )
    )
    complaint = trace.complaint()
    assert complaint is not None
    assert "1 rows left out (line 3:" in complaint
    assert why in complaint


def test_one_row_a_request_is_binned(tmp_path: Path) -> None:
    trace = read(
        written(
            tmp_path,
            "TIMESTAMP,ContextTokens,GeneratedTokens\n"
            "2023-11-16 18:15:46.6805900,100,10\n"
            "2023-11-16 18:15:50.9951690,300,30\n"
            "2023-11-16 18:16:02.0000000,50,5\n"
            "2023-11-16 18:16:13.0000000,50,5\n",
        )
    )
    assert trace.step_seconds == 10
    # The last bin is cut short by the end of the recording and left out.
    assert trace.requests_per_second.tolist() == [0.2, 0.1]
    assert trace.prompt_tokens.tolist() == [200.0, 50.0]
    assert trace.output_tokens.tolist() == [20.0, 5.0]


def test_a_request_with_impossible_tokens_is_named(tmp_path: Path) -> None:
    trace = read(
        written(
            tmp_path,
            "TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10 00:00:00,1,1\n"
            "2024-05-10 00:00:01,nan,1\n2024-05-10 00:00:02,-4,1\n2024-05-10 00:00:30+00:00,1,1\n",
        )
    )
    assert [line for line, _ in trace.bad_lines] == [3, 4]


@pytest.mark.parametrize("wrong", ["1e15", "1e300"])
@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("t_s,requests,prompt_tokens,output_tokens", "{at},6,60,60"),
        ("Timestamp,Request tokens,Response tokens", "{at},60,60"),
    ],
)
def test_one_wrong_time_makes_no_trace_of_a_million_years(
    tmp_path: Path, header: str, row: str, wrong: str
) -> None:
    rows = [row.format(at=at) for at in (0, 60, 120, wrong)]
    with pytest.raises(TraceError, match=r"from 0 s to 1e.* steps of .*: correct or take out"):
        read(written(tmp_path, "\n".join([header, *rows])))


def test_steps_too_short_for_any_rate_are_refused(tmp_path: Path) -> None:
    rows = "0,6,60,60\n1e-310,6,60,60\n2e-310,6,60,60\n"
    with pytest.raises(TraceError, match=r"rows are 1e-310 s apart; the least is 0\.001 s"):
        read(written(tmp_path, f"t_s,requests,prompt_tokens,output_tokens\n{rows}"))


@pytest.mark.parametrize("line", ["[" * 100_000, '{"timestamp": 1' + "0" * 400 + "}"])
def test_a_line_of_json_that_cannot_be_used_is_named(tmp_path: Path, line: str) -> None:
    good = '{{"timestamp": {at}, "input_length": 9, "output_length": 9}}'
    path = tmp_path / "trace.jsonl"
    path.write_text("\n".join([good.format(at=0), line, good.format(at=20_000)]))
    assert [number for number, _ in read(path).bad_lines] == [2]


def test_burst_gpt_and_mooncake_are_read_by_their_own_units(tmp_path: Path) -> None:
    burst = written(
        tmp_path,
        "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
        "5,ChatGPT,472,18,490,Conversation log\n14,GPT-4,100,0,100,API log\n40,GPT-4,9,9,18,x\n",
    )
    # Bins begin with the first request: two in the first ten seconds.
    assert read(burst).requests_per_second[0] == 0.2
    assert read(burst).prompt_tokens[0] == 286
    lines = tmp_path / "trace.jsonl"
    lines.write_text(
        '{"timestamp": 0, "input_length": 100, "output_length": 10, "hash_ids": [1]}\n'
        '{"timestamp": 9000, "input_length": 300, "output_length": 30, "hash_ids": []}\n'
        '{"timestamp": 9500}\n'
        '{"timestamp": 27482, "input_length": 6955, "output_length": 52}\n'
    )
    mooncake = read(lines)
    assert mooncake.requests_per_second.tolist() == [0.2, 0.0]
    assert mooncake.prompt_tokens[0] == 200
    assert mooncake.bad_lines[0][0] == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "line 1: columns (none)", id="empty"),
        pytest.param("when,what\n1,2\n", "line 1: columns when, what", id="another-shape"),
        pytest.param(
            "t_s,requests,prompt_tokens,output_tokens\n0,1,1,1\n", "1 usable rows", id="one-row"
        ),
    ],
)
def test_a_file_without_traffic_says_what_is_missing(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(TraceError, match=r"trace\.csv") as raised:
        read(written(tmp_path, text))
    assert message in str(raised.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"no\.csv: cannot be read"):
        read(tmp_path / "no.csv")
