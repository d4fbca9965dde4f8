"""What nodes cost, by OpenCost's series in a Prometheus.

OpenCost splits the price of a machine over its CPUs, memory and GPUs by fixed ratios, and
`node_total_hourly_cost` is the sum: what the machine costs. That is the price here, so that the
dollars of GPUs add up to the bill of their machines; `node_gpu_hourly_cost` is the part of one GPU.
Where OpenCost finds no GPU on a node, its sum may leave them out: the node has no price here.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from fleet.cluster.nodes import USD_MAX
from fleet.documents import Json, number_of, part, text

QUERIES: Final = ("node_total_hourly_cost", "node_gpu_count", "node_gpu_hourly_cost")
_NODE: Final = ("exported_node", "node")
"""A scrape that sets `node` itself, to where OpenCost runs, renames OpenCost's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePrice:
    """Of a whole node for an hour, and its source."""

    usd_per_hour: float
    source: str


def prices_of(answers: Iterable[Iterable[Json]]) -> Mapping[str, NodePrice]:
    """The price of each node that has one.

    Args:
        answers: the `result` of each query, in the order of `QUERIES`.
    """
    total, gpus, of_gpu = (_by_node(answer) for answer in answers)
    found = {}
    for node, count in gpus.items():
        if count >= 1 and 0 < total.get(node, 0.0) <= USD_MAX:
            found[node] = NodePrice(usd_per_hour=total[node], source=f"OpenCost, {QUERIES[0]}")
        elif count >= 1 and 0 < of_gpu.get(node, 0.0) <= USD_MAX:
            # OpenCost withholds the sum while the price of a CPU jumps.
            source = f"OpenCost, {QUERIES[2]}: without CPU and memory"
            found[node] = NodePrice(usd_per_hour=of_gpu[node] * count, source=source)
    return found


def _by_node(answer: Iterable[Json]) -> Mapping[str, float]:
    """The value of each node; several OpenCosts, or one after its restart, count as their mean."""
    values: dict[str, list[float]] = defaultdict(list)
    for series in answer:
        labels = part(series, "metric")
        node = next(filter(None, (text(labels, name) for name in _NODE)), None)
        value = number_of(series)
        if node is not None and value is not None:
            values[node].append(value)
    return {node: sum(each) / len(each) for node, each in values.items()}
