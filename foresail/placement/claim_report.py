"""A claim's ranking as people and programs read it: order, costs, memory, and every exclusion."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from fleet.catalogue import Catalogue
from scheduler.admission import GivenBy
from scheduler.claim_template import ALTERNATIVES_MAX, chosen
from scheduler.drivers import DRIVERS
from scheduler.need import Need
from scheduler.ranking import Candidate, Lack, Ranking, vendors_of
from scheduler.roofline import usable_bytes

_GIB: Final = 2.0**30
_KIB: Final = 2.0**10


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was asked, and what came of it."""

    ranking: Ranking
    catalogue: Catalogue
    given_by: GivenBy
    cluster: str | None
    """Whose DeviceClasses were read; None = no cluster was asked."""

    def comments(self) -> Iterator[str]:
        """The reasons, a fact a line."""
        ranking, need = self.ranking, self.ranking.need
        yield f"foresail claim: {need}"
        yield from _memory(need)
        yield from self._device_classes()
        yield (
            f"{ranking.unit} of a full replica at the roofline, and its $ an hour;"
            f" {ranking.prices} prices as of {self.catalogue.as_of}"
        )
        is_dra = self.given_by is GivenBy.DRA
        taken = chosen(ranking) if is_dra else ranking.feasible
        for at, one in enumerate(taken, 1):
            yield f"  {at}. {_line(one)}"
        cut = [one for one in ranking.feasible if one not in taken]
        if cut:
            beyond = ", ".join(f"{one.generation.name} {_figure(one.cost)}" for one in cut)
            yield f"  -  {beyond}: beyond the {ALTERNATIVES_MAX} that a claim may list"
        for names, why in _exclusions(ranking):
            yield f"  -  {', '.join(names)}: {why}"
        if not is_dra:
            yield f"A pod has one number for all nodes: {taken[0].gpus}, the width of the first."
            yield "Another width: --tensor-parallel. Other GPUs: --gpu-models."
            yield "Merge this into the pod template; call the container as yours is called."

    def _device_classes(self) -> Iterator[str]:
        if self.given_by is not GivenBy.DRA:
            return
        offered = vendors_of(self.catalogue, self.ranking.need)
        asked = ", ".join(one.device_class for name, one in DRIVERS.items() if name in offered)
        if self.cluster is None:
            yield f"device classes: {asked}; not checked, --context NAME reads the cluster's"
        else:
            yield f"device classes: {asked}; checked in {self.cluster}"

    def as_json(self) -> dict[str, Any]:
        """The unit and the whole ranking."""
        found = [_told(one) for one in self.ranking.candidates]
        return {"unit": self.ranking.unit, "ranking": found}


def _memory(need: Need) -> Iterator[str]:
    """What the need is made of, and what a GPU has for it."""
    requests = need.concurrent_requests
    tokens = need.prompt_tokens + need.output_tokens / 2
    parts = f"weights {need.weights / _GIB:.1f}"
    if need.memory_bytes is None:
        each = need.kv_request / tokens / _KIB
        cache = requests * need.kv_request / _GIB
        parts += f" + KV cache {cache:.1f} ({requests} x {tokens:g} tokens x {each:.0f} KiB)"
        yield f"memory: {need.required / _GIB:.1f} GiB = {parts}"
    yield f"of each GPU {need.memory_margin:.0%} stays free for activations: memory-margin"


def _line(one: Candidate) -> str:
    """Its cost, what a replica costs an hour, and the cost of its other widths."""
    text = f"{one.gpus} x {one.generation.name}: {_cost(one)}"
    if one.full_requests is not None:
        text += f", full at {one.full_requests:.0f} requests"
    if one.usd_per_gpu_hour is not None:
        text += f", {one.usd_per_gpu_hour * one.gpus:.2f} an hour"
    if one.gpus > 1 and one.over_pcie:
        text += ", over PCIe"
    if one.others and one.cost is not None:
        others = (f"{other.gpus} x {_figure(other.cost)}" for other in one.others)
        text += f" ({', '.join(others)})"
    return text


def _cost(one: Candidate) -> str:
    return "no price known" if one.cost is None else _figure(one.cost)


def _figure(cost: float | None) -> str:
    return "?" if cost is None else f"{cost:.3g}"


def _exclusions(ranking: Ranking) -> Iterator[tuple[list[str], str]]:
    """Names and their reason, the kinds of reasons in their order."""
    by_why: dict[str, list[str]] = {}
    too_small = []
    kinds = list(Lack)
    excluded = [(one, one.excluded) for one in ranking.candidates if one.excluded is not None]
    for one, exclusion in sorted(excluded, key=lambda pair: kinds.index(pair[1].lack)):
        if exclusion.lack is Lack.MEMORY and exclusion.wider is None:
            offered = usable_bytes(one.generation, ranking.need, one.gpus) / _GIB
            too_small.append(f"{one.generation.name} {offered:.0f}")
            continue
        unnamed = ranking.need.only and one.generation.name not in ranking.need.only
        name = "all others" if exclusion.lack is Lack.NAME and unnamed else one.generation.name
        names = by_why.setdefault(exclusion.why, [])
        if name not in names:
            names.append(name)
    yield from ((names, why) for why, names in by_why.items())
    if too_small:
        needed = ranking.need.required / _GIB
        yield too_small, f"GiB that the GPUs of a node offer, of {needed:.0f} needed"


def _told(one: Candidate) -> dict[str, Any]:
    return {
        "generation": one.generation.name,
        "gpus": one.gpus,
        "memoryMibEach": one.each_mib,
        "usdPerGpuHour": one.usd_per_gpu_hour,
        "cost": one.cost,
        "fullRequests": one.full_requests,
        "overPcie": one.over_pcie,
        "otherWidths": [{"gpus": other.gpus, "cost": other.cost} for other in one.others],
        "excluded": one.excluded.why if one.excluded else None,
    }
