"""GPU generations, the names they go by, and which of them serve a need for the least money.

The figures are a data file, each with its source; what nobody stated stays `None` and excludes
nothing silently: a generation without a price is listed after those that have one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import lru_cache
from importlib.resources import files
from math import inf
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from fleet.located import Document

_GIB_PER_GB = 1e9 / 2**30
NOMINAL_USED_RATIO = 0.97
"""Of the memory as sold, what a driver reports at least: an 80 GB H100 shows 81,559 MiB."""

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Precision(StrEnum):
    """Of weights and arithmetic."""

    FP16 = "fp16"
    BF16 = "bf16"
    FP8 = "fp8"
    FP4 = "fp4"
    INT4 = "int4"
    """Weights only, four bits in groups; arithmetic at 16 bits."""
    AWQ = "awq"
    """The same, in AWQ's format."""
    GPTQ = "gptq"
    """The same, in GPTQ's format."""


WEIGHTS_ONLY: Final = frozenset({Precision.INT4, Precision.AWQ, Precision.GPTQ})
"""Engines unpack these weights to 16 bits before they multiply."""
_AWQ_CAPABILITY_MIN: Final = 7.5
"""vLLM's table of quantisation kernels: AWQ from Turing on, GPTQ from Volta on."""


class Bottleneck(StrEnum):
    """What a workload runs out of first."""

    PREFILL = "prefill"
    """Arithmetic."""
    DECODE = "decode"
    """Memory bandwidth."""
    KV = "kv"
    """Memory."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)


class Price(_Part):
    """A list price of one GPU for an hour, its share of the instance."""

    cloud: str
    instance: str
    gpus: Annotated[int, Field(gt=0)] = 8
    """On the instance: a wider replica does not fit on it."""
    usd_per_gpu_hour: Positive


class Generation(_Part):
    """One GPU as it is sold."""

    name: str
    vendor: str = "nvidia"
    architecture: str
    compute_capability: str | None = None
    memory_gb: Positive
    nvml_mib: Positive | None = None
    bandwidth_gb_s: Positive
    tflops: Mapping[Precision, Positive]
    """Dense, by precision."""
    fabric_gb_s: Annotated[float, Field(ge=0)]
    """NVLink or Infinity Fabric, both directions together; 0 = GPUs talk over PCIe only."""
    fabric_peers: Annotated[int, Field(gt=0)] | None = None
    """GPUs that the fabric's links go to, each its share of them; None = a switch shares them."""
    pcie_gb_s: Positive | None = None
    """Both directions together; None = GPUs of a node never talk over PCIe."""
    node_gpus_max: Annotated[int, Field(gt=0)] = 8
    """That one node has at most, in any system it is sold in."""
    source: str
    names: tuple[str, ...]
    karpenter: str | None = None
    gke: str | None = None
    prices: tuple[Price, ...] = ()

    @property
    def memory_gib(self) -> float:
        """That a process can have: as NVML reports it, or a little under what is sold."""
        if self.nvml_mib is not None:
            return self.nvml_mib / 1024
        return self.memory_gb * _GIB_PER_GB * NOMINAL_USED_RATIO

    @property
    def usd_per_hour(self) -> float | None:
        """The cheapest list price."""
        return self.usd_per_hour_of(1)

    def usd_per_hour_of(self, gpus: int) -> float | None:
        """The cheapest list price of one GPU, on an instance with at least so many."""
        prices = (price.usd_per_gpu_hour for price in self.prices if price.gpus >= gpus)
        return min(prices, default=None)

    def tflops_at(self, precision: Precision | None) -> float | None:
        """Dense, at this precision; None = it has no such arithmetic.

        Args:
            precision: None = the fastest.
        """
        if precision is None:
            return max(self.tflops.values())
        if precision not in WEIGHTS_ONLY:
            return self.tflops.get(precision)
        capability = self.compute_capability
        if precision is Precision.AWQ and capability and float(capability) < _AWQ_CAPABILITY_MIN:
            return None
        return self.tflops.get(Precision.BF16) or self.tflops.get(Precision.FP16)

    def called(self, name: str) -> bool:
        """Whether some tool calls it so: NVML, DRA, DCGM, GFD, a cloud's label."""
        folded = name.strip().lower().replace("-", " ")
        known = (self.name, *self.names, self.karpenter or "", self.gke or "")
        # GFD marks shared GPUs, and under the MIG strategy `single` the slices, with a suffix.
        folded = folded.removesuffix(" shared").partition(" mig ")[0]
        return folded in {one.lower().replace("-", " ") for one in known if one}


