"""What a cost is shown of: all clusters that were read, in an hour as it is now or in a time."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from fleet.account.cost_book import TokenCost
from fleet.account.gpu_hours import Cost, Costs, Series
from fleet.account.node import NodeGpus
from fleet.metered import Metered
from fleet.reasons import Reason
from fleet.snapshot import FleetSnapshot
from fleet.spend import Client, Spend

K = TypeVar("K")
OF_PODS: Final = frozenset({Reason.SERVING, Reason.IDLE, Reason.VETO})
"""Reasons of GPUs that a pod has."""
UNUSED: Final = frozenset(Reason) - {Reason.SERVING, Reason.UNKNOWN}
"""Reasons of GPUs that are known not to serve."""


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class MeteredModel:
    """A model, by the label of its pods where one is called so, and the meter that tells of it."""

    by: str
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CostReport:
    """The cost of GPUs, and where it comes from."""

    costs: Costs
    over_seconds: float | None
    """The time that they were added up over; None = of one hour, as the reading found it."""
    tokens: Mapping[str, TokenCost]
    """By model; one that is left out is unknown."""
    at_seconds: float
    """Of the last reading."""
    spend: Mapping[Client, Spend] | None = None
    """That gateways booked in an hour, as of the last minutes; None = not read, as where costs are
    added up."""
    metered: Mapping[MeteredModel, Metered] | None = None
    """By programs that trace requests, in an hour, as of a while ago; None = none was asked."""
    snapshots: Sequence[FleetSnapshot] = ()
    """That were read last."""
    unreadable: Sequence[str] = ()
    """Clusters that could not be read, with the reason."""
    remarks: Sequence[str] = ()

    @property
    def nodes(self) -> Iterator[tuple[str, NodeGpus]]:
        """The nodes that were read last, and machines without one yet, each with its cluster."""
        for one in self.snapshots:
            for node in (*one.nodes, *(one.coming or ())):
                yield one.cluster, node

    @property
    def prices(self) -> Mapping[str, float]:
        """Sources of prices, with the GPUs that each has one for."""
        found: dict[str, float] = defaultdict(float)
        for _, node in self.nodes:
            if node.price_source is not None:
                found[node.price_source] += node.gpus
        return dict(found)

    @property
    def total(self) -> Cost:
        return sum(self.costs.values(), Cost())

    @property
    def reserved_unused_usd(self) -> float:
        """Dollars of reserved capacity that is known not to serve."""
        return sum(
            cost.reserved_usd for series, cost in self.costs.items() if series.reason in UNUSED
        )

    @property
    def unknown_gpu_hours(self) -> float:
        """Of which it is unknown whether they serve."""
        every = self.costs.items()
        return sum(cost.gpu_hours for series, cost in every if series.reason is Reason.UNKNOWN)

    @property
    def reasons(self) -> Mapping[Reason, Cost]:
        """In the order in which reasons are listed."""
        found = summed(self.costs, lambda one: one.reason)
        return {reason: found[reason] for reason in Reason if reason in found}

    @property
    def models(self) -> Mapping[str | None, Cost]:
        """Of what pods have, the dearest first; None = their labels name no model."""
        of_pods = {
            series: cost
            for series, cost in self.costs.items()
            if series.reason in OF_PODS or series.model is not None
        }
        return ordered(summed(of_pods, lambda one: one.model))


def joined(every: Iterable[Costs]) -> Costs:
    """The costs of several clusters."""
    found: dict[Series, Cost] = defaultdict(Cost)
    for costs in every:
        for series, cost in costs.items():
            found[series] += cost
    return dict(found)


def summed(costs: Costs, key: Callable[[Series], K]) -> Mapping[K, Cost]:
    """The sum of each key."""
    found: dict[K, Cost] = defaultdict(Cost)
    for series, cost in costs.items():
        found[key(series)] += cost
    return dict(found)


def ordered(costs: Mapping[K, Cost]) -> Mapping[K, Cost]:
    """The dearest first, then those with the most GPUs."""
    return dict(sorted(costs.items(), key=lambda one: (-one[1].usd, -one[1].gpu_hours)))
