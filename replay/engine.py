"""A fleet of continuous-batching replicas behind one queue, in steps of one second.

Requests wait in one shared first-come-first-served queue and go to the ready replica with the
fewest streams, as a gateway with flow control does it (llm-d's endpoint picker). With a queue in
each replica a new one could not serve requests that already wait elsewhere, and the placement of
single requests would hide the question asked here: how many replicas, and when. The shared queue
favours every scaling rule alike.

What makes a day of millions of requests cheap is that all streams of a replica gain a token in
the same iterations. So each replica has a token clock that advances `iterations` a second, and a
stream is three numbers: the clock when its first token came, the clock when its last will, and its
request. KV use follows from sums.

Prefill is a server of its own in each replica: prompts pass one after another, in chunks of
`batched_tokens_max`; while a chunk is in the iteration every stream feels it. A prompt is admitted
only while this second has prefill time left, as a scheduler with a token budget would.

Running streams grow into what admission leaves of the KV cache (`KV_ADMISSION_RATIO`); where that
is not enough the newest are pre-empted and computed again (`preemption`).

Left out: differences between replicas of one kind, the network. A slot that falls free within a
second is taken in the middle of it, which is right on average; taking it at the end of the second
would idle several per cent of a full fleet.
"""

from collections.abc import Sequence

import numpy as np

from replay.counters import Counters
from replay.ledger import Ledger, Outcome
from replay.line import Line
from replay.preemption import Preemption, thrown_out
from replay.prefill import Rows, Seating, pass_through, seat
from replay.profile import EngineProfile
from replay.streams import Places, Streams
from replay.traffic import Floats, Ints, Requests

TICK_SECONDS = 1
KV_ADMISSION_RATIO = 0.92
"""No admission above this share of the KV cache: running streams grow into the rest."""
_SHORTEST_ITL_SECONDS = 1e-6
_HANDED_OVER_RATIO = 0.25
"""Share of a replica's slots that may pass to the next request within one second."""

_NO_SECONDS = np.empty(0)


