"""GPUs that a device plugin gives out: how many there are behind its resources.

A resource counts units that pods ask for. A unit is a GPU only where GPUs are not divided: under
time-slicing one GPU is many units, and a MIG slice is a part of one. Here units are converted to
GPUs; a slice is one part of as many as a GPU has room for.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil
from typing import Final

from fleet.catalogue import Generation
from fleet.cluster.gpu_resources import MIG, SHARED, WHOLE
from fleet.cluster.hardware import Hardware
from fleet.cluster.nodes import Node
from fleet.quantities import quantity

_PROFILE: Final = re.compile(r"(?:\d+c\.)?(?P<slices>\d)g\.(?P<gb>\d+)gb")
_PRODUCT: Final = "nvidia.com/gpu.product"
_REPLICAS: Final = "nvidia.com/gpu.replicas"
_COMPUTE_SLICES: Final = 7
"""Of a GPU, for profiles; one with fewer has room for fewer by its memory."""
_MEMORY_EIGHTHS: Final = 8
_MEMORY_SLICES: Final = {1: 1, 2: 2, 3: 4, 4: 4, 7: 8}
"""Eighths of the memory that MIG devices have as a rule, by compute slices."""
_SLICES_MOST: Final = {1: 7, 2: 3, 3: 2, 4: 1, 7: 1}
"""MIG devices of one size that a GPU has room for, by its compute slices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Unit:
    """One unit of a resource, in GPUs."""

    share: float
    """One of as many as a GPU has room for, if all are equal."""
    compute: float
    memory: float

    @property
    def whole(self) -> bool:
        return self.share == 1.0 and max(self.compute, self.memory) == 1.0

    def over(self, copies: float) -> "_Unit":
        """One of the copies in which it is given out."""
        return _Unit(
            share=self.share / copies, compute=self.compute / copies, memory=self.memory / copies
        )


