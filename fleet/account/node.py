"""The account of one node: its GPUs, the pods that have them, the islands that are left."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fleet.account.machines import is_initialized
from fleet.activity import Activity
from fleet.catalogue import Catalogue
from fleet.cluster.gpus import GONE
from fleet.cluster.nodes import CapacityType, Node
from fleet.cluster.pods import Pod
from fleet.idleness import idleness_of
from fleet.islands import Fragmentation, Islands, filled, fragmentation_of, partition
from fleet.reasons import Reason
from fleet.uses import Held, Use, free_of, rounded, uses_of

_NOISE: Final = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuDevice:
    """One GPU that DRA gives out."""

    name: str
    """Its UUID, where the driver tells it."""
    taken: float
    claims: tuple[str, ...]
    """That were given it or a part of it, with their namespace."""
    out: str | None
    """Why no new claim gets it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeGpus:
    """The GPUs of a node; `allocated + free + out = gpus`.

    All three are unknown, or free and out alone, where it is unknown which GPUs are tainted.
    """

    node: str
    pool: str | None
    generation: str | None
    """By its name in the catalogue."""
    product: str | None
    """As a label, a driver or the agent calls it; None = none of them does."""
    gpus: int
    allocated: float | None
    free: float | None
    """That new pods can have."""
    out: float | None
    """Neither: on a node that takes no pods, unhealthy, tainted, or offered by no driver yet."""
    out_reason: str | None
    """Why, where some are out."""
    idle: float | None
    """Allocated ones that did nothing, at least; None = not measured."""
    idle_unknown: float
    """Further ones that may have done nothing: nothing tells whose the busy GPUs are."""
    islands: Islands | None
    """GPUs of each, by index; None = they are not known."""
    fragmentation: Fragmentation | None
    """Of the free ones in them; None = it is unknown which are joined, or which are free."""
    clique: str | None
    """The NVLink domain that the node shares with others."""
    capacity_type: CapacityType | None
    """How it is paid for; None = no label tells."""
    claim: str | None
    """Karpenter's NodeClaim, that the node was made by."""
    initialized: bool
    """False = it is paid for, and pods cannot have its GPUs yet. One with pods on its GPUs is, also
    when its driver is gone."""
    kept: Reason | None
    """Why it stays although nobody uses it, by its annotations; None = none says."""
    usd_per_gpu_hour: float | None
    price_source: str | None
    uses: tuple[Use, ...]
    devices: tuple[GpuDevice, ...]
    """Of DRA; a device plugin does not tell which GPU is whose."""
    not_read: str | None
    """The kind of object that would tell what is allocated, free and out; None = all was read."""
    remarks: tuple[str, ...]
    """What does not add up."""

    @property
    def scale(self) -> float:
        """The part of what its uses ask for that there is: below 1 where more is given out."""
        asked = sum(use.gpus for use in self.uses)
        return min(1.0, self.gpus / asked) if asked else 1.0


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
    gpus = held.gpus
    if gpus == 0:
        return None
    node, hardware, dra = held.node, held.hardware, held.dra
    uses = uses_of(held, pods)
    asked = sum(use.gpus for use in uses)
    allocated = min(asked, gpus)
    free = free_of(held, allocated)
    idleness = idleness_of(held, uses, gpus, activity, now_seconds)
    islands = _islands(held, gpus, catalogue)
    known = held.not_read is None
    return NodeGpus(
        node=node.name,
        pool=node.pool,
        generation=hardware.generation.name if hardware.generation else None,
        product=hardware.product,
        gpus=gpus,
        allocated=rounded(allocated) if held.uses_known else None,
        free=rounded(free) if known else None,
        out=rounded(gpus - allocated - free) if known else None,
        out_reason=_out_reason(held) if known and rounded(gpus - allocated - free) else None,
        idle=None if idleness.gpus is None else rounded(idleness.gpus),
        idle_unknown=rounded(idleness.perhaps),
        islands=islands,
        fragmentation=fragmentation_of(islands, _room(held, gpus, free))
        if islands is not None and known
        else None,
        clique=hardware.clique,
        capacity_type=node.capacity_type,
        claim=held.claim.name if held.claim else None,
        initialized=is_initialized(node, held.claim)
        and bool(dra or held.quota.share or uses or (hardware.lost and not hardware.found)),
        kept=_kept(node, now_seconds),
        usd_per_gpu_hour=hardware.price.usd_per_gpu_hour if hardware.price else None,
        price_source=hardware.price.source if hardware.price else None,
        uses=tuple(idleness.uses),
        devices=tuple(
            GpuDevice(
                name=gpu.name,
                taken=rounded(gpu.taken),
                claims=tuple(dict.fromkeys(one.claim.name for one in gpu.takings)),
                out=gpu.out,
            )
            for gpu in dra
        ),
        not_read=held.not_read,
        remarks=tuple(_remarks(held, gpus, asked)),
    )


