"""Our reading of NVIDIA Dynamo's planner (v1.6 documentation), aggregated engines.

Two targets: `throughput` adds and removes single replicas at thresholds of KV demand; `sla` sizes
the fleet for a prediction one interval ahead (slow loop) and corrects it by single replicas (fast
loop), never under what the slow loop wants. While a worker is starting both only observe.
"""

from collections.abc import Callable
from math import ceil
from typing import Protocol

import numpy as np

from replay.policies.port import Policy, PolicyKind, Seen
from replay.profile import RequestMix, capacity_requests_per_second
from replay.replay_input import ReplayInput

_FAST_SECONDS = 5
_SLOW_SECONDS = 180


class Throughput:
    """Scheduled and queued tokens over the KV cache: more than all of it adds one."""

    period_seconds = _FAST_SECONDS
    _DOWN_PER_UP = 0.6

    def __init__(self, replay_input: ReplayInput, up_ratio: float) -> None:
        self._kv_tokens = replay_input.platform.profile.kv_tokens_max
        self._up, self._down = up_ratio, up_ratio * self._DOWN_PER_UP

    def decide(self, seen: Seen) -> int:
        if seen.replicas > seen.ready or not seen.ready:
            return max(1, seen.replicas)
        queued = seen.waiting * (seen.prompt_tokens + seen.output_tokens)
        load = seen.kv_use_ratio + queued / (seen.ready * self._kv_tokens)
        return seen.replicas + (load > self._up) - (load < self._down)


class Predictor(Protocol):
    """One number a slow interval in, the next one out."""

    def next(self, value: float) -> float: ...


class Constant:
    """The next is the last."""

    def next(self, value: float) -> float:
        return value


class Kalman:
    """A local linear trend with the planner's default noise, which has no scale."""

    _STEP = np.array([[1.0, 1.0], [0.0, 1.0]])
    _DRIFT = np.diag([1.0, 0.1])
    _NOISE = 10.0
    _WARM = 5

    def __init__(self) -> None:
        self._state: np.ndarray[tuple[int], np.dtype[np.float64]] | None = None
        self._spread = np.eye(2)
        self._count = 0

    def next(self, value: float) -> float:
        self._count += 1
        if self._state is None:
            self._state = np.array([value, 0.0])
            return value
        state = self._STEP @ self._state
        spread = self._STEP @ self._spread @ self._STEP.T + self._DRIFT
        gain = spread[:, 0] / (spread[0, 0] + self._NOISE)
        self._state = state + gain * (value - state[0])
        self._spread = spread - np.outer(gain, spread[0])
        return float(self._state.sum()) if self._count >= self._WARM else value


class Sla:
    """A floor sized for the predicted rate and lengths, and steps of one above it."""

    period_seconds = _FAST_SECONDS
    _DOWN_RATIO = 0.8

    def __init__(
        self, replay_input: ReplayInput, headroom: float, make_predictor: Callable[[], Predictor]
    ) -> None:
        self._platform, self._headroom = replay_input.platform, headroom
        self._rate, self._prompt, self._output = (make_predictor() for _ in range(3))
        self._floor = 1

    def decide(self, seen: Seen) -> int:
        if seen.at_seconds % _SLOW_SECONDS == 0:
            self._floor = self._sized(seen)
        if seen.replicas > seen.ready or not seen.ready:
            return max(seen.replicas, self._floor)
        return max(self._floor, seen.replicas + self._step(seen))

    def _sized(self, seen: Seen) -> int:
        rate = max(0.0, self._rate.next(seen.arrived_per_second))
        mix = RequestMix.constant(
            max(1.0, self._prompt.next(seen.prompt_tokens)),
            max(1.0, self._output.next(seen.output_tokens)),
        )
        each = capacity_requests_per_second(
            self._platform.profile, mix, itl_seconds=self._platform.objective.itl_seconds
        )
        return ceil(self._headroom * rate / each)

    def _step(self, seen: Seen) -> int:
        profile, objective = self._platform.profile, self._platform.objective
        queued_tokens = seen.waiting / seen.ready * seen.prompt_tokens
        ttft = (queued_tokens + seen.prompt_tokens) * profile.per_prefill_token_seconds
        if ttft > objective.ttft_seconds or seen.itl_seconds > objective.itl_seconds:
            return 1
        if seen.ready == 1:
            return 0
        more = seen.ready / (seen.ready - 1)
        spread = seen.itl_seconds - profile.fixed_seconds
        kept = (
            ttft * more <= objective.ttft_seconds * self._DOWN_RATIO
            and profile.fixed_seconds + spread * more <= objective.itl_seconds * self._DOWN_RATIO
            and seen.kv_use_ratio * more <= 1
            and seen.in_flight * more <= profile.sequences_max * seen.ready
        )
        return -1 if kept else 0


def _sla(name: str, make_predictor: Callable[[], Predictor]) -> PolicyKind:
    def make(replay_input: ReplayInput, headroom: float) -> Policy:
        return Sla(replay_input, headroom, make_predictor)

    return PolicyKind(
        name=name,
        source=f"Dynamo planner, target sla, predictor {make_predictor.__name__.lower()}: "
        "180 s and 5 s loops, down at 80 % of the objective",
        knob="predicted load counted times",
        usual=1.0,
        knobs=(1.0, 1.15, 1.3, 1.5, 1.75, 2.0, 2.5),
        make=make,
    )


KINDS = (
    PolicyKind(
        name="dynamo-throughput",
        source="Dynamo planner, target throughput: up over 1.0, down under 0.6",
        knob="KV demand at which to add; removing at 0.6 of it",
        usual=1.0,
        knobs=(0.1, 0.15, 0.2, 0.3, 0.45, 0.7, 1.0),
        make=Throughput,
    ),
    _sla("dynamo-sla-constant", Constant),
    _sla("dynamo-sla-kalman", Kalman),
)
