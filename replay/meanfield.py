"""The engine of `replay.engine` in expectation: streams as a number, a second in microseconds.

A request-by-request day of millions takes minutes; comparing twenty rules over weeks at several
settings takes thousands of such days. Here all requests of a step are alike, the replicas share
streams evenly, and streams end at the rate that their iterations allow:

    iteration = a + k·b + k·context·c          k streams a replica, profile as in `replay.profile`
    prefill   = prompt · (d + iteration ÷ chunk) replica-seconds a request
    ending    = streams · iterations a second ÷ output tokens, also of those that came this second

Arrivals stay whole and uneven, the queue stays first come first served with the second of each
arrival, and replicas start, drain and die one by one in the same `Fleet`. Left out beside what
`replay.engine` leaves out: the spread of lengths (an output's end is exponential here) and the
difference between a new replica and a full one, for streams even out at once. Tests hold it
against the closed forms of `replay.profile` and against `replay.engine`.
"""

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, field
from math import exp

import numpy as np
from numpy.typing import NDArray

from replay.counters import ITL_EDGES_SECONDS
from replay.engine import KV_ADMISSION_RATIO
from replay.fleet import Fleet, Phase
from replay.profile import EngineProfile
from replay.score import Objective

ITL_BIN_SECONDS = 0.001
_ITL_BINS = 2000
_STREAMS_END = 0.5
"""A drained replica with less than this of a stream left is empty."""


@dataclass(slots=True, kw_only=True)
class Totals:
    """What has happened since the start; each number only grows."""

    waits: NDArray[np.float64]
    """Requests that were admitted or gave up, by the whole seconds they waited."""
    itl_tokens: NDArray[np.float64] = field(
        default_factory=lambda: np.zeros(len(ITL_EDGES_SECONDS) + 1)
    )
    """Tokens by the time since the one before, in an engine's buckets."""
    running_seconds: float = 0.0
    """Of all streams: the sum of all times between tokens."""
    arrived: float = 0.0
    arrived_prompt_tokens: float = 0.0
    arrived_output_tokens: float = 0.0
    admitted: float = 0.0
    prompt_tokens: float = 0.0
    output_tokens: float = 0.0
    finished: float = 0.0

    def further_tokens(self, running: float, iterations: float) -> None:
        """Count a second in which each of the streams gained a token an iteration."""
        self.output_tokens += running * iterations
        self.running_seconds += running
        self.itl_tokens[bisect_left(ITL_EDGES_SECONDS, 1 / iterations)] += running * iterations


@dataclass(slots=True, kw_only=True)
class Book:
    """The judgement of the requests that came since judging began."""

    in_time: float = 0.0
    late: float = 0.0
    """Served, but their first token or their pace was too slow."""
    timed_out: float = 0.0
    killed: float = 0.0
    cold_start: float = 0.0
    """Of the late and timed out: while a replica was starting."""
    waits: NDArray[np.float64]
    """Requests by the whole seconds they waited."""
    itls: NDArray[np.float64]
    """Requests by the inter-token latency when they came in, in bins of `ITL_BIN_SECONDS`."""

    @property
    def requests(self) -> float:
        return self.in_time + self.late + self.timed_out


