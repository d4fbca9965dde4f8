"""A fleet of continuous-batching replicas behind one queue, in steps of one second.

Requests wait in one shared first-come-first-served queue and go to the ready replica with the
fewest streams, as a gateway with flow control does it (llm-d's endpoint picker). With a queue in
each replica a newcomer could not help those who wait already, and which replica holds the unlucky
would hide the question asked here: how many replicas, and when. It is kind to every scaling rule
alike.

What makes a day of millions of requests cheap is that all streams of a replica gain a token in
the same iterations. So each replica has a token clock that advances `iterations` a second, and a
stream is three numbers: the clock when its first token came, the clock when its last will, and its
request. KV use follows from sums. The queue is an interval of the arrays of requests, because
those who give up are always the longest waiting.

Prefill is a server of its own in each replica: prompts pass one after another, in chunks of
`batched_tokens_max`; while a chunk is in the iteration every stream feels it. A prompt is admitted
only while this second has prefill time left, as a scheduler with a token budget would.

Left out: pre-emption (admission stops at `KV_ADMISSION_RATIO` instead), the difference between
replicas of one kind, network. Who waits for a slot gets those that fall free within a second in the
middle of it, right on average; waiting for a whole second would idle several per cent of a full
fleet.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from replay.profile import EngineProfile
from replay.traffic import Floats, Ints, Requests

TICK_SECONDS = 1
KV_ADMISSION_RATIO = 0.92
"""No admission above this share of the KV cache: running streams grow into the rest."""
_SHORTEST_ITL_SECONDS = 1e-6
_HANDED_OVER_RATIO = 0.25
"""Share of a replica's slots that may pass to the next request within one second."""

TTFT_EDGES_SECONDS = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5),
    *(10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0),
)
"""vLLM 0.33's bucket edges, as recorded."""
ITL_EDGES_SECONDS = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
    *(20.0, 40.0, 80.0),
)

_TTFT_EDGES = np.array(TTFT_EDGES_SECONDS)
_ITL_EDGES = np.array(ITL_EDGES_SECONDS)
_NO_ROWS = np.empty(0, dtype=np.intp)
_NO_SECONDS = np.empty(0)


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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Counters:
    """What each replica has counted since it started: one row a replica."""

    prompt_tokens: Floats
    generated_tokens: Floats
    finished: Floats
    aborted: Floats
    ttft_buckets: Floats
    """Not cumulative; the last column is above every edge."""
    ttft_seconds: Floats
    itl_buckets: Floats
    itl_seconds: Floats

    @classmethod
    def zero(cls, rows: int) -> "Counters":
        """Counters of replicas that did nothing yet."""
        return cls(
            prompt_tokens=np.zeros(rows),
            generated_tokens=np.zeros(rows),
            finished=np.zeros(rows),
            aborted=np.zeros(rows),
            ttft_buckets=np.zeros((rows, len(TTFT_EDGES_SECONDS) + 1)),
            ttft_seconds=np.zeros(rows),
            itl_buckets=np.zeros((rows, len(ITL_EDGES_SECONDS) + 1)),
            itl_seconds=np.zeros(rows),
        )

    def reset(self, row: int) -> None:
        """A new process counts from zero."""
        for counter in (self.prompt_tokens, self.generated_tokens, self.finished, self.aborted):
            counter[row] = 0
        for total in (self.ttft_seconds, self.itl_seconds):
            total[row] = 0
        self.ttft_buckets[row] = 0
        self.itl_buckets[row] = 0


