"""What a pool's new nodes are like, and its limits: from its NodePool and the nodes it has."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final, TypeVar

from fleet.cluster.gpu_resources import WHOLE
from fleet.cluster.hardware import Prices
from fleet.cluster.karpenter import NodePool
from fleet.cluster.nodes import CAPACITY_TYPE, INSTANCE_TYPE, CapacityType
from fleet.instances import Instance
from policies.situation import PoolNode
from scaler.durations import parse_duration

T = TypeVar("T")
_GPU_CATEGORIES: Final = frozenset({"g", "p"})
"""Of AWS's machine types, those with GPUs."""


def capacity_type(pool: NodePool | None, nodes: Iterable[PoolNode]) -> CapacityType | None:
    """Of a new node; None = the pool allows several, or does not tell."""
    if pool is not None:
        allowed = allowed_values(pool, CAPACITY_TYPE)
        known = set(CapacityType)
        return CapacityType(allowed[0]) if len(allowed) == 1 and allowed[0] in known else None
    return only(node.capacity_type for node in nodes)


def machine_types(pool: NodePool | None, known: Mapping[str, Instance]) -> tuple[Instance, ...]:
    """What new nodes may be: of the machine types, else of the families of AWS that a pool names.

    Empty = the pool names none, or one that is not known.
    """
    if pool is None:
        return ()
    names, families = allowed_values(pool, INSTANCE_TYPE), _of_aws(pool, "instance-family")
    unknown = {*names} - {*known} if names else families - {*map(_family, known)}
    if unknown or not (names or families):
        return ()
    sizes, counts = _of_aws(pool, "instance-size"), _of_aws(pool, "instance-gpu-count")
    return tuple(
        one
        for name, one in known.items()
        if (not names or name in names)
        and (not families or _family(name) in families)
        and (not sizes or name.partition(".")[2] in sizes)
        and (not counts or str(one.gpus) in counts)
    )


def may_have_gpus(pool: NodePool, known: Mapping[str, Instance]) -> bool:
    """Whether a pool without nodes is one of GPUs, as far as it tells.

    Args:
        pool: its NodePool.
        known: machine types with GPUs, by name.
    """
    asked = any(
        "gpu" in one.key and one.operator not in {"NotIn", "DoesNotExist", "Lt", "Lte"}
        for one in pool.requirements
    )
    tainted = any("gpu" in taint.key for taint in pool.taints)
    limited = any(pool.limits.get(name, 0) > 0 for name in WHOLE)
    named = {*allowed_values(pool, INSTANCE_TYPE), *_of_aws(pool, "instance-family")}
    asked = asked or not _GPU_CATEGORIES.isdisjoint(_of_aws(pool, "instance-category"))
    return asked or tainted or limited or not named.isdisjoint({*known, *map(_family, known)})


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


def _of_aws(pool: NodePool, label: str) -> set[str]:
    return {
        value
        for prefix in ("karpenter.k8s.aws", "eks.amazonaws.com")
        for value in allowed_values(pool, f"{prefix}/{label}")
    }


def _family(machine: str) -> str:
    """As AWS has it: `p5` of `p5.48xlarge`."""
    return machine.partition(".")[0]


def only(values: Iterable[T]) -> T | None:
    """The value that all have; None = there are several, or none."""
    found = set(values)
    return found.pop() if len(found) == 1 else None


def most_common(values: Iterable[T | None]) -> T | None:
    """The value that most have, without those that are unknown."""
    counts = Counter(one for one in values if one is not None)
    return counts.most_common(1)[0][0] if counts else None
