"""GPUs that a device plugin gives out: how many there are behind its resources.

A resource counts units that pods ask for. A unit is a GPU only where GPUs are not divided: under
time-slicing one GPU is many units, and a MIG slice is a part of one. Here units are converted to
GPUs; a slice is one part of as many as a GPU has room for.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil
from typing import Final

from fleet.catalogue import Generation
from fleet.cluster.gpu_resources import MIG, SHARED, WHOLE
from fleet.cluster.nodes import Node
from fleet.quantities import quantity

_PROFILE: Final = re.compile(r"(?:\d+c\.)?(?P<slices>\d)g\.(?P<gb>\d+)gb")
_PRODUCT: Final = "nvidia.com/gpu.product"
_REPLICAS: Final = "nvidia.com/gpu.replicas"
_SLICES_MOST: Final = {1: 7, 2: 3, 3: 2, 4: 1, 7: 1}
"""MIG devices of one size that a GPU has room for, by its compute slices."""


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
    partitioned: bool = False
    """By MIG: what is given out is no whole GPU, and NVLink joins none of it."""

    @property
    def divided(self) -> bool:
        """A unit of some resource is a part of a GPU: by MIG, or because several pods share it."""
        return any(share != 1.0 for share in self.share.values())

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


def quota_of(node: Node, generation: Generation | None, known_gpus: int | None) -> Quota:
    """What the resources of a node amount to.

    Args:
        node: the node.
        generation: of its GPUs, where that is known.
        known_gpus: how many its driver finds, else how many its machine type has; None = not
            known. Partitions alone only tell how many there are at least.
    """
    capacity = {**node.allocatable, **node.capacity}
    share = {name: _share(name, node.labels, generation) for name in capacity}
    units = {name: float(capacity[name]) for name, one in share.items() if one}
    shares = {name: share[name] for name in units if units[name]}
    gone = {name: share[name] for name in units if not units[name]}
    if not shares:
        return Quota(gpus=0, usable=0.0, share={}, gone=gone)
    whole = sum(units[name] for name in shares if shares[name] == 1.0)
    parts = sum(units[name] * one for name, one in shares.items() if one != 1.0)
    cut = ceil(parts - 1e-9)
    if known_gpus is not None and cut and known_gpus > whole:
        # It is known how many GPUs the parts were cut from.
        cut = round(known_gpus - whole)
    if parts:
        shares = {n: one if one == 1.0 else one * cut / parts for n, one in shares.items()}
    usable = sum(float(node.allocatable.get(name, 0)) * one for name, one in shares.items())
    gpus = round(whole) + cut
    return Quota(
        gpus=gpus,
        usable=min(usable, gpus),
        share=shares,
        gone=gone,
        partitioned=any("mig-" in name for name in shares)
        or "-MIG-" in node.labels.get(_PRODUCT, ""),
    )


def _behind(
    share: Mapping[str, float], requests: Mapping[str, Fraction], but: frozenset[str]
) -> float:
    return sum(
        float(count) * share[name]
        for name, count in requests.items()
        if name in share and name not in but
    )


def _share(resource: str, labels: Mapping[str, str], generation: Generation | None) -> float:
    """GPUs behind one unit, taking the most units a GPU can be cut into; 0 = no GPU resource."""
    mig = MIG.fullmatch(resource)
    if mig:
        copies = _copies(labels, f"nvidia.com/mig-{mig[1]}.replicas", resource)
        return slice_share(mig[1], generation) / copies
    if resource == SHARED:
        return 1.0 / _copies(labels, _REPLICAS, resource)
    if resource not in WHOLE:
        return 0.0
    copies = _copies(labels, _REPLICAS, resource)
    product = labels.get(_PRODUCT, "").removesuffix("-SHARED")
    _, single, profile = product.partition("-MIG-")
    return (slice_share(profile, generation) if single else 1.0) / copies


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
    found = _PROFILE.match(profile)
    if found is None:
        return 1.0
    most = _SLICES_MOST.get(int(found["slices"]), 1)
    if generation is not None and int(found["gb"]):
        most = min(most, max(1, int(generation.memory_gb // int(found["gb"]))))
    return 1.0 / most
