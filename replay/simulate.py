"""One policy on one replay input, and the result."""

from collections import deque
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from replay.fleet import Fleet
from replay.meanfield import ITL_BIN_SECONDS, Book, MeanField, Totals
from replay.policies.port import Policy, Seen, Telling
from replay.replay_input import Platform, ReplayInput
from replay.traffic import DAY_SECONDS, Floats

_RATE_SECONDS = 60
_MARK_SECONDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """The run at the end of a minute, for plots; sums and rates are over that minute."""

    at_seconds: int
    arrived_per_second: float
    prompt_tokens_per_second: float
    """Of those that arrived."""
    in_time: float
    """Requests."""
    missed: float
    """Requests: late, gone, killed."""
    replicas: int
    ready: int
    waiting: float
    foretold: tuple[float, float] | None
    """What the policy made of prompt tokens per second a start-up ahead: median and quantile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One change of what is wanted."""

    at_seconds: int
    before: int
    after: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """One day of a run; the first lacks the run-in, the last may be short."""

    requests: float
    in_time: float
    gpu_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a policy fared; requests and money count from the end of the run-in."""

    policy: str
    knob: float
    requests: float
    attainment: float
    """Share of requests in time. Who gave up, was killed or was served late is a miss."""
    gpu_hours: float
    """Starting, ready and draining."""
    ttft_p50: float
    ttft_p95: float
    ttft_p99: float
    """Seconds waited, whole; the patience for those who gave up."""
    itl_p99: float
    errors: float
    """Gave up or were killed."""
    cold_start_affected: float
    """Late or gone while a replica was starting."""
    actions: int
    flips: int
    """Changes of direction."""
    days: tuple[Day, ...]
    node_hours: float | None = None
    """Of nodes from launch to end, empty ones included; None where no node pool is modelled."""
    marks: tuple[Mark, ...] = ()
    moves: tuple[Move, ...] = ()


def simulate(
    replay_input: ReplayInput,
    policy: Policy,
    *,
    name: str,
    knob: float,
    seed: int,
    marks: bool = False,
) -> Result:
    """Run a policy on a replay input.

    Args:
        marks: keep what happened once a minute, and each move with its reason.
    """
    platform = replay_input.platform
    fleet = Fleet(platform.fleet, ready=replay_input.replicas_at_start, seed=seed)
    engine = MeanField(
        platform.profile, fleet, platform.objective, patience_seconds=platform.patience_seconds
    )
    rates = _RateWindow(engine.totals)
    recorder = _Recorder(policy)
    scaler = _Scaler(platform, fleet, engine, recorder if marks else None)
    free_gpu_seconds = free_node_seconds = 0.0
    nights = [Day(requests=0.0, in_time=0.0, gpu_seconds=0.0)]
    columns = (
        replay_input.arrivals.tolist(),
        replay_input.prompt_tokens.tolist(),
        replay_input.output_tokens.tolist(),
    )
    for now, (arrivals, prompt, output) in enumerate(zip(*columns, strict=True)):
        if now == replay_input.run_in_seconds:
            engine.judge_anew()
            recorder.judged_anew()
            free_gpu_seconds = fleet.gpu_seconds(now)
            free_node_seconds = fleet.nodes.seconds(now) if fleet.nodes else 0.0
        elif now and now % DAY_SECONDS == 0:
            nights.append(_so_far(engine.book, fleet.gpu_seconds(now) - free_gpu_seconds))
        if now % _MARK_SECONDS == 0:
            rates.note(now, engine.totals)
        if now % policy.period_seconds == 0:
            scaler.want(policy.decide(_seen(now, engine, fleet, rates, prompt, output)), now)
        engine.step(now, arrivals, prompt, output)
        if marks and (now + 1) % _RATE_SECONDS == 0:
            minute = slice(now + 1 - _RATE_SECONDS, now + 1)
            asked = (
                replay_input.arrivals[minute] @ replay_input.prompt_tokens[minute] / _RATE_SECONDS
            )
            recorder.mark(now + 1, engine, replay_input.arrivals[minute].mean(), float(asked))
    gpu_seconds = fleet.gpu_seconds(replay_input.seconds) - free_gpu_seconds
    nights.append(_so_far(engine.book, gpu_seconds))
    days = tuple(_between(before, after) for before, after in pairwise(nights))
    result = _result(name, knob, engine.book, days, scaler, recorder)
    if fleet.nodes is None:
        return result
    node_seconds = fleet.nodes.seconds(replay_input.seconds) - free_node_seconds
    return replace(result, node_hours=node_seconds / 3600)


class _Scaler:
    """Carries out what a policy wants, and counts."""

    def __init__(
        self, platform: Platform, fleet: Fleet, engine: MeanField, recorder: "_Recorder | None"
    ) -> None:
        self.actions = self.flips = 0
        self._bounds = platform.replicas_min, platform.replicas_max
        self._fleet, self._engine, self._recorder = fleet, engine, recorder
        self._direction = 0

    def want(self, replicas: int, now: int) -> None:
        before = self._fleet.wanted
        least, most = self._bounds
        wanted = min(max(replicas, least), most)
        if wanted == before:
            return
        self._engine.scale_to(wanted, now)
        turned = 1 if wanted > before else -1
        self.actions += 1
        self.flips += self._direction == -turned
        self._direction = turned
        if self._recorder is not None:
            self._recorder.moved(now, before, wanted)


class _Recorder:
    """What is kept for plots."""

    def __init__(self, policy: Policy) -> None:
        self.marks: list[Mark] = []
        self.moves: list[Move] = []
        self._policy = policy if isinstance(policy, Telling) else None
        self._in_time = self._requests = 0.0

    def judged_anew(self) -> None:
        self._in_time = self._requests = 0.0

    def moved(self, now: int, before: int, after: int) -> None:
        why = self._policy.why() if self._policy else ""
        self.moves.append(Move(at_seconds=now, before=before, after=after, why=why))

    def mark(self, now: int, engine: MeanField, arrived: float, prompt_tokens: float) -> None:
        book = engine.book
        in_time, requests = book.in_time - self._in_time, book.requests - self._requests
        self._in_time, self._requests = book.in_time, book.requests
        self.marks.append(
            Mark(
                at_seconds=now,
                arrived_per_second=float(arrived),
                prompt_tokens_per_second=prompt_tokens,
                in_time=in_time,
                missed=requests - in_time,
                replicas=engine.fleet.wanted,
                ready=engine.ready,
                waiting=engine.waiting,
                foretold=self._policy.foretold() if self._policy else None,
            )
        )


def _so_far(book: Book, gpu_seconds: float) -> Day:
    return Day(requests=book.requests, in_time=book.in_time, gpu_seconds=gpu_seconds)


def _between(before: Day, after: Day) -> Day:
    return Day(
        requests=after.requests - before.requests,
        in_time=after.in_time - before.in_time,
        gpu_seconds=after.gpu_seconds - before.gpu_seconds,
    )


class _RateWindow:
    """Rates of the last minute, from marks of the totals."""

    def __init__(self, totals: Totals) -> None:
        self._marks: deque[tuple[int, Totals]] = deque(maxlen=_RATE_SECONDS // _MARK_SECONDS + 1)
        self.note(0, totals)

    def note(self, now: int, totals: Totals) -> None:
        copy = Totals(**{name: getattr(totals, name) for name in Totals.__slots__})
        self._marks.append((now, copy))

    def per_second(self, name: str) -> float:
        (first, then), (last, now) = self._marks[0], self._marks[-1]
        gained: float = getattr(now, name) - getattr(then, name)
        return gained / max(1, last - first)


def _seen(
    now: int, engine: MeanField, fleet: Fleet, rates: _RateWindow, prompt: float, output: float
) -> Seen:
    return Seen(
        at_seconds=now,
        replicas=fleet.wanted,
        ready=engine.ready,
        running=engine.running,
        waiting=engine.waiting,
        kv_use_ratio=engine.kv_use_ratio,
        itl_seconds=engine.itl_seconds,
        arrived_per_second=rates.per_second("arrived"),
        finished_per_second=rates.per_second("finished"),
        prompt_tokens_per_second=rates.per_second("prompt_tokens"),
        output_tokens_per_second=rates.per_second("output_tokens"),
        prompt_tokens=prompt,
        output_tokens=output,
    )


def _result(
    name: str,
    knob: float,
    book: Book,
    days: tuple[Day, ...],
    scaler: _Scaler,
    recorder: _Recorder,
) -> Result:
    waits = [_quantile(book.waits, level) for level in (0.5, 0.95, 0.99)]
    return Result(
        policy=name,
        knob=knob,
        requests=book.requests,
        attainment=book.in_time / book.requests if book.requests else float("nan"),
        gpu_hours=sum(day.gpu_seconds for day in days) / 3600,
        ttft_p50=waits[0],
        ttft_p95=waits[1],
        ttft_p99=waits[2],
        itl_p99=_quantile(book.itls, 0.99) * ITL_BIN_SECONDS,
        errors=book.timed_out + book.killed,
        cold_start_affected=book.cold_start,
        actions=scaler.actions,
        flips=scaler.flips,
        days=days,
        marks=tuple(recorder.marks),
        moves=tuple(recorder.moves),
    )


def _quantile(counts: Floats, level: float) -> float:
    """The bin that holds this share of all; NaN where nothing was counted."""
    total = counts.cumsum()
    if not total[-1]:
        return float("nan")
    place: np.intp = np.searchsorted(total, level * total[-1])
    return float(place)
