"""GPU generations for a need, by what a served token costs on them, and why others are out.

Each generation is ranked at the width, the number of GPUs of a replica, that serves a token for the
least money. The figures are rooflines: what the hardware could do at best. Engines reach a part of
it, much the same part everywhere, so the order holds where the figure does not.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from math import floor, inf
from typing import Final

from fleet.catalogue import Bottleneck, Catalogue, Generation, Price
from scheduler.drivers import DEFAULT_VENDOR, DRIVERS
from scheduler.need import Need
from scheduler.roofline import full_replica, too_slow, usable_bytes

WIDER_SAVES_MIN: Final = 0.1
"""Ratio of a token's cost: a wider replica is scaled in larger steps, and must be worth it."""
_GIB: Final = 2.0**30
_TOKENS: Final = 1e6
_UNITS: Final = {
    Bottleneck.DECODE: "$ per TB/s-h",
    Bottleneck.PREFILL: "$ per PFLOP/s-h",
    Bottleneck.KV: "$ per 100 GiB-h",
}


class Lack(Enum):
    """Why a generation is out, without its figures."""

    NAME = auto()
    VENDOR = auto()
    DEVICE_CLASS = auto()
    ARITHMETIC = auto()
    COUNT = auto()
    MEMORY = auto()
    SPEED = auto()


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Why a generation cannot serve a need."""

    lack: Lack
    why: str
    wider: int | None = None
    """GPUs that would hold the need where these do not; None = that is not what is missing."""


@dataclass(frozen=True, slots=True)
class Prices:
    """What a GPU costs for an hour, by generation; one that is missing has no known price."""

    source: str
    usd_per_gpu_hour: Mapping[str, float]
    """For replicas of any width; before list prices."""
    listed: Mapping[str, tuple[Price, ...]] = field(default_factory=dict)

    def of(self, generation: str, gpus: int) -> float | None:
        """For each GPU of a replica: the list price is of an instance that has all of them."""
        own = self.usd_per_gpu_hour.get(generation)
        if own is not None:
            return own
        listed = self.listed.get(generation, ())
        return min((one.usd_per_gpu_hour for one in listed if one.gpus >= gpus), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A generation for a need, at one width."""

    generation: Generation
    gpus: int
    """Of a replica."""
    each_mib: int
    """Memory that each of them must have."""
    usd_per_gpu_hour: float | None
    cost: float | None
    """In the ranking's unit; None = no price."""
    full_requests: float | None
    """At once, on the full replica that the cost is of; None = not known."""
    over_pcie: bool
    """Whether the GPUs of a replica are more than NVLink or its like joins."""
    excluded: Exclusion | None = None
    """Why it cannot serve the need; None = it can."""
    others: tuple["Candidate", ...] = ()
    """The other widths at which it can, the narrowest first."""
    is_best_width: bool = False

    @property
    def name(self) -> str:
        """That no other candidate has."""
        return self.generation.name + ("" if self.is_best_width else f"-x{self.gpus}")

    @property
    def narrower(self) -> tuple["Candidate", ...]:
        return tuple(one for one in self.others if one.gpus < self.gpus)


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
    listed = {
        one.name: tuple(p for p in one.prices if source not in clouds or p.cloud == source)
        for one in catalogue.generations
    }
    return Prices(source, own if source == "operator" else {}, listed)


def rank(
    catalogue: Catalogue,
    need: Need,
    prices: Prices,
    device_classes: frozenset[str] | None = None,
) -> Ranking:
    """Every generation in this order: able, preferred, cheaper, and by name.

    Those without a price come after all that have one.

    Args:
        catalogue: of all generations.
        need: of a replica.
        prices: that count.
        device_classes: of the cluster; None = it was not asked.
    """
    known = need.passed_parameters is not None
    judge = _Judge(catalogue, need, prices, device_classes)
    return Ranking(
        need=need,
        unit="$ per million tokens" if known else _UNITS[need.bottleneck],
        prices=prices.source,
        candidates=tuple(
            sorted(map(judge.best, catalogue.generations), key=lambda one: place(one, need))
        ),
    )


def place(one: Candidate, need: Need) -> tuple[object, ...]:
    """What candidates are sorted by: able, preferred, cheaper, and by name."""
    return (
        one.excluded is not None,
        one.generation.name not in need.preferred,
        inf if one.cost is None else one.cost,
        one.generation.name,
    )


def vendors_of(catalogue: Catalogue, need: Need) -> frozenset[str]:
    """Whose GPUs may be offered: an engine's image runs on those of one vendor."""
    if need.vendors is not None:
        return need.vendors
    named = need.only | need.preferred
    return frozenset(
        {DEFAULT_VENDOR, *(one.vendor for one in catalogue.generations if one.name in named)}
    )


