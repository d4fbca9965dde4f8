"""The traces of benchmarks: files of requests, and files that only count them."""

import argparse
from pathlib import Path

import pytest

from bench._traces import LENGTHS, trace_option


def written(path: Path, header: str, row: str) -> str:
    path.write_text("\n".join([header, *(f"{60 * at},{row}" for at in range(10))]))
    return str(path)


def test_requests_that_are_only_counted_are_of_the_mean_lengths(tmp_path: Path) -> None:
    trace = trace_option(written(tmp_path / "web.csv", "t_s,requests", "60"))
    assert (trace.requests_per_second[0], trace.prompt_tokens[0], trace.output_tokens[0]) == (
        1.0, LENGTHS.prompt_tokens, LENGTHS.output_tokens,
    )  # fmt: skip


def test_requests_with_tokens_keep_theirs(tmp_path: Path) -> None:
    path = written(tmp_path / "llm.csv", "t_s,requests,prompt_tokens,output_tokens", "60,6000,600")
    trace = trace_option(path)
    assert (trace.prompt_tokens[0], trace.output_tokens[0]) == (100.0, 10.0)


def test_a_generated_shape_is_named_in_place_of_a_file() -> None:
    assert trace_option("generated:bursts").name == "bursts-6d-7"
    with pytest.raises(argparse.ArgumentTypeError, match="'burst' is none of diurnal, flash-crowd"):
        trace_option("generated:burst")


@pytest.mark.parametrize("header", ["t_s,AAPL,AMZN", "t_s,requests,prompt_tokens"])
def test_a_file_of_another_shape_is_refused_by_its_columns(tmp_path: Path, header: str) -> None:
    path = written(tmp_path / "other.csv", header, "60,5")
    with pytest.raises(argparse.ArgumentTypeError, match=r"other\.csv: line 1: "):
        trace_option(path)
