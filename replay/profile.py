"""What one engine replica can do: the iteration-time model and its closed forms.

A continuous-batching server runs one iteration after another; every running stream gains one token
an iteration, and prompts are worked off in chunks beside them:

    T = a + b * decoding + c * KV tokens + d * prefill tokens            (seconds)

`a` is mostly reading the weights, `c` reading the KV cache, `b` and `d` arithmetic. In steady state
Little's law gives decoding = rate * O * T, and so T = a / (1 - rate * w) with the work w of one
request (`work_seconds`). The closed forms here are what the tick model in `engine` is checked
against, and what a platform engineer would use to size a replica by hand.
"""

from dataclasses import dataclass
from math import inf
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineProfile:
    """One model on one accelerator, as one replica serves it."""

    name: str
    model_name: str
    gpus: int = 1
    """Accelerators one replica holds."""
    fixed_seconds: float
    """`a`: an iteration with nothing to do."""
    per_sequence_seconds: float
    """`b`: for each decoding stream."""
    per_kv_token_seconds: float
    """`c`: for each token in the KV cache."""
    per_prefill_token_seconds: float
    """`d`: for each prompt token computed."""
    batched_tokens_max: int
    """Prompt tokens one iteration takes at most (vLLM's max_num_batched_tokens)."""
    sequences_max: int
    """Streams in one batch (vLLM's max_num_seqs)."""
    kv_tokens_max: int
    """Tokens that fit the KV cache."""
    prefix_hit_ratio: float = 0.0
    """Share of prompt tokens found in the prefix cache, 0 to 1: they cost memory, no arithmetic."""

    def __post_init__(self) -> None:
        if self.fixed_seconds <= 0:
            raise ValueError(f"fixed_seconds {self.fixed_seconds} must be above 0: no free tokens")
        if not 0 <= self.prefix_hit_ratio < 1:
            raise ValueError(f"prefix_hit_ratio {self.prefix_hit_ratio} must be in [0, 1)")
        if min(self.batched_tokens_max, self.sequences_max, self.kv_tokens_max) < 1:
            raise ValueError(f"profile {self.name!r}: every limit must be at least 1")

    @property
    def chunk_seconds(self) -> float:
        """What a full prefill chunk adds to an iteration."""
        return self.per_prefill_token_seconds * self.batched_tokens_max


# From the data sheet, not measured: 33 GB of FP8 weights and 256 KiB of KV a token (64 layers,
# 8 KV heads of 128, 16 bit) at 80 % of 3.35 TB/s; 2 * 32.8e9 FLOP a token at 45 % of 1,979 TFLOPS;
# about 2 ms of engine overhead. 64 streams is what an operator sets who wants ITL under 60 ms.
QWEN3_32B_FP8_H100 = EngineProfile(
    name="32b-fp8-h100",
    model_name="qwen3-32b",
    fixed_seconds=0.0145,
    per_sequence_seconds=1.0e-4,
    per_kv_token_seconds=1.0e-7,
    per_prefill_token_seconds=7.5e-5,
    batched_tokens_max=2048,
    sequences_max=64,
    kv_tokens_max=150_000,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestMix:
    """Means over requests that the closed forms need."""

    prompt_tokens: float
    output_tokens: float
    context_token_steps: float
    """E[O * I + O² / 2]: KV tokens held, summed over the iterations of one request. The square
    is why a mean length is not enough: long outputs hold long contexts for long."""

    @classmethod
    def constant(cls, prompt_tokens: float, output_tokens: float) -> Self:
        """Every request alike."""
        return cls(
            prompt_tokens=prompt_tokens,
            output_tokens=output_tokens,
            context_token_steps=output_tokens * (prompt_tokens + output_tokens / 2),
        )


def work_seconds(profile: EngineProfile, mix: RequestMix) -> float:
    """Iteration time that one request costs beyond its share of the fixed part."""
    computed_tokens = mix.prompt_tokens * (1 - profile.prefix_hit_ratio)
    return (
        profile.per_sequence_seconds * mix.output_tokens
        + profile.per_kv_token_seconds * mix.context_token_steps
        + profile.per_prefill_token_seconds * computed_tokens
    )


def iteration_seconds(
    profile: EngineProfile, mix: RequestMix, *, requests_per_second: float
) -> float:
    """Mean inter-token latency in steady state; infinite from saturation on."""
    spare = 1 - requests_per_second * work_seconds(profile, mix)
    return profile.fixed_seconds / spare if spare > 0 else inf


def capacity_requests_per_second(
    profile: EngineProfile, mix: RequestMix, *, itl_seconds: float
) -> float:
    """Rate at which a replica reaches the ITL given, its batch slots, or its KV cache: the first.

    A mean-field figure without waiting: 70 to 85 % of it is what a fleet serves in time.
    """
    work = work_seconds(profile, mix)
    at_itl = max(0.0, 1 - profile.fixed_seconds / itl_seconds) / work
    context_tokens = mix.context_token_steps / mix.output_tokens
    streams = min(profile.sequences_max, profile.kv_tokens_max / context_tokens)
    at_streams = streams / (mix.output_tokens * profile.fixed_seconds + streams * work)
    return min(at_itl, at_streams)


def concurrency(profile: EngineProfile, mix: RequestMix, *, itl_seconds: float) -> float:
    """Streams in flight on a replica at its capacity: what a load test of one replica would read.

    Little's law on `capacity_requests_per_second`.
    """
    rate = capacity_requests_per_second(profile, mix, itl_seconds=itl_seconds)
    iteration = iteration_seconds(profile, mix, requests_per_second=rate)
    return rate * mix.output_tokens * iteration
