"""What became of every request: the book that scores are made from."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Self

import numpy as np
from numpy.typing import NDArray

from replay.traffic import Floats


class Outcome(IntEnum):
    """What became of a request."""

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

    ttft_seconds: Floats
    """NaN until admitted; for those who gave up, the time they waited."""
    itl_seconds: Floats
    """Mean over the tokens of one request; NaN until finished."""
    outcome: NDArray[np.int8]

    @classmethod
    def empty(cls, requests: int) -> Self:
        """Nothing happened yet."""
        return cls(
            ttft_seconds=np.full(requests, np.nan),
            itl_seconds=np.full(requests, np.nan),
            outcome=np.zeros(requests, dtype=np.int8),
        )