_GPU: Final = _Unit(share=1.0, compute=1.0, memory=1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What a node's device plugin gives out, in GPUs."""

    gpus: int
    """That there are."""
    usable: float
    """That pods may have: fewer where some are unhealthy."""
    share: Mapping[str, float]
    """GPUs behind one unit of each resource."""
    gone: Mapping[str, float] = field(default_factory=dict)
    """GPUs behind one unit of each resource that it gave out and gives out no more. The kubelet
    sets their capacity to 0 when the device plugin is away, and pods that have them run on."""
    divided: bool = False
    """A unit of some resource is a part of a GPU: by MIG, or because several pods share it."""
    unlabelled: bool = False
    """Units are known to be parts by their number alone: no label tells into how many parts the
    device plugin divides a GPU, so that all units count as equal parts."""
    partitioned: bool = False
    """By MIG: what is given out is no whole GPU, and NVLink joins none of it."""

    def taken(self, requests: Mapping[str, Fraction], but: frozenset[str] = frozenset()) -> float:
        """GPUs behind what a pod asks for.

        Args:
            requests: of the pod.
            but: resources that somebody else gives it.
        """
        return _behind(self.share, requests, but)

    def kept(self, requests: Mapping[str, Fraction], but: frozenset[str] = frozenset()) -> float:
        """GPUs behind what a pod was given before the device plugin went away.

        Args:
            requests: of the pod.
            but: resources that somebody else gives it.
        """
        return _behind(self.gone, requests, but)


def quota_of(node: Node, hardware: Hardware) -> Quota:
    """What the resources of a node amount to.

    Where it is not known how many GPUs it has, partitions only tell how many there are at least,
    and units that no label tells to be parts count as GPUs.

    Args:
        node: the node.
        hardware: of it.
    """
    generation, known_gpus = hardware.generation, hardware.drivable
    capacity = {**node.allocatable, **node.capacity}
    found = ((name, _unit(name, node.labels, generation)) for name in capacity)
    units = {name: unit for name, unit in found if unit is not None}
    gone = {name: unit.share for name, unit in units.items() if not capacity[name]}
    there = {name: unit for name, unit in units.items() if capacity[name]}
    if not there:
        return Quota(gpus=0, usable=0.0, share={}, gone=gone)
    amounts = {name: float(capacity[name]) for name in there}
    whole = sum(amounts[name] for name, unit in there.items() if unit.whole)
    parts = sum(amounts[name] * unit.share for name, unit in there.items() if not unit.whole)
    cut = _cut_from([(amounts[name], unit) for name, unit in there.items() if not unit.whole])
    if known_gpus is not None and cut and known_gpus > whole:
        # It is known how many GPUs the parts were cut from.
        cut = round(known_gpus - whole)
    shares = {name: 1.0 if unit.whole else unit.share * cut / parts for name, unit in there.items()}
    unlabelled = bool(known_gpus) and hardware.shared_by(whole + min(cut, 1))
    if unlabelled and known_gpus:
        part = known_gpus / (whole + parts)
        shares = {name: unit.share * part for name, unit in there.items()}
        whole, cut = 0.0, known_gpus
    usable = sum(float(node.allocatable.get(name, 0)) * one for name, one in shares.items())
    gpus = round(whole) + cut
    return Quota(
        gpus=gpus,
        usable=min(usable, gpus),
        share=shares,
        gone=gone,
        divided=cut > 0,
        unlabelled=unlabelled,
        partitioned=any("mig-" in name for name in shares)
        or "-MIG-" in node.labels.get(_PRODUCT, ""),
    )


def _cut_from(parts: Sequence[tuple[float, _Unit]]) -> int:
    """The fewest GPUs that parts can be cut from, by their numbers.

    Parts of different sizes fill a GPU together: 3g and four 1g are one, though two 3g or seven 1g
    are one, too.
    """
    bounds = (
        sum(amount * unit.compute for amount, unit in parts),
        sum(amount * unit.memory for amount, unit in parts),
        *(amount * unit.share for amount, unit in parts),
    )
    return ceil(max(bounds) - 1e-9)


def _behind(
    share: Mapping[str, float], requests: Mapping[str, Fraction], but: frozenset[str]
) -> float:
    return sum(
        float(count) * share[name]
        for name, count in requests.items()
        if name in share and name not in but
    )


def _unit(resource: str, labels: Mapping[str, str], generation: Generation | None) -> _Unit | None:
    """One unit of a resource; None = it is no GPU resource."""
    mig = MIG.fullmatch(resource)
    if mig:
        copies = _copies(labels, f"nvidia.com/mig-{mig[1]}.replicas", resource)
        return _slice(mig[1], generation).over(copies)
    if resource != SHARED and resource not in WHOLE:
        return None
    copies = _copies(labels, _REPLICAS, resource)
    product = labels.get(_PRODUCT, "").removesuffix("-SHARED")
    _, single, profile = product.partition("-MIG-")
    one = _slice(profile, generation) if single and resource != SHARED else _GPU
    return one.over(copies)


def _copies(labels: Mapping[str, str], label: str, resource: str) -> float:
    try:
        copies = float(quantity(labels[label]))
    except (KeyError, ValueError):
        copies = 1.0
    strategy = labels.get("nvidia.com/gpu.sharing-strategy")
    # The label stays 1 where nothing is shared, and what is shared may have a name of its own.
    return 1.0 if strategy == "none" and not resource.endswith(".shared") else max(copies, 1.0)


def slice_share(profile: str, generation: Generation | None) -> float:
    """The part of a GPU that a MIG profile such as `1g.10gb` takes."""
    return _slice(profile, generation).share


def _slice(profile: str, generation: Generation | None) -> _Unit:
    found = _PROFILE.match(profile)
    if found is None:
        return _GPU
    compute, gb = int(found["slices"]), int(found["gb"])
    memory = _MEMORY_SLICES.get(compute, _MEMORY_EIGHTHS)
    if generation is not None and gb:
        # Profiles are named by less than their memory, or by more: three eighths of 141 GB are no
        # profile, and `3g.71gb` has four.
        eighths = round(gb * _MEMORY_EIGHTHS / generation.memory_gb)
        memory = min(max(eighths, 1), _MEMORY_EIGHTHS)
    most = min(_SLICES_MOST.get(compute, 1), _MEMORY_EIGHTHS // memory)
    return _Unit(
        share=1.0 / most,
        compute=min(1.0, compute / _COMPUTE_SLICES),
        memory=memory / _MEMORY_EIGHTHS,
    )