class Engine:
    """The replicas of one workload and everyone who waits for them.

    `rows` are places for replicas; who takes a place, and when, is the fleet's business.
    """

    def __init__(
        self, profile: EngineProfile, requests: Requests, *, rows: int, patience_seconds: int
    ) -> None:
        self.profile = profile
        self.requests = requests
        self.now_seconds = 0
        count = len(requests.arrival_seconds)
        self.ledger = Ledger(
            ttft_seconds=np.full(count, np.nan),
            itl_seconds=np.full(count, np.nan),
            outcome=np.zeros(count, dtype=np.int8),
        )
        self.counters = Counters.zero(rows)
        self.streams = np.zeros(rows, dtype=np.int64)
        """Running requests by replica, those in prefill included."""
        self.arrived = 0
        self.timed_out = 0
        self._head = 0
        self._patience_seconds = patience_seconds
        self._arrived_by_second = _arrivals_before_each_second(requests)
        self._computed_tokens = requests.prompt_tokens * (1 - profile.prefix_hit_ratio)

        self._accepts = np.zeros(rows, dtype=np.bool_)
        self._clock = np.zeros(rows)
        self._kv_offset = np.zeros(rows)
        """Sum over streams of prompt tokens less the clock at the first token."""
        self._generated = np.zeros(rows)
        self._prefill_until_seconds = np.zeros(rows)

        self._iterations = np.ones(rows)
        """Of the last second."""
        self._handed_over_max = max(1, int(profile.sequences_max * _HANDED_OVER_RATIO))
        places = rows * (profile.sequences_max + self._handed_over_max)
        self._stream_row = np.zeros(places, dtype=np.int64)
        self._stream_request = np.zeros(places, dtype=np.int64)
        self._stream_first_clock = np.zeros(places)
        self._stream_last_clock = np.full(places, np.inf)
        self._free_places = np.arange(places)[::-1].copy()
        self._free_count = places

    @property
    def waiting(self) -> int:
        """Requests in the shared queue."""
        return self.arrived - self._head

    @property
    def kv_use_ratio(self) -> Floats:
        """Share of the KV cache in use, by replica."""
        use: Floats = np.clip(self._kv_tokens() / self.profile.kv_tokens_max, 0, 1)
        return use

    def open_row(self, row: int) -> None:
        """A replica is ready here, empty, with counters at zero."""
        self._accepts[row] = True
        self._clock[row] = self._kv_offset[row] = self._generated[row] = 0
        self._prefill_until_seconds[row] = self.now_seconds
        self.counters.reset(row)

    def close_rows(self, rows: Sequence[int]) -> None:
        """Replicas that take nobody new; their streams go on."""
        self._accepts[list(rows)] = False

    def kill_row(self, row: int) -> int:
        """The replica is gone; its streams end as errors. How many there were."""
        self._accepts[row] = False
        places = np.flatnonzero(np.isfinite(self._stream_last_clock) & (self._stream_row == row))
        self.ledger.outcome[self._stream_request[places]] = Outcome.KILLED
        self._free(places)
        self.streams[row] = 0
        self._kv_offset[row] = 0
        return len(places)

    def step(self) -> None:
        """One second."""
        second = self.now_seconds
        self.arrived = self._arrived_at(second + TICK_SECONDS)
        self._give_up(self._arrived_at(second - self._patience_seconds))
        profile = self.profile
        iteration = (
            profile.fixed_seconds
            + profile.per_sequence_seconds * self.streams
            + profile.per_kv_token_seconds * self._kv_tokens()
        )
        # Prefill at full chunks: each token brings its share of a whole iteration.
        seconds_per_token = (
            profile.per_prefill_token_seconds + iteration / profile.batched_tokens_max
        )
        backlog = np.maximum(self._prefill_until_seconds - second, 0)
        rows, earliest_after = self._dispatch(seconds_per_token, backlog)
        served, first_token_after = self._prefill(rows, earliest_after, seconds_per_token, backlog)
        chunked = iteration + profile.chunk_seconds
        iterations = served / chunked + (TICK_SECONDS - served) / iteration
        too_early = np.zeros_like(iterations)
        if len(rows):
            too_early += self._admit(rows, first_token_after + iteration[rows], iterations)
        self._decode(iterations, too_early)
        self.now_seconds = second + TICK_SECONDS

    def _arrived_at(self, second: int) -> int:
        if second < 0:
            return 0
        return int(self._arrived_by_second[min(second, len(self._arrived_by_second) - 1)])

    def _kv_tokens(self) -> Floats:
        return np.maximum(self._kv_offset + self.streams * self._clock, 0)

    def _give_up(self, arrived_long_ago: int) -> None:
        if arrived_long_ago <= self._head:
            return
        gone = slice(self._head, arrived_long_ago)
        self.ledger.outcome[gone] = Outcome.TIMED_OUT
        self.ledger.ttft_seconds[gone] = self.now_seconds - self.requests.arrival_seconds[gone]
        self.timed_out += arrived_long_ago - self._head
        ready = np.flatnonzero(self._accepts)
        if len(ready):
            each, rest = divmod(arrived_long_ago - self._head, len(ready))
            self.counters.aborted[ready] += each
            self.counters.aborted[ready[:rest]] += 1
        self._head = arrived_long_ago

    def _dispatch(
        self, seconds_per_token: Floats, backlog: Floats
    ) -> tuple[NDArray[np.intp], Floats]:
        """The rows that the first in the queue go to, and how far from now each one's slot is free.

        Both in the order of the queue.
        """
        if not self.waiting:
            return _NO_ROWS, _NO_SECONDS
        profile = self.profile
        # Mean lengths of those next in line stand for each of them; what a second takes too much
        # is carried over as backlog of the next.
        next_in_line = slice(self._head, min(self.arrived, self._head + 256))
        prompt_tokens = float(self.requests.prompt_tokens[next_in_line].mean())
        prefill_seconds = seconds_per_token * float(self._computed_tokens[next_in_line].mean())
        by_kv = (KV_ADMISSION_RATIO * profile.kv_tokens_max - self._kv_tokens()) / prompt_tokens
        by_prefill = (TICK_SECONDS - backlog) / np.maximum(prefill_seconds, 1e-9)
        slots = profile.sequences_max - self.streams
        if int(slots[self._accepts].sum()) < self.waiting:
            slots += self._falling_free()
        room = np.ceil(np.minimum(slots, np.minimum(by_kv, by_prefill)))
        room = np.where(self._accepts, np.maximum(room, 0), 0)
        widest = int(room.max())
        if not widest:
            return _NO_ROWS, _NO_SECONDS
        # Filling up from the emptiest: of all free seats, numbered by the streams below them,
        # take the lowest. Ties go to the lower row, so that a run can be repeated.
        seats = np.arange(widest)
        levels = np.where(seats < room[:, None], self.streams[:, None] + seats, np.inf)
        taken = min(self.waiting, int(room.sum()))
        chosen = np.argsort(levels, axis=None, kind="stable")[:taken]
        is_handed_over = levels.ravel()[chosen] >= profile.sequences_max
        return chosen // widest, np.where(is_handed_over, TICK_SECONDS / 2, 0.0)

    def _falling_free(self) -> Ints:
        """Slots by row whose stream ends within this second, if it goes like the last one."""
        clock = self._clock + self._iterations
        places = np.flatnonzero(self._stream_last_clock <= clock[self._stream_row])
        ending = np.bincount(self._stream_row[places], minlength=len(clock))
        over = np.maximum(self.streams - self.profile.sequences_max, 0)
        falling_free: Ints = np.minimum(ending, self._handed_over_max - over)
        return falling_free

    def _prefill(
        self,
        rows: NDArray[np.intp],
        earliest_after: Floats,
        seconds_per_token: Floats,
        backlog: Floats,
    ) -> tuple[Floats, Floats]:
        """Seconds of prefill done by row, and for each newcomer the end of its prefill from now.

        Lindley's recursion for each row at once: the end is the work up to here plus the latest
        start that still holds everybody up.
        """
        after = backlog
        ends = np.empty(len(rows))
        added = np.zeros_like(backlog)
        if len(rows):
            newcomers = slice(self._head, self._head + len(rows))
            by_row = np.argsort(rows, kind="stable")
            row = rows[by_row]
            arrived = self.requests.arrival_seconds[newcomers][by_row] - self.now_seconds
            service = self._computed_tokens[newcomers][by_row] * seconds_per_token[row]
            is_first = np.ones(len(row), dtype=np.bool_)
            np.not_equal(row[1:], row[:-1], out=is_first[1:])
            done = np.cumsum(service)
            done -= (done - service)[is_first][np.cumsum(is_first) - 1]
            free = np.maximum(arrived, earliest_after[by_row])
            start = np.maximum(free - (done - service), backlog[row])
            # The offset keeps one row's latest start from reaching into the next row.
            apart = row * 1e4
            end = done + np.maximum.accumulate(start + apart) - apart
            ends[by_row] = end
            is_last = np.append(is_first[1:], True)
            after = backlog.copy()
            after[row[is_last]] = end[is_last]
            added += np.bincount(row, service, minlength=len(backlog))
        left = np.maximum(after - TICK_SECONDS, 0)
        self._prefill_until_seconds = self.now_seconds + after
        return np.clip(backlog + added - left, 0, TICK_SECONDS), ends

    def _admit(
        self, rows: NDArray[np.intp], first_token_after: Floats, iterations: Floats
    ) -> Floats:
        """Seat the newcomers; iterations by row that they sit through without a token."""
        start, stop = self._head, self._head + len(rows)
        self._head = stop
        ttft = self.now_seconds + first_token_after - self.requests.arrival_seconds[start:stop]
        self.ledger.ttft_seconds[start:stop] = ttft
        prompt_tokens = self.requests.prompt_tokens[start:stop]
        first_clock = self._clock[rows] + first_token_after * iterations[rows]

        self._free_count -= len(rows)
        places = self._free_places[self._free_count : self._free_count + len(rows)]
        self._stream_row[places] = rows
        self._stream_request[places] = np.arange(start, stop)
        self._stream_first_clock[places] = first_clock
        self._stream_last_clock[places] = first_clock + self.requests.output_tokens[start:stop] - 1

        size = len(self.streams)
        counts = np.bincount(rows, minlength=size)
        self.streams += counts
        self._kv_offset += np.bincount(rows, prompt_tokens - first_clock, minlength=size)
        self._generated += counts
        counters = self.counters
        counters.prompt_tokens[:] += np.bincount(rows, prompt_tokens, minlength=size)
        counters.ttft_seconds[:] += np.bincount(rows, ttft, minlength=size)
        columns = len(TTFT_EDGES_SECONDS) + 1
        bucket = rows * columns + _TTFT_EDGES.searchsorted(ttft)
        counted = np.bincount(bucket, minlength=size * columns)
        counters.ttft_buckets[:] += counted.reshape(size, columns)
        too_early = first_clock - self._clock[rows]
        return np.bincount(rows, too_early, minlength=size).astype(np.float64)

    def _decode(self, iterations: Floats, too_early: Floats) -> None:
        counters = self.counters
        clock = self._clock + iterations
        gained = self.streams * iterations - too_early
        places = np.flatnonzero(self._stream_last_clock <= clock[self._stream_row])
        if len(places):
            gained -= self._finish(places, clock, iterations)
        self._clock = clock
        self._iterations = iterations
        self._generated += gained
        # The books run ahead for prompts that are still in prefill; a counter never steps back.
        np.maximum(counters.generated_tokens, self._generated, out=counters.generated_tokens)
        itl = TICK_SECONDS / iterations
        tokens = np.maximum(gained, 0)
        counters.itl_seconds[:] += tokens * itl
        bucket = _ITL_EDGES.searchsorted(itl)
        counters.itl_buckets[np.arange(len(bucket)), bucket] += tokens

    def _finish(self, places: NDArray[np.intp], clock: Floats, iterations: Floats) -> Floats:
        """Book the streams that end in this second; tokens the clock counted beyond their end."""
        row = self._stream_row[places]
        request = self._stream_request[places]
        last_clock = self._stream_last_clock[places]
        first_clock = self._stream_first_clock[places]
        self.ledger.outcome[request] = Outcome.FINISHED
        first_seconds = self.requests.arrival_seconds[request] + self.ledger.ttft_seconds[request]
        last_seconds = self.now_seconds + (last_clock - self._clock[row]) / iterations[row]
        gaps = np.maximum(last_clock - first_clock, 1)
        itl = np.maximum((last_seconds - first_seconds) / gaps, _SHORTEST_ITL_SECONDS)
        self.ledger.itl_seconds[request] = itl
        size = len(self.streams)
        counts = np.bincount(row, minlength=size)
        self.streams -= counts
        self.counters.finished[:] += counts
        held = self.requests.prompt_tokens[request] - first_clock
        self._kv_offset -= np.bincount(row, held, minlength=size)
        self._free(places)
        return np.bincount(row, clock[row] - last_clock, minlength=size).astype(np.float64)

    def _free(self, places: NDArray[np.intp]) -> None:
        self._stream_last_clock[places] = np.inf
        self._free_places[self._free_count : self._free_count + len(places)] = places
        self._free_count += len(places)


def _arrivals_before_each_second(requests: Requests) -> Ints:
    arrivals = requests.arrival_seconds
    last = int(arrivals[-1]) + 1 if len(arrivals) else 0
    seconds = np.arange(last + 1, dtype=np.float64)
    return np.searchsorted(arrivals, seconds).astype(np.int64)
