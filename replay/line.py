"""The queue before a fleet: an interval of the requests, for who gives up waited the longest."""

import numpy as np

from replay.traffic import Ints, Requests

_NEXT = 256
"""So many of the first in line stand for those who come to a seat next."""


class Line:
    """Requests that came and have no seat yet, the first to come first."""

    def __init__(self, requests: Requests) -> None:
        self.arrived = 0
        self.head = 0
        """Place of the first in line, among all requests."""
        self._arrived_by_second = _arrivals_before_each_second(requests)
        self._prompt_tokens_before = np.concatenate(([0], requests.prompt_tokens.cumsum()))

    @property
    def waiting(self) -> int:
        return self.arrived - self.head

    def arrived_by(self, second: int) -> int:
        """Requests that came before a second."""
        if second < 0:
            return 0
        return int(self._arrived_by_second[min(second, len(self._arrived_by_second) - 1)])

    def mean_prompt_tokens(self) -> float:
        """Of those next in line, of whom there is at least one."""
        until = min(self.arrived, self.head + _NEXT)
        tokens = self._prompt_tokens_before[until] - self._prompt_tokens_before[self.head]
        return max(float(tokens) / (until - self.head), 1.0)

    def take(self, count: int) -> slice:
        """The first `count` leave the line."""
        first, self.head = self.head, self.head + count
        return slice(first, self.head)


def _arrivals_before_each_second(requests: Requests) -> Ints:
    arrivals = requests.arrival_seconds
    last = int(arrivals[-1]) + 1 if len(arrivals) else 0
    seconds = np.arange(last + 1, dtype=np.float64)
    return np.searchsorted(arrivals, seconds).astype(np.int64)
