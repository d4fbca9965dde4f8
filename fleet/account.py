"""One node's account: its GPUs, who has them, how the free ones lie, which do nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from fleet.activity import Activity
from fleet.catalogue import Catalogue
from fleet.idleness import idle_of
from fleet.islands import Lie, filled, lie_of, partition
from fleet.pods import Pod
from fleet.uses import Held, Use, exact, uses_of

_NOISE: Final = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeGpus:
    """The GPUs of a node; `allocated + free + out = gpus`."""

    node: str
    pool: str | None
    generation: str | None
    """By its name in the catalogue."""
    product: str | None
    """As somebody calls it; None = nobody says."""
    gpus: int
    allocated: float
    free: float
    """That new pods can have."""
    out: float
    """Neither: on a node that takes no pods, unhealthy, tainted, or given out by nobody yet."""
    idle: float | None
    """Allocated ones that did nothing; None = not measured."""
    lie: Lie | None
    """None = nobody knows the islands."""
    clique: str | None
    """The NVLink domain that the node shares with others."""
    usd_per_gpu_hour: float | None
    price_source: str | None
    uses: tuple[Use, ...]
    remarks: tuple[str, ...]
    """What does not add up."""


def account_of(
    held: Held,
    catalogue: Catalogue,
    pods: Mapping[str, Pod],
    activity: Activity | None,
    now_seconds: float,
) -> NodeGpus | None:
    """The account of a node; None = it has no GPUs.

    Args:
        held: what is on it.
        catalogue: that knows which GPUs a board joins.
        pods: all of the cluster, by name: those that hold claims.
        activity: of the cluster's GPUs; None = not measured.
        now_seconds: when all this was so.
    """
    machine, quota, dra = held.machine, held.quota, held.dra
    gpus = max(quota.gpus, len(dra), machine.gpus or 0)
    if gpus == 0:
        return None
    uses = uses_of(held, pods)
    asked = sum(use.gpus for use in uses)
    allocated = min(asked, gpus)
    free = 0.0
    if machine.out is None:
        # What is taken of a GPU that is out does not take from the others.
        lost = sum(gpu.taken for gpu in dra if gpu.out is not None)
        usable = max(quota.usable, sum(gpu.out is None for gpu in dra))
        free = max(0.0, min(gpus - allocated, usable - (allocated - lost)))
    idle, uses = idle_of(held, uses, gpus, activity, now_seconds)
    return NodeGpus(
        node=machine.name,
        pool=machine.pool,
        generation=machine.generation.name if machine.generation else None,
        product=machine.product,
        gpus=gpus,
        allocated=exact(allocated),
        free=exact(free),
        out=exact(gpus - allocated - free),
        idle=None if idle is None else exact(idle),
        lie=_lie(held, gpus, free, catalogue),
        clique=machine.clique,
        usd_per_gpu_hour=machine.price.usd_per_gpu_hour if machine.price else None,
        price_source=machine.price.source if machine.price else None,
        uses=tuple(uses),
        remarks=tuple(_remarks(held, gpus, asked)),
    )


def _lie(held: Held, gpus: int, free: float, catalogue: Catalogue) -> Lie | None:
    machine, report = held.machine, held.machine.report
    reported = report.islands if report is not None else ()
    if held.quota.partitioned or any(d.profile for gpu in held.dra for d in gpu.devices):
        # Without NVLink each GPU lies alone.
        reported = tuple(range(gpus))
    islands = partition(gpus, reported, machine.generation, catalogue.joined)
    if islands is None:
        return None
    room = filled(gpus, free)
    uuids = report.uuids if report is not None else tuple(gpu.name for gpu in held.dra)
    at = {uuid: index for index, uuid in enumerate(uuids)}
    # DRA says which GPUs are taken; a device plugin only how many.
    if not held.quota.share and len(at) == gpus and all(gpu.name in at for gpu in held.dra):
        room = [0.0] * gpus
        for gpu in held.dra:
            if gpu.out is None and machine.out is None:
                room[at[gpu.name]] = 1.0 - gpu.taken
    return lie_of(islands, room)


def _remarks(held: Held, gpus: int, asked: float) -> list[str]:
    name, found = held.machine.name, []
    if asked > gpus + _NOISE:
        both = held.dra and held.quota.share
        by = ", by DRA and by a device plugin" if both else ""
        found.append(f"node {name}: {asked:g} of {gpus} GPUs are given out{by}")
    if not held.dra and not held.quota.share:
        found.append(f"node {name}: nobody gives out its {gpus} GPUs yet")
    return found
