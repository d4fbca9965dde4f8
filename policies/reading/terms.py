"""What a pool's new nodes are like, and its limits: from its NodePool and the nodes it has."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from fleet.cluster.gpu_resources import WHOLE
from fleet.cluster.hardware import Prices
from fleet.cluster.karpenter import NodePool
from fleet.cluster.nodes import CAPACITY_TYPE, INSTANCE_TYPE, CapacityType
from fleet.instances import Instance
from policies.situation import PoolNode
from scaler.durations import parse_duration

T = TypeVar("T")


def capacity_type(pool: NodePool | None, nodes: Iterable[PoolNode]) -> CapacityType | None:
    """Of a new node; None = the pool allows several, or does not tell."""
    if pool is not None:
        allowed = allowed_values(pool, CAPACITY_TYPE)
        known = set(CapacityType)
        return CapacityType(allowed[0]) if len(allowed) == 1 and allowed[0] in known else None
    return only(node.capacity_type for node in nodes)


def machine_types(pool: NodePool | None, known: Mapping[str, Instance]) -> tuple[Instance, ...]:
    """What new nodes may be; empty = the pool does not tell, or one of its types is not known."""
    names = allowed_values(pool, INSTANCE_TYPE) if pool is not None else ()
    found = tuple(known[name] for name in names if name in known)
    return found if len(found) == len(names) else ()


def usd_per_hour(
    nodes: Iterable[PoolNode],
    gpus: int,
    capacity: CapacityType | None,
    machines: Iterable[Instance],
    prices: Prices,
) -> float | None:
    """Of a new node; of several prices the highest, for the ceilings.

    By the nodes of its size, else by the prices of its machine types; where the pool allows several
    capacity types, as on demand.
    """
    found = [
        node.usd_per_hour
        for node in nodes
        if node.usd_per_hour is not None
        and node.gpus == gpus
        and capacity in {None, node.capacity_type}
    ]
    if not found:
        as_paid = capacity or CapacityType.ON_DEMAND
        listed = [prices.of_new(one, as_paid) for one in machines if one.gpus == gpus]
        found = [usd for usd in listed if usd is not None] if None not in listed else []
    return max(found, default=None)


def with_price(node: PoolNode, prices: Prices) -> PoolNode:
    """With the price of its machine type, where there is no Node yet that has one."""
    machine = prices.instances.get(node.instance_type or "")
    if node.usd_per_hour is not None or machine is None or node.capacity_type is None:
        return node
    return replace(node, usd_per_hour=prices.of_new(machine, node.capacity_type))


def nodes_max(pool: NodePool | None, gpus: int | None) -> int | None:
    """By the pool's limits of nodes and of GPUs; None = no limit.

    Args:
        pool: Karpenter's; None = it is not Karpenter's.
        gpus: of a node; None = not known, and only the limit of nodes counts.
    """
    limits = pool.limits if pool is not None else {}
    counts = [limits["nodes"]] if "nodes" in limits else []
    if gpus is not None:
        counts += [limits[name] / gpus for name in WHOLE if name in limits]
    return int(min(counts)) if counts else None


def consolidate_after_seconds(pool: NodePool | None) -> float | None:
    """Karpenter's wait before an empty node goes; None = it goes never, or that is not told."""
    if pool is None or pool.consolidate_after == "Never":
        return None
    seconds = parse_duration(pool.consolidate_after or "0s")
    return seconds if isinstance(seconds, float) else None


def allowed_values(pool: NodePool, key: str) -> tuple[str, ...]:
    """The values of a label that a pool's requirements allow; empty = any."""
    found = [one.values for one in pool.requirements if one.key == key and one.operator == "In"]
    return found[0] if found else ()


def only(values: Iterable[T]) -> T | None:
    """The value that all have; None = there are several, or none."""
    found = set(values)
    return found.pop() if len(found) == 1 else None


def most_common(values: Iterable[T | None]) -> T | None:
    """The value that most have, without those that are unknown."""
    counts = Counter(one for one in values if one is not None)
    return counts.most_common(1)[0][0] if counts else None
