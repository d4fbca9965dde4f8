"""The GPUs of every node as the extender takes them to be, in the numbers of `foresail fleet`.

Whole GPUs and shares of one come from the placement state, which answers kube-scheduler. GPUs that
are divided or out, and those of a node that lost GPUs in use or their driver, are counted from the
records of pods and claims.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from fleet.cluster.gpus import gpus_by_node
from fleet.snapshot import Known, held_on
from fleet.uses import Held, free_of, rounded, uses_of
from scheduler.intake import Intake


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """The GPUs of one node; `used + free + out = gpus`."""

    node: str
    gpus: int
    used: float
    free: float
    """That new pods can have."""
    out: float
    usd_per_gpu_hour: float | None
    """None = not known."""


def views_of(intake: Intake) -> Iterator[NodeView]:
    """The nodes with GPUs, one a step."""
    dra = gpus_by_node(intake.slices, intake.holders.claims, intake.facts.catalogue)
    known = Known(catalogue=intake.facts.catalogue, prices=intake.facts.prices)
    for node in list(intake.nodes.values()):
        held = held_on(node, known, intake.holders.pods_on(node.name), dra.get(node.name, []))
        if held.gpus:
            yield _view(intake, held)


def _view(intake: Intake, held: Held) -> NodeView:
    node = held.node
    placed = intake.placement.occupancy.free_and_used(node.name)
    special = held.quota.divided or held.kept > 0 or any(gpu.divided or gpu.out for gpu in held.dra)
    asked = min(sum(use.gpus for use in uses_of(held, {})), held.gpus)
    # Pods keep GPUs that the device plugin has since withdrawn; placement counts the others only.
    overfull = placed is not None and asked > sum(placed)
    if special or placed is None or overfull:
        used = asked
        free = free_of(held, used)
    else:
        idle, used = placed
        free = 0.0 if node.out is not None else min(idle, held.gpus - used)
    price = held.hardware.price
    return NodeView(
        node=node.name,
        gpus=held.gpus,
        used=rounded(used),
        free=rounded(free),
        out=rounded(held.gpus - used - free),
        usd_per_gpu_hour=price.usd_per_gpu_hour if price else None,
    )