class Engine:
    """The replicas of one workload and everyone who waits for them.

    `rows` are places for replicas; `replay.fleet` decides which replica takes a place, and when.
    """

    def __init__(
        self, profile: EngineProfile, requests: Requests, *, rows: int, patience_seconds: int
    ) -> None:
        self.profile = profile
        self.requests = requests
        self.now_seconds = 0
        self.ledger = Ledger.empty(len(requests.arrival_seconds))
        self.counters = Counters.zero(rows)
        self.streams = np.zeros(rows, dtype=np.int64)
        """Running requests by replica, those in prefill included."""
        self.timed_out = 0
        self._line = Line(requests)
        self._patience_seconds = patience_seconds
        self._computed_ratio = 1 - profile.prefix_hit_ratio

        self._accepts = np.zeros(rows, dtype=np.bool_)
        self._clock = np.zeros(rows)
        self._kv_offset = np.zeros(rows)
        """Sum over streams of prompt tokens less the clock at the first token."""
        self._generated = np.zeros(rows)
        self._prefill_until_seconds = np.zeros(rows)

        self._iterations = np.ones(rows)
        """Of the last second."""
        self._handed_over_max = max(1, int(profile.sequences_max * _HANDED_OVER_RATIO))
        self._seats = Streams(rows * (profile.sequences_max + self._handed_over_max))
        self._halted = Preemption()

    @property
    def waiting(self) -> int:
        """Requests in the shared queue."""
        return self._line.waiting

    @property
    def arrived(self) -> int:
        """Requests that came so far."""
        return self._line.arrived

    @property
    def unfinished(self) -> Ints:
        """Requests that each replica has begun: running, and pre-empted ones."""
        if not self._halted:
            return self.streams
        held = self.streams.copy()
        for row in self._halted.rows:
            held[row] += self._halted.count(row)
        return held

    @property
    def kv_use_ratio(self) -> Floats:
        """Share of the KV cache in use, by replica."""
        use: Floats = np.clip(self._kv_tokens() / self.profile.kv_tokens_max, 0, 1)
        return use

    @property
    def itl_seconds(self) -> float:
        """Mean over the running streams, in the last second."""
        running = int(self.streams.sum())
        if not running:
            return self.profile.fixed_seconds
        return float((self.streams * (TICK_SECONDS / self._iterations)).sum()) / running

    def open_row(self, row: int) -> None:
        """A replica is ready here, empty, with counters at zero."""
        self._accepts[row] = True
        self._clock[row] = self._kv_offset[row] = self._generated[row] = 0
        self._prefill_until_seconds[row] = self.now_seconds
        self.counters.reset(row)

    def close_rows(self, rows: Sequence[int]) -> None:
        """These replicas take no new request; their streams go on."""
        self._accepts[list(rows)] = False

    def kill_row(self, row: int) -> int:
        """Remove the replica; its streams end as errors. Returns how many there were."""
        self._accepts[row] = False
        places = self._seats.of_row(row)
        self.ledger.outcome[self._seats.request[places]] = Outcome.KILLED
        self._seats.give_back(places)
        self.streams[row] = 0
        self._kv_offset[row] = 0
        halted = self._halted.gone(row)
        self.ledger.outcome[halted] = Outcome.KILLED
        return len(places) + len(halted)

    def step(self) -> None:
        """One second."""
        second = self.now_seconds
        line = self._line
        line.arrived = line.arrived_by(second + TICK_SECONDS)
        self._give_up(line.arrived_by(second - self._patience_seconds) - line.head)
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
        resumed_early = self._resume(seconds_per_token) if self._halted else _NO_SECONDS
        backlog = np.maximum(self._prefill_until_seconds - second, 0)
        seating = self._seating(seconds_per_token, backlog)
        if seating is None:
            served, ends = np.minimum(backlog, TICK_SECONDS), _NO_SECONDS
        else:
            served, ends = self._prefill(seating, seconds_per_token, backlog)
        chunked = iteration + profile.chunk_seconds
        iterations = served / chunked + (TICK_SECONDS - served) / iteration
        too_early = _NO_SECONDS
        if seating is not None:
            too_early = self._admit(seating.rows, ends, iteration, iterations)
        if len(resumed_early):
            too_early = too_early + resumed_early if len(too_early) else resumed_early
        self._decode(iterations, too_early)
        self._preempt()
        self.now_seconds = second + TICK_SECONDS

    def _kv_tokens(self) -> Floats:
        return np.maximum(self._kv_offset + self.streams * self._clock, 0)

    def _give_up(self, count: int) -> None:
        if count <= 0:
            return
        gone = self._line.take(count)
        self.ledger.outcome[gone] = Outcome.TIMED_OUT
        self.ledger.ttft_seconds[gone] = self.now_seconds - self.requests.arrival_seconds[gone]
        self.timed_out += count
        ready = np.flatnonzero(self._accepts)
        if len(ready):
            each, rest = divmod(count, len(ready))
            self.counters.aborted[ready] += each
            self.counters.aborted[ready[:rest]] += 1

    def _seating(self, seconds_per_token: Floats, backlog: Floats) -> Seating | None:
        """Where the first in the queue go now, as far as slots, cache and prefill have room."""
        if not self.waiting:
            return None
        profile = self.profile
        # The mean length of those next in line stands for each of them; what a second takes too
        # much is carried over as backlog of the next.
        prompt_tokens = self._line.mean_prompt_tokens()
        prefill_seconds = seconds_per_token * (prompt_tokens * self._computed_ratio)
        by_kv = (KV_ADMISSION_RATIO * profile.kv_tokens_max - self._kv_tokens()) / prompt_tokens
        by_prefill = (TICK_SECONDS - backlog) / np.maximum(prefill_seconds, 1e-9)
        slots = profile.sequences_max - self.streams
        if int(slots[self._accepts].sum()) < self.waiting:
            slots += self._falling_free()
        room = np.ceil(np.minimum(slots, np.minimum(by_kv, by_prefill)))
        room = np.maximum(room * self._accepts, 0)
        room[self._halted.rows] = 0  # pre-empted requests come first
        return seat(streams=self.streams, room=room, newcomers=self.waiting)

    def _falling_free(self) -> Ints:
        """Slots by row whose stream ends within this second, if it goes like the last one."""
        clock = self._clock + self._iterations
        places = self._seats.ending_by(clock)
        ending = np.bincount(self._seats.row[places], minlength=len(clock))
        over = np.maximum(self.streams - self.profile.sequences_max, 0)
        falling_free: Ints = np.minimum(ending, self._handed_over_max - over)
        return falling_free

    def _prefill(
        self, seating: Seating, seconds_per_token: Floats, backlog: Floats
    ) -> tuple[Floats, Floats]:
        """Seconds of prefill done by row, and for each newcomer the end of its prefill from now."""
        newcomers = slice(self._line.head, self._line.head + len(seating.seats))
        arrived = self.requests.arrival_seconds[newcomers] - self.now_seconds
        # A slot handed over falls free in the middle of the second, on average.
        is_handed_over = seating.streams_before >= self.profile.sequences_max
        computed_tokens = self.requests.prompt_tokens[newcomers] * self._computed_ratio
        rows = seating.open_rows
        passage = pass_through(
            seating,
            start_seconds=np.maximum(arrived, is_handed_over * (TICK_SECONDS / 2)),
            work_seconds=computed_tokens * seconds_per_token[seating.rows],
            backlog=backlog[rows],
        )
        self._prefill_until_seconds[rows] = self.now_seconds + passage.backlog_after
        offered = backlog.copy()
        offered[rows] += passage.work
        after = np.maximum(self._prefill_until_seconds - self.now_seconds - TICK_SECONDS, 0)
        return np.minimum(np.maximum(offered - after, 0), TICK_SECONDS), passage.ends

    def _admit(
        self, rows: Rows, prefill_ends: Floats, iteration: Floats, iterations: Floats
    ) -> Floats:
        """Seat the newcomers; iterations by row that they sit through without a token."""
        # The iteration under way when a prompt came, or the rest of its own.
        first_token_after = prefill_ends + iteration[rows]
        newcomers = self._line.take(len(rows))
        ttft = self.now_seconds + first_token_after - self.requests.arrival_seconds[newcomers]
        self.ledger.ttft_seconds[newcomers] = ttft
        prompt_tokens = self.requests.prompt_tokens[newcomers]
        first_clock = self._clock[rows] + first_token_after * iterations[rows]

        seats = self._seats
        places = seats.take(len(rows))
        seats.row[places] = rows
        seats.request[places] = np.arange(newcomers.start, newcomers.stop)
        seats.first_clock[places] = first_clock
        seats.last_clock[places] = first_clock + self.requests.output_tokens[newcomers] - 1

        size = len(self.streams)
        counts = np.bincount(rows, minlength=size)
        self.streams += counts
        self._kv_offset += np.bincount(rows, prompt_tokens - first_clock, minlength=size)
        self._generated += counts
        self.counters.first_tokens(rows, prompt_tokens, ttft)
        too_early = first_clock - self._clock[rows]
        return np.bincount(rows, too_early, minlength=size).astype(np.float64)

    def _preempt(self) -> None:
        """Throw out the newest streams of every replica whose cache overflows."""
        over = self._kv_tokens() - self.profile.kv_tokens_max
        for row in np.flatnonzero(over > 0).tolist():
            clock = float(self._clock[row])
            places, halted = thrown_out(
                self._seats,
                row,
                clock=clock,
                prompt_tokens=self.requests.prompt_tokens,
                over_tokens=float(over[row]),
            )
            for stream in halted:
                self._halted.halt(row, stream)
                self._kv_offset[row] -= stream.context_tokens - clock
            self._seats.give_back(places)
            self.streams[row] -= len(places)
            self.counters.preempted[row] += len(places)

    def _resume(self, seconds_per_token: Floats) -> Floats:
        """Let halted streams go on where the cache has room; as `_admit`, by row."""
        too_early = np.zeros(len(self.streams))
        room = KV_ADMISSION_RATIO * self.profile.kv_tokens_max - self._kv_tokens()
        for row in self._halted.rows:
            for stream in self._halted.resuming(row, float(room[row])):
                begin = max(self._prefill_until_seconds[row], self.now_seconds)
                end = begin + stream.context_tokens * seconds_per_token[row]
                self._prefill_until_seconds[row] = end
                early = (end - self.now_seconds) * self._iterations[row]
                clock = self._clock[row] + early
                self._seats.seat(
                    row,
                    stream.request,
                    first_clock=clock - stream.generated_tokens,
                    last_clock=clock + stream.tokens_left,
                )
                self.streams[row] += 1
                self._kv_offset[row] += stream.context_tokens - clock
                too_early[row] += early
        return too_early

    def _decode(self, iterations: Floats, too_early: Floats) -> None:
        clock = self._clock + iterations
        gained = self.streams * iterations
        if len(too_early):
            gained -= too_early
        places = self._seats.ending_by(clock)
        if len(places):
            gained -= self._finish(places, clock, iterations)
        self._clock = clock
        self._iterations = iterations
        self._generated += gained
        # The books run behind for prompts still in prefill; a counter never steps back.
        shown = self.counters.generated_tokens
        np.maximum(shown, self._generated, out=shown)
        self.counters.further_tokens(np.maximum(gained, 0), TICK_SECONDS / iterations)

    def _finish(self, places: Places, clock: Floats, iterations: Floats) -> Floats:
        """Book the streams that end in this second; tokens the clock counted beyond their end."""
        row = self._seats.row[places]
        request = self._seats.request[places]
        last_clock = self._seats.last_clock[places]
        first_clock = self._seats.first_clock[places]
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
        self._seats.give_back(places)
        return np.bincount(row, clock[row] - last_clock, minlength=size).astype(np.float64)
