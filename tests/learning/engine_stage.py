"""A fleet of replicas whose iteration time follows the formula exactly, and looks at it."""

import math
from dataclasses import dataclass

from scaler.decision.capacity import Origin, ReplicaCapacity, Together, Work
from scaler.decision.objective import Objective
from scaler.decision.tracker import PollResult
from scaler.learning.engine import EngineLearner
from scaler.signals import LatencyCounts, Observation, Reading, Signal, Value

OBJECTIVE = Objective(ttft_seconds=2.0, itl_seconds=0.06, attainment=0.99)
PROMPT, ANSWER = 1000.0, 200.0
"""Tokens of a request; it holds 1,100 in the cache on average."""
KV_TOKENS = 150_000.0
LOOK_SECONDS = 15.0


def given(prompt: float, generated: float, *, origin: Origin = Origin.METADATA) -> ReplicaCapacity:
    """Figures of one replica: tokens a second of one kind alone."""
    return ReplicaCapacity(
        work=Work(prompt=1 / prompt, generated=1 / generated, together=Together.SUM, origin=origin),
        requests=64,
    )


@dataclass
class Engine:
    """T = a + b·running + c·KV + d·p·T."""

    fixed: float = 0.015
    per_sequence: float = 1e-4
    per_kv_token: float = 1e-7
    per_prompt_token: float = 8e-5

    @property
    def request_seconds(self) -> float:
        """Iteration time that a request costs: 0.02 + 0.022 + 0.08 = 0.122 s."""
        context = PROMPT + ANSWER / 2
        decode = ANSWER * (self.per_sequence + self.per_kv_token * context)
        return decode + PROMPT * self.per_prompt_token

    def itl(self, rate: float) -> float:
        """At so many requests a second."""
        return self.fixed / (1 - rate * self.request_seconds)

    @property
    def capacity(self) -> float:
        """Requests a second at which the ITL is 60 ms: 0.75 ÷ 0.122 = 6.148."""
        return (1 - self.fixed / OBJECTIVE.itl_seconds) / self.request_seconds


@dataclass
class Stage:
    """Looks every 15 s at a fleet that a learner watches."""

    learner: EngineLearner
    engine: Engine
    at: float = 1_000_000.0
    ready: float = 5.0
    waiting: float = 0.0
    slots: float = math.inf
    has_sum: bool = True
    ttft_late: float = 0.0
    itl_factor: float = 1.0
    """What the engine measures ÷ what the formula says."""

    def look(self, rate: float) -> None:
        """At `rate` requests a second and replica."""
        self.at += LOOK_SECONDS
        self.learner.take(PollResult(at_seconds=self.at, observation=self._seen(rate)))

    def minutes(self, count: float, *rates: float) -> None:
        """So long at these rates in turn."""
        for look in range(round(count * 60 / LOOK_SECONDS)):
            self.look(rates[look % len(rates)])

    def _seen(self, rate: float) -> Observation:
        itl = self.engine.itl(rate) * self.itl_factor
        running = min(rate * ANSWER * itl, self.slots) * self.ready
        tokens = rate * ANSWER * self.ready
        amounts = {
            Signal.PROMPT_TOKENS: rate * PROMPT * self.ready,
            Signal.GENERATED_TOKENS: tokens,
            Signal.RUNNING: running,
            Signal.WAITING: self.waiting,
            Signal.REPLICAS: self.ready,
            Signal.REQUESTS: rate * self.ready,
            Signal.KV_CAPACITY: KV_TOKENS,
            Signal.KV_USE: running / self.ready * (PROMPT + ANSWER / 2) / KV_TOKENS,
        }
        readings: dict[Signal, Reading] = {
            signal: Value(value=amount, at_seconds=self.at) for signal, amount in amounts.items()
        }
        itl_counts = LatencyCounts(
            bounds_seconds=(math.inf,),
            counts=(tokens * 60,),
            total_seconds=tokens * 60 * itl if self.has_sum else None,
        )
        requests = rate * self.ready * 60
        ttft_counts = LatencyCounts(
            bounds_seconds=(2.0, math.inf),
            counts=(requests * (1 - self.ttft_late), requests * self.ttft_late),
        )
        return Observation(
            at_seconds=self.at,
            readings=readings,
            latencies={Signal.ITL: itl_counts, Signal.TTFT: ttft_counts},
        )


def requests_per_second(capacity: ReplicaCapacity) -> float:
    """What a capacity serves of requests like these."""
    load = capacity.work.replicas(PROMPT, ANSWER)
    assert load is not None
    return 1 / load
