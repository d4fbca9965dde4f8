"""GPU generations for a need, by what a served token costs on them, and why others are out.

The figures are rooflines: what the hardware could do at best. Engines reach a part of it, much the
same part everywhere, so the order holds where the figure does not. What is not modelled is said by
the ranking and not hidden in it: GPUs that talk over PCIe lose time that this does not count.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Final

from fleet.catalogue import Bottleneck, Catalogue, Generation
from scheduler.need import FLOP_PER_PARAMETER, Need

NOT_NAMED: Final = "not among the GPU models named"
WIDTHS: Final = (1, 2, 4, 8)
"""GPUs of a replica that are tried where nobody says how many; heads split evenly over these."""
_GIB: Final = 2.0**30
_TOKENS: Final = 1e6
_UNITS: Final = {
    Bottleneck.DECODE: "$ per TB/s-h",
    Bottleneck.PREFILL: "$ per PFLOP/s-h",
    Bottleneck.KV: "$ per 100 GiB-h",
}


@dataclass(frozen=True, slots=True)
class Prices:
    """What a GPU costs for an hour, by generation; one that is missing has no known price."""

    source: str
    usd_per_gpu_hour: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A generation for a need."""

    generation: Generation
    gpus: int
    """Of a replica."""
    each_mib: int
    """Memory that each of them must have."""
    usd_per_gpu_hour: float | None
    cost: float | None
    """In the ranking's unit; None = no price."""
    excluded: str | None = None
    """Why it cannot serve the need; None = it can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Every generation of the catalogue: those that can serve first, the best of them first."""

    need: Need
    unit: str
    prices: str
    """Where they are from."""
    candidates: tuple[Candidate, ...]

    @property
    def feasible(self) -> tuple[Candidate, ...]:
        return tuple(one for one in self.candidates if one.excluded is None)


def prices_of(
    catalogue: Catalogue, source: str | None, operator: Mapping[str, float] | None = None
) -> Prices:
    """The prices of a source: `operator`, `list`, or a cloud whose list prices alone count.

    Args:
        catalogue: with list prices.
        source: None = the operator's where there are any, else list prices.
        operator: dollars by generation; where given they add to list prices, or replace them.

    Raises:
        ValueError: there is no such source.
    """
    clouds = {price.cloud for one in catalogue.generations for price in one.prices}
    own = dict(operator or {})
    known = ["list", *sorted(clouds), *(["operator"] if own else [])]
    source = source or ("operator" if own else "list")
    if source not in known:
        raise ValueError(f"{source!r} is no source of prices; there is {', '.join(known)}")
    listed: dict[str, float] = {}
    for one in catalogue.generations:
        prices = [
            p.usd_per_gpu_hour for p in one.prices if source not in clouds or p.cloud == source
        ]
        if prices:
            listed[one.name] = min(prices)
    return Prices(source, listed | own if source == "operator" else listed)


def rank(catalogue: Catalogue, need: Need, prices: Prices) -> Ranking:
    """Every generation in this order: able, preferred, cheaper, and by name.

    Those without a price come after all that have one.
    """
    candidates = [_candidate(one, need, prices) for one in catalogue.generations]
    known = need.passed_parameters is not None
    return Ranking(
        need=need,
        unit="$ per million tokens" if known else _UNITS[need.bottleneck],
        prices=prices.source,
        candidates=tuple(
            sorted(
                candidates,
                key=lambda one: (
                    one.excluded is not None,
                    one.generation.name not in need.preferred,
                    inf if one.cost is None else one.cost,
                    one.generation.name,
                ),
            )
        ),
    )


def _candidate(generation: Generation, need: Need, prices: Prices) -> Candidate:
    gpus = _width(generation, need)
    price = prices.usd_per_gpu_hour.get(generation.name)
    excluded = _excluded(generation, need, gpus)
    cost = None if excluded or price is None else _cost(generation, need, gpus, price)
    return Candidate(
        generation=generation,
        gpus=gpus,
        each_mib=need.each_mib(gpus),
        usd_per_gpu_hour=price,
        cost=cost,
        excluded=excluded,
    )


