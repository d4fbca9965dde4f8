"""A scenario that runs: step it, read its pages, tell it how many replicas.

The loop around it is the caller's: advance, read the pages as a scraper would, decide, `scale_to`.
The world never asks anybody and reads no clock; it stands still until it is advanced.
"""

from dataclasses import dataclass

import numpy as np

from replay.engine import TICK_SECONDS, Engine
from replay.exposition import Exposition, Sample
from replay.fleet import Fleet, Phase
from replay.generated_day import GeneratedDay, replicas_at_start
from replay.score import Cost, Score, score
from replay.traffic import Traffic

_TTFT_WINDOW_SECONDS = 180
_DEMAND_WINDOW_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrape:
    """What Prometheus holds of the workload after one scrape, summed over its pods."""

    at_seconds: float
    pods: int
    """Pods that answered: ready and draining. With none every sum is an empty vector."""
    running: float
    waiting: float
    kv_use_ratio: float
    """Mean over the pods."""


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
    demand_generated_tokens_per_second: float
    """Tokens that the requests of the last minute ask for, served yet or not."""
    ttft_p95_seconds: float
    """Over requests that arrived in the last minutes; NaN where there were none."""
    timed_out: int
    killed: int
    gpu_hours: float


class World:
    """One run of a scenario under whoever calls `scale_to`."""

    def __init__(self, scenario: GeneratedDay, traffic: Traffic, *, seed: int) -> None:
        self.scenario = scenario
        self.traffic = traffic
        self.requests = traffic.requests()
        self.scale_actions = 0
        self.replicas_most = 0
        self.killed = 0
        self.engine = Engine(
            scenario.profile,
            self.requests,
            rows=scenario.fleet.rows,
            patience_seconds=scenario.patience_seconds,
        )
        self.fleet = Fleet(scenario.fleet, ready=replicas_at_start(scenario, traffic), seed=seed)
        self._exposition = Exposition(scenario.profile.model_name)
        self._settle()

    @property
    def now_seconds(self) -> int:
        """Seconds of the run that have passed."""
        return self.engine.now_seconds

    def advance(self, to_seconds: float) -> None:
        """Run to the last whole second that is not after `to_seconds`."""
        while self.engine.now_seconds + TICK_SECONDS <= to_seconds:
            self.engine.step()
            self._settle()

    def scale_to(self, replicas: int) -> None:
        """Set the number of replicas, as a write to the scale subresource would."""
        if replicas == self.fleet.wanted:
            return
        self.scale_actions += 1
        closed = self.fleet.scale_to(replicas, self.now_seconds)
        self.engine.close_rows(closed)
        self.replicas_most = max(self.replicas_most, self.fleet.wanted)

    def pages(self) -> dict[str, str]:
        """Text of /metrics by pod name."""
        return {pod: self._exposition.text(values) for pod, values in self._values().items()}

    def samples(self) -> dict[str, tuple[Sample, ...]]:
        """The same without text."""
        return {pod: self._exposition.samples(values) for pod, values in self._values().items()}

    def scrape(self) -> Scrape:
        """The sums that the rules of others ask Prometheus for."""
        rows = [replica.row for replica in self.fleet.replicas if replica.row is not None]
        kv_use = self.engine.kv_use_ratio[rows]
        return Scrape(
            at_seconds=self.now_seconds,
            pods=len(rows),
            running=float(self.engine.streams[rows].sum()),
            waiting=float(self.engine.waiting) if self.fleet.count(Phase.READY) else 0.0,
            kv_use_ratio=float(kv_use.mean()) if rows else 0.0,
        )

    def view(self) -> View:
        """Now, for a screen."""
        now = self.now_seconds
        engine = self.engine
        arrived = slice(self._first_after(now - _DEMAND_WINDOW_SECONDS), engine.arrived)
        window_seconds = min(max(now, TICK_SECONDS), _DEMAND_WINDOW_SECONDS)
        prompt_tokens = int(self.requests.prompt_tokens[arrived].sum())
        output_tokens = int(self.requests.output_tokens[arrived].sum())
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
            demand_generated_tokens_per_second=output_tokens / window_seconds,
            ttft_p95_seconds=float(np.quantile(ttft, 0.95)) if len(ttft) else float("nan"),
            timed_out=engine.timed_out,
            killed=self.killed,
            gpu_hours=self.fleet.gpu_seconds(now) / 3600,
        )

    def score(self, policy: str) -> Score:
        """Judge the run so far."""
        cost = Cost(
            gpu_seconds=self.fleet.gpu_seconds(self.now_seconds),
            scale_actions=self.scale_actions,
            replicas_most=self.replicas_most,
        )
        return score(policy, self.engine.ledger, self.scenario.objective, cost)

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
            f"{self.scenario.profile.model_name}-{replica.ordinal}": self._exposition.values(
                self.engine,
                replica.row,
                # Who was pre-empted waits in the engine that threw it out.
                waiting=waiting.get(replica.ordinal, 0) + int(halted[replica.row]),
            )
            for replica in replicas
            if replica.row is not None
        }

    def _first_after(self, seconds: float) -> int:
        return int(np.searchsorted(self.requests.arrival_seconds, seconds))
