"""The outcome of every request, from which scores are computed."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Self

import numpy as np
from numpy.typing import NDArray

Seconds = NDArray[np.float32]


class Outcome(IntEnum):
    """How a request ended."""

    OPEN = 0
    """Not yet here, waiting, or running."""
    FINISHED = 1
    TIMED_OUT = 2
    """Its client gave up before the first token."""
    KILLED = 3
    """Its replica went away under it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ledger:
    """What happened to each request, by its place in `Requests`."""

    ttft_seconds: Seconds
    """NaN until admitted; for those who gave up, the time they waited."""
    itl_seconds: Seconds
    """Mean over the tokens of one request; NaN until finished."""
    outcome: NDArray[np.int8]

    @classmethod
    def empty(cls, requests: int) -> Self:
        """Nothing happened yet."""
        return cls(
            ttft_seconds=np.full(requests, np.nan, dtype=np.float32),
            itl_seconds=np.full(requests, np.nan, dtype=np.float32),
            outcome=np.zeros(requests, dtype=np.int8),
        )
