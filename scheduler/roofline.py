"""How many tokens a replica serves at best, and how long one token and one prompt take alone.

Williams et al., Roofline (2009), with one more roof: what tensor parallelism sends between GPUs.
Each layer adds up the activations of all GPUs twice (Shoeybi et al., Megatron-LM, 2019, section 3),
and a ring sends `2 (g - 1) / g` of them through each GPU's link. Without that roof the widest
replica would always be the cheapest.
"""

from dataclasses import dataclass
from typing import Final

from fleet.catalogue import Bottleneck, Generation
from scheduler.need import FLOP_PER_PARAMETER, Need

_GIB: Final = 2.0**30
_SUMS_PER_LAYER: Final = 2
_ACTIVATION_BYTES: Final = 2


@dataclass(frozen=True, slots=True)
class Full:
    """A replica that has all the work it can take."""

    requests: float | None
    """At once; None = prompts come one after the other."""
    tokens_per_second: float


def full_replica(generation: Generation, need: Need, gpus: int, *, island_gpus: int) -> Full | None:
    """What it serves at best; None = the model is not known.

    With `n` requests, `W` bytes of weights and `k` of KV cache a request a step takes
    `max((W + n k) / bandwidth, n FLOP / rate) + n exchanged / link`.

    * decode: as many requests as fit in memory and in the objective; each gets a token a step.
    * prefill: a token takes its FLOP and its exchange.
    * KV: as many requests as before, each with a token in the objective.
    """
    passed = need.passed_parameters
    if passed is None:
        return None
    bandwidth = bandwidth_bytes(generation, gpus)
    flop_seconds = FLOP_PER_PARAMETER * passed / _flops(generation, need, gpus)
    link_seconds = exchange_seconds(generation, need, gpus, island_gpus=island_gpus)
    if need.bottleneck is Bottleneck.PREFILL:
        return Full(None, 1 / (flop_seconds + link_seconds))
    usable = usable_bytes(generation, need, gpus)
    seconds = need.itl_seconds
    requests = min(
        (usable - need.weights) / need.kv_request,
        (seconds * bandwidth - need.weights) / (need.kv_request + link_seconds * bandwidth),
        seconds / (flop_seconds + link_seconds),
    )
    if need.bottleneck is Bottleneck.KV:
        return Full(requests, requests / seconds)
    read = (need.weights + requests * need.kv_request) / bandwidth
    step = max(read, requests * flop_seconds) + requests * link_seconds
    return Full(requests, requests / step)


def too_slow(generation: Generation, need: Need, gpus: int, *, island_gpus: int) -> str | None:
    """At best, and alone on the replica: what is out here no tuning brings in."""
    passed = need.passed_parameters
    if passed is None:
        return None
    exchange = exchange_seconds(generation, need, gpus, island_gpus=island_gpus)
    step = (need.weights + need.kv_request) / bandwidth_bytes(generation, gpus) + exchange
    if step > need.itl_seconds:
        return f"a token takes {step * 1000:.0f} ms, objective {need.itl_seconds * 1000:.0f} ms"
    flop_seconds = FLOP_PER_PARAMETER * passed / _flops(generation, need, gpus)
    prompt = (flop_seconds + exchange) * need.prompt_tokens
    if prompt > need.ttft_seconds:
        return f"a prompt takes {prompt:.1f} s, objective {need.ttft_seconds:g} s"
    return None


def exchange_seconds(generation: Generation, need: Need, gpus: int, *, island_gpus: int) -> float:
    """For one token, at the peak of the links; the latency of each exchange is not counted.

    Args:
        generation: of the GPUs.
        need: that says how large the model's activations are.
        gpus: of the replica.
        island_gpus: that NVLink or its like joins; a wider replica talks over PCIe.
    """
    if gpus == 1:
        return 0.0
    both_ways = generation.fabric_gb_s
    if gpus > island_gpus:
        both_ways = generation.pcie_gb_s or both_ways
    elif generation.fabric_peers is not None:
        both_ways *= min(1.0, (gpus - 1) / generation.fabric_peers)
    sent = _SUMS_PER_LAYER * need.activations * _ACTIVATION_BYTES * 2 * (gpus - 1) / gpus
    return sent / (both_ways / 2 * 1e9)


def usable_bytes(generation: Generation, need: Need, gpus: int) -> float:
    """Memory of the replica, less the part that stays free."""
    return generation.memory_gib * _GIB * gpus * (1 - need.memory_margin)


def bandwidth_bytes(generation: Generation, gpus: int) -> float:
    """Of all GPUs together, a second."""
    return generation.bandwidth_gb_s * 1e9 * gpus


def _flops(generation: Generation, need: Need, gpus: int) -> float:
    """Of all GPUs together, a second; a generation without the arithmetic is not asked."""
    tflops = generation.tflops_at(need.precision)
    if tflops is None:
        raise ValueError(f"{generation.name} has no {need.precision} arithmetic")
    return tflops * 1e12 * gpus
