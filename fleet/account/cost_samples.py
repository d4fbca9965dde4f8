"""A cluster's cost as Prometheus's samples, made when they are scraped.

Counters: a rate is GPUs and dollars an hour, an increase is the bill. Labels are names of pools and
of GPUs, and the fixed list of reasons; no model, pod or node.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from fleet.account.gpu_hours import Cost, GpuHours

GPU_HOURS: Final = "foresail_gpu_hours_total"
USD: Final = "foresail_gpu_cost_usd_total"
RESERVED_USD: Final = "foresail_gpu_cost_reserved_usd_total"
UNPRICED: Final = "foresail_gpu_hours_unpriced_total"
LABELS: Final = ("pool", "generation", "reason")
HELP: Final = {
    GPU_HOURS: "GPU-hours by reason; each GPU has exactly one.",
    USD: "Dollars of the GPU-hours that have a price.",
    RESERVED_USD: "The part of the dollars for reserved capacity, which costs the same unused.",
    UNPRICED: "The part of the GPU-hours that has no price.",
}
"""Of each series."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One value of one series."""

    name: str
    labels: tuple[str, str, str]
    """In the order of `LABELS`; empty where a node names no pool or no GPU."""
    value: float


def samples(gpu_hours: GpuHours) -> Iterator[Sample]:
    """The samples of a cluster, at most four for each series of its totals."""
    found: dict[tuple[str, str, str], Cost] = defaultdict(Cost)
    for series, cost in gpu_hours.totals.items():
        found[series.pool or "", series.generation or "", series.reason.value] += cost
    for labels, cost in found.items():
        yield Sample(name=GPU_HOURS, labels=labels, value=cost.gpu_hours)
        yield Sample(name=USD, labels=labels, value=cost.usd)
        if cost.reserved_usd:
            yield Sample(name=RESERVED_USD, labels=labels, value=cost.reserved_usd)
        if cost.unpriced_gpu_hours:
            yield Sample(name=UNPRICED, labels=labels, value=cost.unpriced_gpu_hours)