def _width(generation: Generation, need: Need) -> int:
    if need.tensor_parallel is not None:
        return need.tensor_parallel
    tried = [gpus for gpus in WIDTHS if gpus <= generation.node_gpus_max]
    return next((gpus for gpus in tried if _holds(generation, need, gpus)), tried[-1])


def _holds(generation: Generation, need: Need, gpus: int) -> bool:
    return need.each_mib(gpus) <= generation.memory_gib * 1024


def _excluded(generation: Generation, need: Need, gpus: int) -> str | None:
    """Why it cannot serve the need; the first reason that holds."""
    if generation.name in need.excluded:
        return "excluded by name"
    if need.only and generation.name not in need.only:
        return NOT_NAMED
    if need.precision is not None and need.precision not in generation.tflops:
        return f"no {need.precision.value} arithmetic"
    if gpus > generation.node_gpus_max:
        return f"{gpus} GPUs wanted, a node has at most {generation.node_gpus_max}"
    if not _holds(generation, need, gpus):
        has, wants = generation.memory_gib, need.each_mib(gpus) / 1024
        return f"memory: {has:.1f} of {wants:.1f} GiB" + (f" on each of {gpus}" * (gpus > 1))
    return _too_slow(generation, need, gpus)


def _too_slow(generation: Generation, need: Need, gpus: int) -> str | None:
    """At best, and alone on the replica: what is out here no tuning brings in."""
    passed = need.passed_parameters
    if passed is None:
        return None
    step = (need.weights + need.kv_request) / _bandwidth(generation, gpus)
    if step > need.itl_seconds:
        return f"a token takes {step * 1000:.0f} ms, objective {need.itl_seconds * 1000:.0f} ms"
    prompt = FLOP_PER_PARAMETER * passed * need.prompt_tokens / _flops(generation, need, gpus)
    if prompt > need.ttft_seconds:
        return f"a prompt takes {prompt:.1f} s, objective {need.ttft_seconds:g} s"
    return None


def _cost(generation: Generation, need: Need, gpus: int, usd_per_gpu_hour: float) -> float:
    """Dollars for a million tokens at the roofline, or for a unit of the hardware.

    Williams et al., Roofline (2009), for the one resource that is the bottleneck. With `U` bytes of
    usable memory, `W` of weights, `k` of KV cache a request, `s` seconds between tokens:

    * decode: each step reads `R = min(U, s x bandwidth)`; `(R - W) / k` requests get a token of it.
    * prefill: a token takes 2 FLOP for each parameter that it passes.
    * KV: `(U - W) / k` requests are in memory, each gets a token in `s`.
    """
    passed = need.passed_parameters
    if passed is None:
        return _unit_cost(generation, need, usd_per_gpu_hour)
    rate = _tokens_per_second(generation, need, gpus, passed)
    return usd_per_gpu_hour * gpus / 3600 / rate * _TOKENS


def _tokens_per_second(
    generation: Generation, need: Need, gpus: int, passed_parameters: float
) -> float:
    usable = generation.memory_gib * _GIB * gpus * (1 - need.memory_margin)
    bandwidth = _bandwidth(generation, gpus)
    match need.bottleneck:
        case Bottleneck.DECODE:
            read = min(usable, need.itl_seconds * bandwidth)
            return (read - need.weights) / need.kv_request / (read / bandwidth)
        case Bottleneck.PREFILL:
            return _flops(generation, need, gpus) / (FLOP_PER_PARAMETER * passed_parameters)
        case Bottleneck.KV:
            return (usable - need.weights) / need.kv_request / need.itl_seconds


def _unit_cost(generation: Generation, need: Need, usd_per_gpu_hour: float) -> float:
    match need.bottleneck:
        case Bottleneck.DECODE:
            return usd_per_gpu_hour / (generation.bandwidth_gb_s / 1000)
        case Bottleneck.PREFILL:
            return usd_per_gpu_hour / (_flops(generation, need, 1) / 1e15)
        case Bottleneck.KV:
            return usd_per_gpu_hour / (generation.memory_gib / 100)


def _bandwidth(generation: Generation, gpus: int) -> float:
    return generation.bandwidth_gb_s * 1e9 * gpus


def _flops(generation: Generation, need: Need, gpus: int) -> float:
    tflops = generation.tflops
    return (tflops[need.precision] if need.precision else max(tflops.values())) * 1e12 * gpus
