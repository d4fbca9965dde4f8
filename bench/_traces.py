"""The traces of a benchmark: one of its options, or generated days where none is given."""

import argparse
import csv
from functools import lru_cache
from pathlib import Path

from bench.forecast import TRACES
from replay.generated import SHAPES, generated
from replay.traces import Lengths, Trace, TraceError, read

DAY_LONG = (
    "servegen_m_mid_10m",
    "servegen_m_small_10m_d0_9",
    "servegen_mm_image_1d_1m",
    "gentd26_lora_20d_1m",
    "twitter_2021_08_22d_1m",
    "nasa_jul95_1m",
    "wc98_a_1m",
)
"""Public traces of a day or longer."""
LENGTHS = Lengths(prompt_tokens=1000.0, output_tokens=250.0)
"""Of the requests in a file that counts them and knows no tokens."""
_TOKENS = {"prompt_tokens", "output_tokens"}
_GENERATED = "generated:"
_GENERATED_DAYS = 6


def trace_option(text: str) -> Trace:
    """The trace in a file, or `generated:SHAPE`, as the type of an option."""
    if text.startswith(_GENERATED):
        shape = text.removeprefix(_GENERATED)
        if shape not in SHAPES:
            raise argparse.ArgumentTypeError(f"{shape!r} is none of {', '.join(SHAPES)}")
        return generated(seed=7, days=_GENERATED_DAYS, shape=shape)
    try:
        return read_trace(Path(text))
    except TraceError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def read_trace(path: Path) -> Trace:
    """A trace; requests of which only the number is known are of the mean `LENGTHS`.

    Raises:
        TraceError: it cannot be read.
    """
    return read(path, LENGTHS if _only_counts(path) else None)


def _only_counts(path: Path) -> bool:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header = {column.strip() for column in next(csv.reader(file), [])}
    except (OSError, UnicodeDecodeError, csv.Error):
        return False  # `read` says what is wrong
    return {"t_s", "requests"} <= header and not _TOKENS & header


def day_long() -> list[Trace]:
    """The public traces of a day or longer, those that are there."""
    paths = [TRACES / f"{name}.csv" for name in DAY_LONG]
    return [read_trace(path) for path in paths if path.exists()]


@lru_cache(maxsize=1)
def generated_days() -> Trace:
    """What is played where no trace is given."""
    return generated(seed=7, days=_GENERATED_DAYS)
