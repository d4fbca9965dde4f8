"""Physical GPUs that DRA gives out, behind the devices that slices list and claims are given.

Several devices may be one GPU: MIG devices and the whole GPU that they are cut from, or a GPU and
its face for a virtual machine. Here each GPU is counted once.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from fleet.catalogue import Catalogue, Generation
from fleet.cluster.claims import Claim, Grant
from fleet.cluster.classes import DeviceClass
from fleet.cluster.devices import GPU_DRIVERS, Device, Face, Place, Slice
from fleet.cluster.pools import Pool, pools_of
from fleet.cluster.quotas import slice_share

GONE: Final = "its driver is gone"
"""Why nobody gets a GPU of which a driver told once."""
_WHOLE: Final = 1.0
_MIG: Final = "-mig-"
"""In the name of a MIG device, behind that of its GPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taking:
    """What a claim takes of a GPU."""

    claim: Claim
    part: float
    """Of the GPU, 0 to 1."""


@dataclass(slots=True)
class Gpu:
    """One physical GPU and what is taken of it."""

    name: str
    """Its UUID, where the driver tells it."""
    node: str | None
    """None = it is on no single node."""
    product: str | None
    devices: list[Device] = field(default_factory=list)
    takings: list[Taking] = field(default_factory=list)
    missing: str | None = None
    """Why nothing of its pool is given to new claims."""

    @property
    def gone(self) -> bool:
        """No slice shows it, and a claim has it: its driver is away."""
        return not self.devices

    @property
    def taken(self) -> float:
        return min(_WHOLE, sum(one.part for one in self.takings))

    @property
    def out(self) -> str | None:
        """Why nothing of it is given to new claims; None = some device of it can be."""
        if self.missing is not None:
            return self.missing
        repelling = [device.repelling for device in self.devices]
        first = repelling[0]
        if first is None or None in repelling:
            return None
        return f"tainted {first.key}".strip()

    @property
    def divided(self) -> bool:
        """Parts of it can be given to different claims."""
        return any(
            device.face is Face.PARTITION or device.counters or device.shared
            for device in self.devices
        )


def gpus_of(
    pools: Iterable[Pool],
    claims: Iterable[Claim],
    generations: Mapping[str, Generation | None],
) -> list[Gpu]:
    """The physical GPUs behind the devices, with what is taken of each.

    The kubelet deletes the slices of a driver that is away, and the pods that have its devices run
    on: what claims were given of a GPU driver and no slice shows is a GPU that is gone.

    Args:
        pools: of which devices that are no GPU are passed over.
        claims: of which administrators' looks take nothing.
        generations: by product name.
    """
    gpus: dict[str, Gpu] = {}
    by_place: dict[Place, Device] = {}
    for pool in pools:
        for device in pool.devices:
            by_place[device.place] = device
            if device.face is not None:
                made = Gpu(device.gpu, device.node, device.product, missing=pool.missing)
                gpus.setdefault(device.gpu, made).devices.append(device)
    gone: defaultdict[Place, list[Claim]] = defaultdict(list)
    for claim, grant in _taken(claims):
        given = by_place.get(grant.place)
        if given is None:
            driver, of, name = grant.place
            gone[driver, of, name.partition(_MIG)[0]].append(claim)
        elif given.face is not None:
            gpu = gpus[given.gpu]
            part = _part_taken(given, grant, gpu, generations)
            gpu.takings.append(Taking(claim=claim, part=part))
    return [*gpus.values(), *(_gone(place, takers) for place, takers in gone.items())]


def _taken(claims: Iterable[Claim]) -> Iterator[tuple[Claim, Grant]]:
    """What claims were given of GPU drivers, but for administrators' looks."""
    for claim in claims:
        for grant in claim.grants or ():
            if grant.place[0].startswith(GPU_DRIVERS) and not grant.admin_access:
                yield claim, grant


def _gone(place: Place, takers: Sequence[Claim]) -> Gpu:
    """A GPU of which nothing is known but who has it: they share it, and nobody else gets a part.

    Drivers call the pool of a node's devices as the node.
    """
    return Gpu(
        name="/".join(place),
        node=place[1],
        product=None,
        takings=[Taking(claim=one, part=_WHOLE / len(takers)) for one in takers],
        missing=GONE,
    )


def gpus_by_node(
    slices: Iterable[Slice], claims: Iterable[Claim], catalogue: Catalogue
) -> dict[str, list[Gpu]]:
    """The physical GPUs of a cluster's slices by node; under "" those on no single node.

    Those that are gone are under the name of their pool, which need be that of no node.
    """
    pools = pools_of(slices)
    products = {device.product for pool in pools for device in pool.devices if device.product}
    generations = {product: catalogue.find(product) for product in products}
    found: defaultdict[str, list[Gpu]] = defaultdict(list)
    for gpu in gpus_of(pools, claims, generations):
        found[gpu.node or ""].append(gpu)
    return found


def _part_taken(
    device: Device, grant: Grant, gpu: Gpu, generations: Mapping[str, Generation | None]
) -> float:
    if device.profile:
        share = slice_share(device.profile, generations.get(device.product or ""))
        if device.counters:
            return share  # cut when it is given: others of the same GPU exclude it
        # Cut for good: the slices that are there are all of the GPU that anybody can have.
        cut = [d.profile for d in gpu.devices if d.profile]
        return share / sum(slice_share(p, generations.get(gpu.product or "")) for p in cut)
    consumed, memory = grant.consumed_bytes, device.memory_bytes
    if consumed is not None and memory:
        return min(_WHOLE, consumed / memory)
    return _WHOLE


def gpus_wanted(claim: Claim, of_gpus: frozenset[str]) -> float:
    """GPUs that a claim without an allocation asks for.

    Of alternatives it is the first; a request for all there are asks for no number.

    Args:
        claim: that is looked at.
        of_gpus: names of the device classes of GPUs.
    """
    first = [request.alternatives[0] for request in claim.requests]
    return float(sum(one.count or 0 for one in first if one.device_class in of_gpus))


def gpu_classes(classes: Sequence[DeviceClass]) -> frozenset[str]:
    """The names of the device classes of GPUs."""
    return frozenset(one.name for one in classes if one.of_gpus)


def dra_resources(classes: Sequence[DeviceClass]) -> frozenset[str]:
    """Extended resources that stand for device classes of GPUs."""
    return frozenset(name for one in classes if one.of_gpus for name in one.resources)
