"""NodePools as policies see them: generation, GPUs and list price of their cheapest node."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fleet.catalogue import shipped
from fleet.cluster.fields import UnreadableObjectError
from fleet.cluster.karpenter import NodePool, node_pool_of
from fleet.cluster.nodes import CAPACITY_TYPE, INSTANCE_TYPE, CapacityType
from fleet.instances import Instance, instances
from policies.lint.nodepools import gpu_pools
from policies.lint.objects import Inputs, Object
from policies.reading.terms import allowed_values, capacity_type, nodes_max


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedPool:
    """A GPU pool of a manifest."""

    object: Object
    name: str
    labels: Mapping[str, str]
    generation: str | None
    """None = it allows several, or does not tell."""
    capacity_type: CapacityType | None
    gpus_per_node: int
    """Of its cheapest node; 0 = not known."""
    usd_per_hour: float | None
    """Of its cheapest node on demand; None = not known, or never on demand."""
    nodes_max: int | None
    """By its limits; None = none is known."""
    static: bool


def priced_pools(inputs: Inputs) -> list[PricedPool]:
    """The GPU pools that can be read."""
    return [made for one in inputs.once(gpu_pools) if (made := _priced(one)) is not None]


def _priced(of: Object) -> PricedPool | None:
    try:
        record = node_pool_of(of.value)
    except UnreadableObjectError:
        return None
    machines = list(_machines(record))
    generations = {one.generation for one in machines} or set(_named_generations(record))
    cheapest = min(
        (one for one in machines if one.usd_per_hour is not None),
        key=lambda one: one.usd_per_hour or 0.0,
        default=None,
    )
    types = allowed_values(record, CAPACITY_TYPE)
    on_demand = not types or CapacityType.ON_DEMAND in types
    return PricedPool(
        object=of,
        name=record.name,
        labels=record.labels,
        generation=generations.pop() if len(generations) == 1 else None,
        capacity_type=capacity_type(record, ()),
        gpus_per_node=cheapest.gpus if cheapest else 0,
        usd_per_hour=cheapest.usd_per_hour if cheapest and on_demand else None,
        nodes_max=nodes_max(record, cheapest.gpus if cheapest else None),
        static=record.replicas is not None,
    )


def _machines(pool: NodePool) -> Iterator[Instance]:
    """The machine types with a known price that it may have, by its tightest requirement."""
    known = instances()
    types = allowed_values(pool, INSTANCE_TYPE)
    if types:
        yield from (known[one] for one in types if one in known)
        return
    families = [
        value
        for prefix in ("karpenter.k8s.aws", "eks.amazonaws.com")
        for value in allowed_values(pool, f"{prefix}/instance-family")
    ]
    named = set(_named_generations(pool))
    for one in known.values():
        if one.name.partition(".")[0] in families or (not families and one.generation in named):
            yield one


def _named_generations(pool: NodePool) -> Iterator[str]:
    for prefix in ("karpenter.k8s.aws", "eks.amazonaws.com", "karpenter.azure.com"):
        for key in ("instance-gpu-name", "sku-gpu-name"):
            for name in allowed_values(pool, f"{prefix}/{key}"):
                found = shipped().find(name)
                if found is not None:
                    yield found.name