@dataclass(frozen=True, slots=True)
class _Judge:
    """Puts one generation after the other against the same need."""

    catalogue: Catalogue
    need: Need
    prices: Prices
    device_classes: frozenset[str] | None

    def best(self, generation: Generation) -> Candidate:
        """At the cheapest width for a token; where it is out, at the widest that was tried."""
        widths = self.need.widths(generation.node_gpus_max)
        tried = [self._at(generation, gpus) for gpus in widths]
        able = [one for one in tried if one.excluded is None]
        if not able:
            return replace(tried[-1], is_best_width=True)
        worth = {one.gpus: self._relative_cost(one) for one in able}
        limit = min(worth.values()) / (1 - WIDER_SAVES_MIN)
        best = next(one for one in able if worth[one.gpus] <= limit)
        others = tuple(one for one in able if one is not best)
        return replace(best, others=others, is_best_width=True)

    def _at(self, generation: Generation, gpus: int) -> Candidate:
        excluded = self._excluded(generation, gpus)
        price = self.prices.of(generation.name, gpus)
        island = self.catalogue.island_gpus(generation)
        full = None
        if excluded is None:
            full = full_replica(generation, self.need, gpus, island_gpus=island)
        return Candidate(
            generation=generation,
            gpus=gpus,
            each_mib=self.need.each_mib(gpus),
            usd_per_gpu_hour=price,
            cost=None if excluded or price is None else self._cost(generation, gpus, price),
            full_requests=full.requests if full else None,
            over_pcie=gpus > island,
            excluded=excluded,
        )

    def _relative_cost(self, one: Candidate) -> float:
        """By which widths of a generation are compared; without a price, by GPUs."""
        if one.cost is not None:
            return one.cost
        if self.prices.of(one.generation.name, 1) is not None:
            return inf  # no instance with a price has so many
        return self._cost(one.generation, one.gpus, 1.0)

    def _cost(self, generation: Generation, gpus: int, usd_per_gpu_hour: float) -> float:
        """Dollars for a million tokens at the roofline, or for a unit of the hardware."""
        island = self.catalogue.island_gpus(generation)
        full = full_replica(generation, self.need, gpus, island_gpus=island)
        if full is None:
            return _unit_cost(generation, self.need, usd_per_gpu_hour)
        return usd_per_gpu_hour * gpus / 3600 / full.tokens_per_second * _TOKENS

    def _excluded(self, generation: Generation, gpus: int) -> Exclusion | None:
        """Why it cannot serve the need; the first reason that holds."""
        need, most = self.need, generation.node_gpus_max
        unwanted = self._unwanted(generation)
        if unwanted is not None:
            return unwanted
        if generation.tflops_at(need.precision) is None:
            return Exclusion(Lack.ARITHMETIC, f"no {need.precision} arithmetic")
        if gpus > most:
            return Exclusion(Lack.COUNT, f"{gpus} GPUs wanted, a node has at most {most}")
        if not _holds(generation, need, gpus):
            return _short(generation, need, gpus)
        island = self.catalogue.island_gpus(generation)
        slow = too_slow(generation, need, gpus, island_gpus=island)
        return None if slow is None else Exclusion(Lack.SPEED, slow)

    def _unwanted(self, generation: Generation) -> Exclusion | None:
        """Why it may not be offered, whatever it could do."""
        need = self.need
        if generation.name in need.excluded:
            return Exclusion(Lack.NAME, "excluded by name")
        if need.only and generation.name not in need.only:
            return Exclusion(Lack.NAME, "not among the GPU models named")
        if generation.vendor not in vendors_of(self.catalogue, need):
            vendor = generation.vendor.upper()
            return Exclusion(Lack.VENDOR, f"{vendor} GPUs come by request only (gpu-vendors)")
        device_class = DRIVERS[generation.vendor].device_class
        if self.device_classes is not None and device_class not in self.device_classes:
            return Exclusion(Lack.DEVICE_CLASS, f"the cluster has no DeviceClass {device_class}")
        return None


def _holds(generation: Generation, need: Need, gpus: int) -> bool:
    return need.each_mib(gpus) <= generation.memory_gib * 1024


def _short(generation: Generation, need: Need, gpus: int) -> Exclusion:
    """The memory that is missing, and how many GPUs have it."""
    # Rounded down, or a GPU that is just too small would offer what is needed.
    has = floor(usable_bytes(generation, need, gpus) / _GIB * 10) / 10
    wants = need.required / _GIB
    free = replace(need, tensor_parallel=None)
    wider = next(
        (one for one in free.widths(generation.node_gpus_max) if _holds(generation, free, one)),
        None,
    )
    hint = "" if wider is None else f"; {wider} hold it"
    what = f"{gpus} GPUs offer" if gpus > 1 else "1 GPU offers"
    return Exclusion(Lack.MEMORY, f"{what} {has:.1f} of {wants:.1f} GiB{hint}", wider)


def _unit_cost(generation: Generation, need: Need, usd_per_gpu_hour: float) -> float:
    match need.bottleneck:
        case Bottleneck.DECODE:
            return usd_per_gpu_hour / (generation.bandwidth_gb_s / 1000)
        case Bottleneck.PREFILL:
            return usd_per_gpu_hour / ((generation.tflops_at(need.precision) or 0.0) / 1000)
        case Bottleneck.KV:
            return usd_per_gpu_hour / (generation.memory_gib / 100)