def _out_reason(held: Held) -> str:
    """Why GPUs that no pod has cannot be had."""
    if held.out is not None:
        return held.out
    hardware = held.hardware
    if hardware.lost and (held.dra or held.quota.share or not hardware.found):
        return f"the driver finds {hardware.found} of {hardware.built}"
    if not held.dra and not held.quota.share:
        return GONE if held.kept else "no driver offers it yet"
    of_devices = [gpu.out for gpu in held.dra if gpu.out is not None]
    if of_devices:
        return of_devices[0]
    return "unhealthy" if held.quota.usable < held.quota.gpus else "no driver offers it"


def _kept(node: Node, now_seconds: float) -> Reason | None:
    until = node.kept_until_seconds
    if node.kept_because is not None and until is not None and now_seconds < until:
        return node.kept_because
    return Reason.HELD_BY_OTHERS if node.do_not_disrupt else None


def _islands(held: Held, gpus: int, catalogue: Catalogue) -> Islands | None:
    report = held.node.report
    reported: Sequence[int | None] = report.islands if report is not None else ()
    if held.quota.partitioned or any(one.profile for gpu in held.dra for one in gpu.devices):
        # Without NVLink each GPU lies alone.
        reported = range(gpus)
    found = partition(gpus, reported, held.hardware.generation, catalogue.joined)
    # The parts may be MIG's, of which NVLink joins none.
    joined = found is not None and any(len(island) > 1 for island in found)
    return None if joined and held.quota.unlabelled else found


def _room(held: Held, gpus: int, free: float) -> list[float]:
    """The free part of each GPU. DRA says which are taken; a device plugin only how many."""
    report = held.node.report
    uuids = report.uuids if report is not None else tuple(gpu.name for gpu in held.dra)
    at = {uuid: index for index, uuid in enumerate(uuids)}
    if held.quota.share or len(at) != gpus or any(gpu.name not in at for gpu in held.dra):
        return filled(gpus, free)
    room = [0.0] * gpus
    for gpu in held.dra:
        if gpu.out is None and held.out is None:
            room[at[gpu.name]] = 1.0 - gpu.taken
    # A claim may have a GPU that its driver offers no more: which one is free is not known then.
    return room if sum(room) <= free + _NOISE else filled(gpus, free)


def _remarks(held: Held, gpus: int, asked: float) -> list[str]:
    name, found = held.node.name, []
    least = "" if held.hardware.gpus else "at least "
    if asked > gpus + _NOISE:
        both = held.dra and held.quota.share
        by = ", by DRA and by a device plugin" if both else ""
        found.append(f"node {name}: {asked:g} of {gpus} GPUs are given out{by}")
    if held.quota.unlabelled:
        found.append(
            f"node {name}: its device plugin gives out its {held.quota.gpus} GPUs in parts, and no "
            "label tells so: each unit counts as an equal part; GPU feature discovery, which the "
            "plugin's chart has as gfd.enabled, writes the labels"
        )
    lost = held.hardware.lost
    if lost:
        found.append(
            f"node {name}: its driver finds {held.hardware.found} of its {held.hardware.built} "
            "GPUs, and it is paid for in full: have it repaired or replaced"
        )
    driverless = not held.dra and not held.quota.share
    if driverless and held.not_read is None and (held.kept or not lost):
        found.append(
            f"node {name}: its driver is gone: pods have {rounded(held.kept):g} of its {least}"
            f"{gpus} GPUs and run on, and no other gets one; see to its device plugin or DRA driver"
            if held.kept
            else f"node {name}: no driver offers its {gpus} GPUs yet"
        )
    return found
