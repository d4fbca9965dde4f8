"""GPU-hours and dollars of a cluster by reason, added up over readings.

Between two readings every GPU counts by the reason that the earlier one found. After `GAP_SECONDS`
without a reading further hours count as unknown, and after `LOST_SECONDS` nothing is known of the
cluster any more and nothing is added. The sum over all reasons is the number of GPUs integrated
over time: nothing is lost, and nothing is counted twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from fleet.account.node import NodeGpus
from fleet.account.partition import is_reserved, parts_of
from fleet.reasons import Reason
from fleet.snapshot import FleetSnapshot

GAP_SECONDS: Final = 600.0
"""Without a reading, after which the reason of a GPU counts as unknown."""
LOST_SECONDS: Final = 86_400.0
"""Without a reading, after which it is not known that the GPU is there at all."""
SERIES_MAX: Final = 4096
"""Of totals that are kept; further ones are added up under the names `other`."""
_OF_MODELS_MAX: Final = 3072
"""After which further models are `other`: labels of pods are anybody's, those of nodes are not."""
OTHER: Final = "other"
_HOUR: Final = 3600.0
_NOISE_GPUS: Final = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """What one total is of."""

    cluster: str
    pool: str | None
    generation: str | None
    reason: Reason
    model: str | None = None
    """Of the pods that have the GPUs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """GPU-hours, and what they cost."""

    gpu_hours: float = 0.0
    usd: float = 0.0
    """Of those with a price."""
    unpriced_gpu_hours: float = 0.0
    reserved_usd: float = 0.0
    """Part of `usd`: of reserved capacity, which costs the same without use."""

    def __add__(self, other: "Cost") -> "Cost":
        """Both together."""
        return Cost(
            gpu_hours=self.gpu_hours + other.gpu_hours,
            usd=self.usd + other.usd,
            unpriced_gpu_hours=self.unpriced_gpu_hours + other.unpriced_gpu_hours,
            reserved_usd=self.reserved_usd + other.reserved_usd,
        )

    def times(self, hours: float) -> "Cost":
        """Of so many hours, where this is the cost of one."""
        return Cost(
            gpu_hours=self.gpu_hours * hours,
            usd=self.usd * hours,
            unpriced_gpu_hours=self.unpriced_gpu_hours * hours,
            reserved_usd=self.reserved_usd * hours,
        )


Costs = Mapping[Series, Cost]


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuHours:
    """The totals of one cluster until its last reading."""

    totals: Costs = field(default_factory=dict)
    first_seconds: float | None = None
    """Of the first reading, later by the time since in which nothing was added; None = there was
    none."""
    at_seconds: float | None = None
    """Of the last one."""
    hourly: Costs = field(default_factory=dict)
    """What an hour costs, as the last reading found it."""

    def read(
        self,
        snapshot: FleetSnapshot,
        now_seconds: float,
        planned: Mapping[str, Reason] | None = None,
    ) -> "GpuHours":
        """With the time since the last reading added, and this reading's reasons from now on.

        Args:
            snapshot: what was read.
            now_seconds: when.
            planned: why a plan keeps empty nodes, by the name of the NodeClaim, else of the node.
        """
        passed = self.passed(now_seconds)
        first = now_seconds if passed.first_seconds is None else passed.first_seconds
        hourly = hourly_costs(snapshot, planned or {})
        return replace(passed, first_seconds=first, hourly=hourly)

    def passed(self, now_seconds: float) -> "GpuHours":
        """With the time since the last reading added; a clock that was set back adds nothing.

        It is no reading: what is read next is to be added to the hours before it.
        """
        since = 0.0 if self.at_seconds is None else max(0.0, now_seconds - self.at_seconds)
        known = min(since, GAP_SECONDS) / _HOUR
        unknown = max(0.0, min(since, LOST_SECONDS) - GAP_SECONDS) / _HOUR
        totals = dict(self.totals)
        for series, hour in self.hourly.items() if since else ():
            _add(totals, series, hour.times(known))
            if unknown:
                _add(totals, replace(series, reason=Reason.UNKNOWN), hour.times(unknown))
        first = self.first_seconds
        if first is not None:
            first += max(0.0, since - LOST_SECONDS)
        return replace(self, totals=totals, first_seconds=first, at_seconds=now_seconds)


def hourly_costs(snapshot: FleetSnapshot, planned: Mapping[str, Reason]) -> Costs:
    """What an hour of a cluster costs, as a reading found it.

    Args:
        snapshot: what was read.
        planned: why a plan keeps empty nodes, by the name of the NodeClaim, else of the node.
    """
    # Thousands of nodes have few series: numbers are added up first, and records made of the sums.
    sums: dict[_Key, list[float]] = {}
    for node in (*snapshot.nodes, *(snapshot.coming or ())):
        _add_node(sums, node, planned)
    found: dict[Series, Cost] = {}
    for (pool, generation, reason, model), (gpus, usd, unpriced, reserved) in sums.items():
        series = Series(
            cluster=snapshot.cluster, pool=pool, generation=generation, reason=reason, model=model
        )
        cost = Cost(gpu_hours=gpus, usd=usd, unpriced_gpu_hours=unpriced, reserved_usd=reserved)
        _add(found, series, cost)
    return found


_Key = tuple[str | None, str | None, Reason, str | None]
"""Pool, generation, reason and model."""


def _add_node(sums: dict[_Key, list[float]], node: NodeGpus, planned: Mapping[str, Reason]) -> None:
    """Add a node's GPUs, dollars, GPUs without a price, and dollars of reserved capacity."""
    price, generation = node.usd_per_gpu_hour, node.generation or node.product
    for part in parts_of(node, planned.get(node.claim or node.node) or planned.get(node.node)):
        if part.gpus <= _NOISE_GPUS:
            continue
        key = (node.pool, generation, part.reason, part.model)
        total = sums.get(key)
        if total is None:
            total = sums[key] = [0.0] * 4
        usd = part.gpus * (price or 0.0)
        total[0] += part.gpus
        total[1] += usd
        total[2] += part.gpus if price is None else 0.0
        total[3] += usd if is_reserved(node, part.reason) else 0.0


def _add(totals: dict[Series, Cost], series: Series, more: Cost) -> None:
    if series not in totals and series.model is not None and len(totals) >= _OF_MODELS_MAX:
        series = replace(series, model=OTHER)
    if series not in totals and len(totals) >= SERIES_MAX:
        series = replace(series, pool=OTHER, generation=OTHER)
    totals[series] = totals.get(series, Cost()) + more
