"""A replay input served by the engine in expectation, and what metrics show of it."""

from collections import deque
from dataclasses import replace
from math import inf

import numpy as np

from replay.counters import ITL_EDGES_SECONDS
from replay.fleet import Fleet
from replay.judgement import Judgement, Tally
from replay.meanfield import ITL_BIN_SECONDS, MeanField, Totals
from replay.policies.port import Seen
from replay.replay_input import ReplayInput
from replay.traffic import Floats
from scaler.signals import LatencyCounts

RATE_SECONDS = 60
_MARK_SECONDS = 5


class InExpectation:
    """The mean of what requests of these lengths would see, in one pass over arrays."""

    def __init__(self, replay_input: ReplayInput, *, seed: int) -> None:
        platform = replay_input.platform
        self.fleet = Fleet(platform.fleet, ready=replay_input.replicas_at_start, seed=seed)
        self.engine = MeanField(
            platform.profile,
            self.fleet,
            platform.objective,
            patience_seconds=platform.patience_seconds,
        )
        self.share = 1.0
        """Of the input's requests, those that a gateway sends here."""
        self._rates = _RateWindow(self.engine.totals)
        self._mix = replay_input.mix
        self._arrivals = replay_input.arrivals.tolist()
        self._prompt_tokens = replay_input.prompt_tokens.tolist()
        self._output_tokens = replay_input.output_tokens.tolist()

    @property
    def ready(self) -> int:
        return self.engine.ready

    @property
    def waiting(self) -> float:
        return self.engine.waiting

    def seen(self, now: int) -> Seen:
        engine, rates = self.engine, self._rates
        arrived = rates.gained("arrived")
        return Seen(
            at_seconds=now,
            replicas=self.fleet.wanted,
            ready=engine.ready,
            running=engine.running,
            waiting=engine.waiting,
            kv_use_ratio=engine.kv_use_ratio,
            itl_seconds=engine.itl_seconds,
            arrived_per_second=rates.per_second("arrived"),
            finished_per_second=rates.per_second("finished"),
            prompt_tokens_per_second=rates.per_second("prompt_tokens"),
            output_tokens_per_second=rates.per_second("output_tokens"),
            prompt_tokens=rates.gained("arrived_prompt_tokens") / arrived
            if arrived
            else self._mix.prompt_tokens,
            output_tokens=rates.gained("arrived_output_tokens") / arrived
            if arrived
            else self._mix.output_tokens,
            ttft_p90_seconds=self._ttft_p90_seconds(),
            ttft=self._first_tokens(),
            itl=LatencyCounts(
                bounds_seconds=(*ITL_EDGES_SECONDS, inf),
                counts=tuple(rates.gained_of("itl_tokens").tolist()),
                total_seconds=rates.gained("running_seconds"),
            ),
        )

    def serve(self, now: int) -> None:
        self.engine.step(
            now,
            self._arrivals[now] * self.share,
            self._prompt_tokens[now],
            self._output_tokens[now],
        )
        if (now + 1) % _MARK_SECONDS == 0:
            self._rates.note(now + 1, self.engine.totals)

    def scale_to(self, replicas: int, now: int) -> None:
        self.engine.scale_to(replicas, now)

    def judge_anew(self, now: int) -> None:
        self.engine.judge_anew()

    def tally(self) -> Tally:
        return Tally(requests=self.engine.book.requests, in_time=self.engine.book.in_time)

    def judgement(self) -> Judgement:
        book = self.engine.book
        p50, p95, p99 = (_bin_of(book.waits, level) for level in (0.5, 0.95, 0.99))
        return Judgement(
            requests=book.requests,
            in_time=book.in_time,
            ttft_seconds=(p50, p95, p99),
            itl_p99_seconds=_bin_of(book.itls, 0.99) * ITL_BIN_SECONDS,
            errors=book.timed_out + book.killed,
            cold_start=book.cold_start,
        )

    def _first_tokens(self) -> LatencyCounts:
        """Waits of whole seconds, and the prompt's computation after them."""
        waits = self._rates.gained_of("waits").tolist()
        after = self.engine.first_token_seconds
        return LatencyCounts(
            bounds_seconds=(*(after + seconds for seconds in range(len(waits))), inf),
            counts=(*waits, 0.0),
        )

    def _ttft_p90_seconds(self) -> float | None:
        waits = self._rates.gained_of("waits")
        if waits.sum() <= 0:
            return None
        return _bin_of(waits, 0.9) + self.engine.first_token_seconds


class _RateWindow:
    """What the last minute added, from copies of the totals."""

    def __init__(self, totals: Totals) -> None:
        self._copies: deque[tuple[int, Totals]] = deque(maxlen=RATE_SECONDS // _MARK_SECONDS + 1)
        self.note(0, totals)

    def note(self, now: int, totals: Totals) -> None:
        copies = {name: getattr(totals, name).copy() for name in ("waits", "itl_tokens")}
        self._copies.append((now, replace(totals, **copies)))

    def gained(self, name: str) -> float:
        (_, then), (_, now) = self._copies[0], self._copies[-1]
        gained: float = getattr(now, name) - getattr(then, name)
        return gained

    def gained_of(self, name: str) -> Floats:
        (_, then), (_, now) = self._copies[0], self._copies[-1]
        gained: Floats = getattr(now, name) - getattr(then, name)
        return gained

    def per_second(self, name: str) -> float:
        return self.gained(name) / max(1, self._copies[-1][0] - self._copies[0][0])


def _bin_of(counts: Floats, level: float) -> float:
    """The bin that holds this share of all; NaN where nothing was counted."""
    total = counts.cumsum()
    if not total[-1]:
        return float("nan")
    place: np.intp = np.searchsorted(total, level * total[-1])
    return float(place)
