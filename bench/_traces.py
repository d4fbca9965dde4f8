"""The traces of a benchmark: one of its options, or generated days where none is given."""

import argparse
from functools import lru_cache
from pathlib import Path

from replay.generated import generated
from replay.traces import Trace, TraceError, read

_GENERATED_DAYS = 6


def trace_option(text: str) -> Trace:
    """The trace in a file, as the type of an option."""
    try:
        return read(Path(text))
    except TraceError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


@lru_cache(maxsize=1)
def generated_days() -> Trace:
    """What is played where no trace is given."""
    return generated(seed=7, days=_GENERATED_DAYS)
