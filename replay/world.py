"""A replay input served request by request: serve a second, read the pages, set the replicas.

The loop around it is the caller's, `replay.simulate` as a rule. The world never asks anybody and
reads no clock; it stands still until it is told to serve.
"""

from collections import deque
from dataclasses import dataclass
from math import inf

import numpy as np

from replay.counters import ITL_EDGES_SECONDS, TTFT_EDGES_SECONDS, Counters
from replay.engine import Engine
from replay.exposition import Exposition, Sample
from replay.fleet import Fleet, Phase
from replay.judgement import Judgement, Tally
from replay.policies.port import Seen
from replay.replay_input import ReplayInput
from replay.score import judged
from replay.traffic import Floats
from scaler.signals import LatencyCounts

_TTFT_WINDOW_SECONDS = 180
_DEMAND_WINDOW_SECONDS = 60
_RATE_SECONDS = 60
_MARK_SECONDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a person watching wants to see."""

    at_seconds: float
    ready: int
    starting: int
    draining: int
    waiting: int
    running: int
    demand_requests_per_second: float
    demand_prompt_tokens_per_second: float
    """Of the requests of the last minute, served yet or not; both rates are NaN at the start."""
    ttft_p95_seconds: float
    """Over requests that arrived in the last minutes; NaN where there were none."""
    timed_out: int
    killed: int
    gpu_hours: float


class World:
    """One run of a replay input under a caller that steps it and scales it."""

    def __init__(self, replay_input: ReplayInput, *, seed: int) -> None:
        if replay_input.requests is None:
            raise ValueError(f"{replay_input.name} has no single requests to serve one by one")
        platform = replay_input.platform
        self.replay_input = replay_input
        self.requests = replay_input.requests
        self.killed = 0
        self.engine = Engine(
            platform.profile,
            self.requests,
            rows=platform.fleet.rows,
            patience_seconds=platform.patience_seconds,
        )
        self.fleet = Fleet(platform.fleet, ready=replay_input.replicas_at_start, seed=seed)
        self._model_name = platform.profile.model_name
        self._exposition = Exposition(
            self._model_name, kv_tokens_max=platform.profile.kv_tokens_max
        )
        self._counted = _CounterWindow(self.engine.counters)
        self._judged_from = 0
        """Place of the first request that is judged."""
        self._starting: list[bool] = []
        """Of each second: whether a replica was starting."""
        self._settle()

    @property
    def now_seconds(self) -> int:
        """Seconds of the run that have passed."""
        return self.engine.now_seconds

    @property
    def ready(self) -> int:
        return self.fleet.count(Phase.READY)

    @property
    def waiting(self) -> float:
        return float(self.engine.waiting)

    def serve(self, now: int) -> None:
        """Serve the second that begins at `now`."""
        self._starting.append(self.fleet.count(Phase.STARTING) > 0)
        self.engine.step()
        self._settle()
        if self.now_seconds % _MARK_SECONDS == 0:
            self._counted.note(self.now_seconds, self.engine.counters)

    def scale_to(self, replicas: int, now: int) -> None:
        """Set the number of replicas, as a write to the scale subresource would."""
        self.engine.close_rows(self.fleet.scale_to(replicas, now))

    def judge_anew(self, now: int) -> None:
        """Judge the requests that come from now on."""
        self._judged_from = self._first_after(now)

    def seen(self, now: int) -> Seen:
        """What a Prometheus shows of the workload, at the end of a scrape."""
        engine = self.engine
        rows = [replica.row for replica in self.fleet.replicas if replica.row is not None]
        recent = slice(self._first_after(now - _RATE_SECONDS), engine.arrived)
        count = recent.stop - recent.start
        mix = self.replay_input.mix
        ttft = self._first_tokens(now)
        kv_use = engine.kv_use_ratio[rows]
        return Seen(
            at_seconds=now,
            replicas=self.fleet.wanted,
            ready=self.ready,
            running=float(engine.streams[rows].sum()),
            waiting=self.waiting,
            kv_use_ratio=float(kv_use.mean()) if rows else 0.0,
            itl_seconds=engine.itl_seconds,
            arrived_per_second=count / min(max(now, 1), _RATE_SECONDS),
            finished_per_second=self._counted.per_second("finished"),
            prompt_tokens_per_second=self._counted.per_second("prompt_tokens"),
            output_tokens_per_second=self._counted.per_second("generated_tokens"),
            prompt_tokens=float(self.requests.prompt_tokens[recent].mean())
            if count
            else mix.prompt_tokens,
            output_tokens=float(self.requests.output_tokens[recent].mean())
            if count
            else mix.output_tokens,
            ttft_p90_seconds=float(np.quantile(ttft, 0.9)) if len(ttft) else None,
            ttft=self._counted.latencies("ttft", TTFT_EDGES_SECONDS),
            itl=self._counted.latencies("itl", ITL_EDGES_SECONDS),
        )

    def tally(self) -> Tally:
        """Requests that came to an end, and those of them in time."""
        objective = self.replay_input.platform.objective
        judgement = judged(self.engine.ledger, objective, first=self._judged_from)
        return Tally(requests=judgement.requests, in_time=judgement.in_time)

    def judgement(self) -> Judgement:
        """Judge the run so far."""
        return judged(
            self.engine.ledger,
            self.replay_input.platform.objective,
            first=self._judged_from,
            arrival_seconds=self.requests.arrival_seconds,
            starting=np.array(self._starting, dtype=np.bool_),
        )

    def pages(self) -> dict[str, str]:
        """Text of /metrics by pod name."""
        return {pod: self._exposition.text(values) for pod, values in self._values().items()}

    def samples(self) -> dict[str, tuple[Sample, ...]]:
        """The same without text."""
        return {pod: self._exposition.samples(values) for pod, values in self._values().items()}

    def view(self) -> View:
        """Now, for a screen."""
        now = self.now_seconds
        engine = self.engine
        arrived = slice(self._first_after(now - _DEMAND_WINDOW_SECONDS), engine.arrived)
        window_seconds = min(now, _DEMAND_WINDOW_SECONDS) or float("nan")
        prompt_tokens = int(self.requests.prompt_tokens[arrived].sum())
        recent = slice(self._first_after(now - _TTFT_WINDOW_SECONDS), engine.arrived)
        waited = now - self.requests.arrival_seconds[recent]
        ttft = engine.ledger.ttft_seconds[recent]
        # Those who still wait count with their wait so far, else a stuck queue would look fast.
        ttft = np.where(np.isnan(ttft), waited, ttft)
        return View(
            at_seconds=now,
            ready=self.fleet.count(Phase.READY),
            starting=self.fleet.count(Phase.STARTING),
            draining=self.fleet.count(Phase.DRAINING),
            waiting=engine.waiting,
            running=int(engine.unfinished.sum()),
            demand_requests_per_second=(arrived.stop - arrived.start) / window_seconds,
            demand_prompt_tokens_per_second=prompt_tokens / window_seconds,
            ttft_p95_seconds=float(np.quantile(ttft, 0.95)) if len(ttft) else float("nan"),
            timed_out=engine.timed_out,
            killed=self.killed,
            gpu_hours=self.fleet.gpu_seconds(now) / 3600,
        )

    def _first_tokens(self, now: int) -> Floats:
        """Waits of those who got their first token in the last minute, or gave up in it."""
        patience = self.replay_input.platform.patience_seconds
        those = slice(self._first_after(now - _RATE_SECONDS - patience), self.engine.arrived)
        ttft: Floats = self.engine.ledger.ttft_seconds[those].astype(np.float64)
        return ttft[self.requests.arrival_seconds[those] + ttft > now - _RATE_SECONDS]

    def _settle(self) -> None:
        changes = self.fleet.advance(self.now_seconds, self.engine.unfinished)
        for row in changes.removed:
            self.killed += self.engine.kill_row(row)
        for row in changes.opened:
            self.engine.open_row(row)

    def _values(self) -> dict[str, tuple[float, ...]]:
        replicas = [replica for replica in self.fleet.replicas if replica.row is not None]
        ready = [replica for replica in replicas if replica.phase is Phase.READY]
        each, rest = divmod(self.engine.waiting, max(len(ready), 1))
        waiting = {replica.ordinal: each + (place < rest) for place, replica in enumerate(ready)}
        halted = self.engine.unfinished - self.engine.streams
        return {
            f"{self._model_name}-{replica.ordinal}": self._exposition.values(
                self.engine,
                replica.row,
                # A pre-empted request waits in the engine that pre-empted it.
                waiting=waiting.get(replica.ordinal, 0) + int(halted[replica.row]),
            )
            for replica in replicas
            if replica.row is not None
        }

    def _first_after(self, seconds: float) -> int:
        return int(np.searchsorted(self.requests.arrival_seconds, seconds))


class _CounterWindow:
    """Rates of the last minute from the replicas' counters, as a Prometheus computes them."""

    _NAMES = (
        *("finished", "prompt_tokens", "generated_tokens"),
        *("ttft_buckets", "ttft_seconds", "itl_buckets", "itl_seconds"),
    )

    def __init__(self, counters: Counters) -> None:
        self._last = {name: getattr(counters, name).copy() for name in self._NAMES}
        # A column a bucket; a plain counter is one number.
        self._totals = {name: last.sum(axis=0) * 0.0 for name, last in self._last.items()}
        copies = _RATE_SECONDS // _MARK_SECONDS + 1
        self._copies: deque[tuple[int, dict[str, Floats]]] = deque(maxlen=copies)
        self._copies.append((0, dict(self._totals)))

    def note(self, now: int, counters: Counters) -> None:
        for name in self._NAMES:
            shown: Floats = getattr(counters, name)
            last = self._last[name]
            # A counter that fell was reset: a new replica has taken the row.
            gained = np.where(shown < last, shown, shown - last).sum(axis=0)
            self._totals[name] = self._totals[name] + gained
            self._last[name] = shown.copy()
        self._copies.append((now, dict(self._totals)))

    def per_second(self, name: str) -> float:
        return float(self._gained(name)) / max(1, self._copies[-1][0] - self._copies[0][0])

    def latencies(self, name: str, edges_seconds: tuple[float, ...]) -> LatencyCounts:
        return LatencyCounts(
            bounds_seconds=(*edges_seconds, inf),
            counts=tuple(self._gained(f"{name}_buckets").tolist()),
            total_seconds=float(self._gained(f"{name}_seconds")),
        )

    def _gained(self, name: str) -> Floats:
        return np.asarray(self._copies[-1][1][name] - self._copies[0][1][name])