class MeanField:
    """The replicas of one workload, second by second."""

    def __init__(
        self, profile: EngineProfile, fleet: Fleet, objective: Objective, *, patience_seconds: int
    ) -> None:
        self.profile, self.fleet = profile, fleet
        self.running = 0.0
        self.waiting = 0.0
        self.itl_seconds = profile.fixed_seconds
        """Mean of the last stream's length: what those who end now have seen."""
        self.kv_use_ratio = 0.0
        self.first_token_seconds = 0.0
        """After the wait: a prompt's computation and the iteration under way."""
        self.totals = Totals(waits=np.zeros(patience_seconds + 2))
        self.book = Book(waits=np.zeros(patience_seconds + 2), itls=np.zeros(_ITL_BINS))
        self._objective, self._patience = objective, patience_seconds
        self._queue: deque[list[float]] = deque()
        self._draining: dict[int, float] = {}
        self._streams = np.zeros(fleet.settings.rows, np.int64)
        self._settle(0)
        self._count()

    def judge_anew(self) -> None:
        """Forget the judgement so far: the run-in is over."""
        self.book = Book(waits=np.zeros_like(self.book.waits), itls=np.zeros(_ITL_BINS))

    def step(self, now: int, arrivals: float, prompt_tokens: float, output_tokens: float) -> None:
        """One second: `arrivals` requests of this mix come."""
        profile, book = self.profile, self.book
        if now >= self.fleet.next_ready_seconds or self._draining:
            self._settle(now)
        if arrivals:
            self._queue.append([now, arrivals])
            self.waiting += arrivals
            self.totals.arrived += arrivals
            self.totals.arrived_prompt_tokens += arrivals * prompt_tokens
            self.totals.arrived_output_tokens += arrivals * output_tokens
        self._give_up(now)
        context = prompt_tokens + output_tokens / 2
        ready = self._ready
        if self._draining:
            self._drain(context, output_tokens)
        if not ready:
            self.kv_use_ratio = 0.0
            return
        each = self.running / ready
        iteration = profile.fixed_seconds + each * (
            profile.per_sequence_seconds + profile.per_kv_token_seconds * context
        )
        computed = prompt_tokens * (1 - profile.prefix_hit_ratio)
        prefill = computed * (
            profile.per_prefill_token_seconds + iteration / profile.batched_tokens_max
        )
        places = ready * min(
            profile.sequences_max, profile.kv_tokens_max * KV_ADMISSION_RATIO / context
        )
        ending = self.running / (output_tokens * iteration)
        admitted = min(
            self.waiting, max(0.0, places - self.running + ending), ready / max(prefill, 1e-9)
        )
        busy = admitted * prefill / ready
        self.first_token_seconds = prefill + iteration
        iterations = busy / (iteration + profile.chunk_seconds) + (1 - busy) / iteration
        running, mean = _after_a_second(self.running, admitted, life=output_tokens / iterations)
        ended = self.running + admitted - running
        self.itl_seconds += (1 / iterations - self.itl_seconds) * min(
            1.0, 1 / (output_tokens * iteration)
        )
        if admitted:
            self._admit(now, admitted, prefill)
        self.running = running
        self.kv_use_ratio = self.running * context / (ready * profile.kv_tokens_max)
        totals = self.totals
        totals.admitted += admitted
        totals.prompt_tokens += admitted * prompt_tokens
        totals.further_tokens(mean, iterations)
        totals.finished += ended
        book.itls[min(_ITL_BINS - 1, int(self.itl_seconds / ITL_BIN_SECONDS))] += admitted

    def scale_to(self, replicas: int, now: int) -> None:
        """Order, cancel or drain; what drains takes its share of the streams along."""
        if replicas == self.fleet.wanted:
            return
        each = self.running / self._ready if self._ready else 0.0
        for row in self.fleet.scale_to(replicas, now):
            self._draining[row] = each
            self._streams[row] = 1
            self.running -= each
        self._count()

    def starting(self) -> int:
        """Replicas on order."""
        return self.fleet.count(Phase.STARTING)

    @property
    def ready(self) -> int:
        return self._ready

    def _admit(self, now: int, admitted: float, prefill: float) -> None:
        book, objective = self.book, self._objective
        pace_kept = self.itl_seconds <= objective.itl_seconds
        left = admitted
        while left > 0 and self._queue:
            bucket = self._queue[0]
            taken = min(left, bucket[1])
            wait = now - int(bucket[0])
            book.waits[wait] += taken
            self.totals.waits[wait] += taken
            if pace_kept and wait + prefill <= objective.ttft_seconds:
                book.in_time += taken
            else:
                book.late += taken
                book.cold_start += taken if self._starts else 0.0
            left -= taken
            bucket[1] -= taken
            if bucket[1] <= 1e-9:  # noqa: PLR2004 - the dust of subtraction
                self._queue.popleft()
        self.waiting = max(0.0, self.waiting - admitted) if self._queue else 0.0

    def _give_up(self, now: int) -> None:
        queue = self._queue
        while queue and queue[0][0] < now - self._patience:
            gone = queue.popleft()[1]
            self.waiting = max(0.0, self.waiting - gone)
            self.book.timed_out += gone
            self.book.waits[-1] += gone
            self.totals.waits[-1] += gone
            self.book.cold_start += gone if self._starts else 0.0

    def _drain(self, context: float, output_tokens: float) -> None:
        profile = self.profile
        for row, streams in self._draining.items():
            iteration = profile.fixed_seconds + streams * (
                profile.per_sequence_seconds + profile.per_kv_token_seconds * context
            )
            left = streams * exp(-1 / (output_tokens * iteration))
            self._draining[row] = left
            self.totals.finished += streams - left
            if left < _STREAMS_END:
                self._streams[row] = 0

    def _settle(self, now: int) -> None:
        changes = self.fleet.advance(now, self._streams)
        for row in changes.removed:
            left = self._draining.pop(row)
            if left >= _STREAMS_END:
                # Counted as in time or late when they came in; a killed stream is a miss.
                self.book.killed += left
                kept = min(left, self.book.in_time)
                self.book.in_time -= kept
                self.book.late += kept
            self._streams[row] = 0
        if changes.opened or changes.removed:
            self._count()

    def _count(self) -> None:
        self._ready = self.fleet.count(Phase.READY)
        self._starts = self.fleet.count(Phase.STARTING) > 0


def _after_a_second(running: float, admitted: float, *, life: float) -> tuple[float, float]:
    """Streams at the end of a second, and on average over it.

    They follow dN/dt = admitted - N / life, because short ones begin and end within the second.
    """
    kept, level = exp(-1 / life), admitted * life
    after = level + (running - level) * kept
    mean = level + (running - level) * life * (1 - kept)
    return after, mean
