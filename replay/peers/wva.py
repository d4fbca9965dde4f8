"""Our reading of llm-d's Workload Variant Autoscaler: token capacity, and the queueing model.

Read at the v0.9.0 line (2026-08; frozen since, and to be deleted). Its gauge of desired replicas
goes through an HPA whose sample settings add at once and hold a scale-down for 120 s; ours has no
tolerance, which is kinder to a gauge that is a number of replicas.
"""

from functools import lru_cache
from math import ceil

import numpy as np

from replay import hpa
from replay.keda import ScaledObject
from replay.policies.keda_driven import keda_kind
from replay.policies.port import Seen
from replay.policies.windows import whole_below
from replay.profile import EngineProfile
from replay.replay_input import ReplayInput
from replay.traffic import Floats

_SCALED = ScaledObject(polling_interval_seconds=15)
_BEHAVIOR = hpa.Behavior(
    scale_up=hpa.ScalingRules(
        policies=(
            hpa.Policy(kind=hpa.PolicyKind.PERCENT, value=900),
            hpa.Policy(kind=hpa.PolicyKind.PODS, value=100),
        ),
        stabilization_window_seconds=0,
        tolerance_ratio=0.0,
    ),
    scale_down=hpa.ScalingRules(
        policies=(hpa.Policy(kind=hpa.PolicyKind.PERCENT, value=100),),
        stabilization_window_seconds=120,
        tolerance_ratio=0.0,
    ),
)


class TokenCapacity:
    """Demand and capacity in KV tokens: up at 85 % of supply to come, down at 70 % of the ready."""

    _KV_RATIO = 0.80
    _DOWN_PER_UP = 0.70 / 0.85

    def __init__(self, replay_input: ReplayInput, up_ratio: float) -> None:
        self._profile = replay_input.platform.profile
        self._up, self._down = up_ratio, up_ratio * self._DOWN_PER_UP

    def __call__(self, seen: Seen) -> tuple[float, float]:
        each = self._capacity_tokens(seen)
        in_use = seen.kv_use_ratio * seen.ready * self._profile.kv_tokens_max
        demand = in_use + seen.waiting * (seen.prompt_tokens + seen.output_tokens)
        missing = demand / self._up - seen.replicas * each
        spare = seen.ready * each - demand / self._down
        wish = seen.replicas
        if missing > 0:
            wish += ceil(missing / each)
        elif spare > 0 and seen.replicas > 1:
            wish -= min(whole_below(spare / each), seen.replicas - 1)
        return wish, 1.0

    def _capacity_tokens(self, seen: Seen) -> float:
        profile, prompt, output = self._profile, seen.prompt_tokens, seen.output_tokens
        by_memory = profile.kv_tokens_max * self._KV_RATIO
        batch = min(profile.batched_tokens_max * output / (prompt + output), profile.sequences_max)
        return min(by_memory, batch * (prompt + output / 2))


class Queueing:
    """Arrivals over the highest rate that a state-dependent M/M/1/K keeps within the objective."""

    def __init__(self, replay_input: ReplayInput, share: float) -> None:
        self._replay_input, self._share = replay_input, share

    def __call__(self, seen: Seen) -> tuple[float, float]:
        platform = self._replay_input.platform
        rate_max = highest_rate(
            platform.profile,
            # Within 2 %: the answer is cached, lengths move by the second.
            1.02 ** round(np.log(max(seen.prompt_tokens, 1)) / np.log(1.02)),
            1.02 ** round(np.log(max(seen.output_tokens, 1)) / np.log(1.02)),
            ttft_seconds=platform.objective.ttft_seconds,
            itl_seconds=platform.objective.itl_seconds,
        )
        return ceil(seen.arrived_per_second / (self._share * rate_max)), 1.0


_EXTRA_QUEUE = 100
_BISECTIONS = 40


@lru_cache(maxsize=4096)
def highest_rate(
    profile: EngineProfile,
    prompt_tokens: float,
    output_tokens: float,
    *,
    ttft_seconds: float,
    itl_seconds: float,
) -> float:
    """Requests per second of one replica at which both objectives still hold on average."""
    low, high = 0.0, float(_service_rates(profile, prompt_tokens, output_tokens)[-1])
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        ttft, itl = latencies(profile, prompt_tokens, output_tokens, rate=middle)
        if ttft <= ttft_seconds and itl <= itl_seconds:
            low = middle
        else:
            high = middle
    return low


def latencies(
    profile: EngineProfile, prompt_tokens: float, output_tokens: float, *, rate: float
) -> tuple[float, float]:
    """Mean TTFT and ITL in seconds at `rate` requests per second, by the analyser's equations.

    With alpha = `fixed_seconds`, beta = `per_prefill_token_seconds` (the analyser has one compute
    cost a token) and gamma = `per_kv_token_seconds`.
    """
    rates = _service_rates(profile, prompt_tokens, output_tokens)
    logs = np.concatenate([[0.0], np.cumsum(np.log(rate) - np.log(rates))])
    chances = np.exp(logs - logs.max())
    chances /= chances.sum()
    states = np.arange(len(chances))
    served = rate * (1 - chances[-1])
    inside = float(states @ chances)
    in_service = float(np.minimum(states, profile.sequences_max) @ chances)
    wait = (inside - in_service) / served
    alone = np.array([in_service])
    prefill = float(_prefill_seconds(profile, prompt_tokens, output_tokens, alone)[0])
    itl = (in_service / served - prefill) / output_tokens
    return wait + prefill + itl, itl


def _service_rates(profile: EngineProfile, prompt: float, output: float) -> Floats:
    streams = np.arange(1, profile.sequences_max + _EXTRA_QUEUE + 1)
    n = np.minimum(streams, profile.sequences_max).astype(np.float64)
    beta, gamma = profile.per_prefill_token_seconds, profile.per_kv_token_seconds
    decode = _iteration(profile, prompt, output, n) + beta + gamma * (prompt + output / 2)
    rates: Floats = n / (_prefill_seconds(profile, prompt, output, n) + output * decode)
    return rates


def _iteration(profile: EngineProfile, prompt: float, output: float, streams: Floats) -> Floats:
    beta, gamma = profile.per_prefill_token_seconds, profile.per_kv_token_seconds
    each = beta * (prompt + output) / (output + 1) + gamma * (prompt + output / 2)
    return profile.fixed_seconds + streams * each


def _prefill_seconds(
    profile: EngineProfile, prompt: float, output: float, streams: Floats
) -> Floats:
    beta, gamma = profile.per_prefill_token_seconds, profile.per_kv_token_seconds
    return _iteration(profile, prompt, output, streams) + (beta + gamma) * prompt


KINDS = (
    keda_kind(
        name="wva-v2",
        source="llm-d WVA, token capacity: 85 % up, 70 % down, scale-down held 120 s",
        knob="use of the supply at which to add; removing at 0.82 of it",
        usual=0.85,
        knobs=(0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0),
        metric=TokenCapacity,
        scaled=_SCALED,
        behavior=_BEHAVIOR,
    ),
    keda_kind(
        name="wva-queueing",
        source="llm-d WVA, queueing model, our objective; told the parameters it learns in life",
        knob="share of the highest rate the model allows",
        usual=1.0,
        knobs=(0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
        metric=Queueing,
        scaled=_SCALED,
        behavior=_BEHAVIOR,
    ),
)
