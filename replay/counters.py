"""What the replicas count and measure about themselves, as vLLM's metrics do.

One row a replica. The bucket edges are those of a recorded vLLM 0.33; buckets here are not
cumulative, the page makes them so.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from replay.traffic import Floats, Tokens

TTFT_EDGES_SECONDS = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5),
    *(10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0),
)
ITL_EDGES_SECONDS = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
    *(20.0, 40.0, 80.0),
)

_TTFT_EDGES = np.array(TTFT_EDGES_SECONDS)
_ITL_EDGES = np.array(ITL_EDGES_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Counters:
    """What each replica has counted since it started: one row a replica."""

    prompt_tokens: Floats
    generated_tokens: Floats
    finished: Floats
    aborted: Floats
    preempted: Floats
    ttft_buckets: Floats
    """Not cumulative; the last column is above every edge."""
    ttft_seconds: Floats
    itl_buckets: Floats
    itl_seconds: Floats

    @classmethod
    def zero(cls, rows: int) -> Self:
        """Counters of replicas that did nothing yet."""
        return cls(
            prompt_tokens=np.zeros(rows),
            generated_tokens=np.zeros(rows),
            finished=np.zeros(rows),
            aborted=np.zeros(rows),
            preempted=np.zeros(rows),
            ttft_buckets=np.zeros((rows, len(TTFT_EDGES_SECONDS) + 1)),
            ttft_seconds=np.zeros(rows),
            itl_buckets=np.zeros((rows, len(ITL_EDGES_SECONDS) + 1)),
            itl_seconds=np.zeros(rows),
        )

    def reset(self, row: int) -> None:
        """A new process counts from zero."""
        for counter in (
            self.prompt_tokens,
            self.generated_tokens,
            self.finished,
            self.aborted,
            self.preempted,
        ):
            counter[row] = 0
        for total in (self.ttft_seconds, self.itl_seconds):
            total[row] = 0
        self.ttft_buckets[row] = 0
        self.itl_buckets[row] = 0

    def first_tokens(self, rows: NDArray[np.intp], prompt_tokens: Tokens, ttft: Floats) -> None:
        """Requests that got their first token, with their row, prompt and wait."""
        size, columns = self.ttft_buckets.shape
        self.prompt_tokens[:] += np.bincount(rows, prompt_tokens, minlength=size)
        self.ttft_seconds[:] += np.bincount(rows, ttft, minlength=size)
        bucket = rows * columns + _TTFT_EDGES.searchsorted(ttft)
        counted = np.bincount(bucket, minlength=size * columns)
        self.ttft_buckets[:] += counted.reshape(size, columns)

    def further_tokens(self, tokens: Floats, itl_seconds: Floats) -> None:
        """Tokens that followed others, and how long after, by row."""
        self.itl_seconds[:] += tokens * itl_seconds
        bucket = _ITL_EDGES.searchsorted(itl_seconds)
        self.itl_buckets[np.arange(len(bucket)), bucket] += tokens