class Architecture(_Part):
    """What each tool calls a GPU family."""

    name: str
    """DRA's attribute `architecture`."""
    gfd: str | None = None
    """The label `nvidia.com/gpu.family`."""
    nvml: int | None = None
    """`nvmlDeviceGetArchitecture`."""

    def called(self, name: str | int) -> bool:
        """Whether some tool calls it so."""
        return name in (self.name, self.gfd, self.nvml)


class Catalogue(_Part):
    """The data file."""

    # Named `schema` in the file; pydantic has a method of that name.
    version: int = Field(alias="schema")
    as_of: date
    sources: Mapping[str, str]
    joined: frozenset[str]
    """Generations of which all GPUs of a node are one NVLink island."""
    architectures: tuple[Architecture, ...]
    generations: tuple[Generation, ...]

    def architecture(self, name: str | int) -> Architecture | None:
        """The architecture that DRA, GFD or NVML calls so, None if none does."""
        return next((one for one in self.architectures if one.called(name)), None)

    def priced(self, usd_per_gpu_hour: Mapping[str, float]) -> "Catalogue":
        """With the operator's prices in place of the lists', by the names of generations."""
        generations = []
        for one in self.generations:
            usd = usd_per_gpu_hour.get(one.name)
            if usd is None:
                generations.append(one)
                continue
            price = {
                "cloud": "operator",
                "instance": one.name,
                "gpus": one.node_gpus_max,
                "usdPerGpuHour": usd,
            }
            prices = (Price.model_validate(price),)
            generations.append(one.model_copy(update={"prices": prices}))
        return self.model_copy(update={"generations": tuple(generations)})

    def island_gpus(self, generation: Generation) -> int:
        """GPUs of a node that NVLink or Infinity Fabric joins; bridges join PCIe cards in pairs."""
        if generation.name in self.joined:
            return generation.node_gpus_max
        return 2 if generation.fabric_gb_s else 1

    def find(self, name: str) -> Generation | None:
        """The generation that goes by this name, None if none does."""
        return next((one for one in self.generations if one.called(name)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a replica needs of its GPUs."""

    memory_gib: float = 0.0
    """Of all its GPUs together: weights, KV cache, activations."""
    precision: Precision | None = None
    gpus: int = 1
    """Tensor-parallel width; more than one wants NVLink to be listed first, not alone."""
    bottleneck: Bottleneck = Bottleneck.DECODE


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """A generation for a need."""

    generation: Generation
    usd_per_unit: float | None
    """Per hour: of a TB/s (decode), a dense PFLOP/s (prefill) or 100 GiB (KV); None = no price."""
    excluded: str | None
    """Why it cannot serve the need; None = it can."""


def rank(catalogue: Catalogue, need: Need) -> list[Ranked]:
    """Every generation: those that can serve the need first, the cheapest of them first."""
    ranked = [
        Ranked(
            generation=generation,
            usd_per_unit=_usd_per_unit(generation, need),
            excluded=_excluded(generation, need),
        )
        for generation in catalogue.generations
    ]
    return sorted(
        ranked,
        key=lambda one: (
            one.excluded is not None,
            inf if one.usd_per_unit is None else one.usd_per_unit,
            one.generation.name,
        ),
    )


def _excluded(generation: Generation, need: Need) -> str | None:
    each = need.memory_gib / need.gpus
    if generation.tflops_at(need.precision) is None:
        return f"no {need.precision}"
    if need.gpus > generation.node_gpus_max:
        return f"{generation.node_gpus_max} on a node"
    if each > generation.memory_gib:
        short = f"{generation.memory_gib:.1f} of {each:.1f} GiB"
        enough = fewest_gpus(generation, need.memory_gib)
        return short if enough is None else f"{short}; {enough} hold it"
    return None


def fewest_gpus(generation: Generation, memory_gib: float) -> int | None:
    """The narrowest power of two that has this memory; None = no node has as many."""
    gpus = 1
    while gpus <= generation.node_gpus_max:
        if memory_gib <= gpus * generation.memory_gib:
            return gpus
        gpus *= 2
    return None


def _usd_per_unit(generation: Generation, need: Need) -> float | None:
    price = generation.usd_per_hour_of(need.gpus)
    if price is None:
        return None
    match need.bottleneck:
        case Bottleneck.DECODE:
            return price / (generation.bandwidth_gb_s / 1000)
        case Bottleneck.KV:
            return price / (generation.memory_gib / 100)
        case Bottleneck.PREFILL:
            best = generation.tflops_at(need.precision)
            return price / (best / 1000) if best else None


@lru_cache(maxsize=1)
def shipped() -> Catalogue:
    """The catalogue that comes with Foresail."""
    text = files("fleet").joinpath("generations.yaml").read_text(encoding="utf-8")
    return Catalogue.model_validate(Document.sound(text).value)
