"""GPUs that DRA gives out: ResourceSlices say which there are, ResourceClaims who has them.

What counts is the GPU, not the device: MIG devices and the whole GPU they are cut from, or a GPU
and its VFIO face, are one.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from fleet.catalogue import Generation
from fleet.documents import Json, amount, listed, named, namespaced, part, text
from fleet.quotas import slice_share

_TYPES: Final = frozenset({None, "gpu", "mig", "vfio"})
_DRIVER: Final = "gpu."
Key = tuple[str, str, str]
"""Driver, pool and device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """Something a claim may be given: a GPU, or a part of one."""

    key: Key
    node: str | None
    """None = it is on no one node."""
    gpu: str
    """The physical GPU: its UUID where it is told."""
    product: str | None
    profile: str | None
    """Of MIG."""
    dynamic: bool
    """It is cut when it is given: others of the same GPU exclude it."""
    memory_bytes: float | None
    out: str | None
    """Why no new claim gets it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A device in the hands of pods."""

    key: Key
    claim: str
    """With its namespace."""
    pods: tuple[str, ...]
    """With their namespace; none where nobody holds the claim yet, or any more."""
    consumed_bytes: float | None = None
    """Of a device that several claims share."""


def devices_of(slices: Iterable[Json]) -> list[Device]:
    """The GPU devices of all pools, each from the newest generation of its pool."""
    pools: dict[tuple[str, str], list[Json]] = defaultdict(list)
    for one in slices:
        spec = part(one, "spec")
        driver, pool = text(spec, "driver"), text(part(spec, "pool"), "name")
        if driver and pool and driver.startswith(_DRIVER):
            pools[driver, pool].append(spec)
    return [
        device
        for (driver, pool), specs in pools.items()
        for device in _of_pool(driver, pool, specs)
    ]


def _of_pool(driver: str, pool: str, specs: Sequence[Json]) -> list[Device]:
    newest = max(amount(part(spec, "pool"), "generation") or 0 for spec in specs)
    current = [s for s in specs if (amount(part(s, "pool"), "generation") or 0) == newest]
    due = max(amount(part(spec, "pool"), "resourceSliceCount") or 1 for spec in current)
    missing = f"{len(current)} of {due:.0f} slices of its pool" if len(current) < due else None
    found = []
    for spec in current:
        for document in listed(spec, "devices"):
            # Before 1.34 the fields stood below `basic`.
            one = part(document, "basic") or document
            attributes = _attributes(driver, part(one, "attributes"))
            if attributes.get("type") not in _TYPES:
                continue
            name = text(document, "name") or ""
            found.append(
                Device(
                    key=(driver, pool, name),
                    node=text(spec, "nodeName") or text(one, "nodeName"),
                    gpu=attributes.get("parentUUID")
                    or attributes.get("uuid")
                    or f"{driver}/{pool}/{name}",
                    product=attributes.get("productName") or attributes.get("model"),
                    profile=attributes.get("profile"),
                    dynamic=bool(one.get("consumesCounters")),
                    memory_bytes=amount(part(one, "capacity", *_memory(one)), "value"),
                    out=missing or _tainted(one),
                )
            )
    return found


def _attributes(driver: str, told: Json) -> dict[str, str]:
    """Texts, by their name without the driver's domain, which may be left out."""
    found = {}
    for name in told:
        said = text(part(told, name), "string")
        if said is not None:
            found[name.removeprefix(f"{driver}/")] = said
    return found


def _memory(device: Json) -> tuple[str]:
    names = (name for name in part(device, "capacity") if name.rpartition("/")[2] == "memory")
    return (next(names, "memory"),)


def _tainted(device: Json) -> str | None:
    for taint in listed(device, "taints"):
        if text(taint, "effect") in {"NoSchedule", "NoExecute"}:
            return f"tainted {text(taint, 'key') or ''}".strip()
    return None


def grants_of(claims: Iterable[Json]) -> list[Grant]:
    """What is allocated, in the words of the claims; administrators' looks are left out."""
    found = []
    for claim in claims:
        status = part(claim, "status")
        namespace = namespaced(claim).partition("/")[0]
        pods = tuple(
            f"{namespace}/{text(one, 'name')}"
            for one in listed(status, "reservedFor")
            if text(one, "resource") == "pods"
        )
        for result in listed(part(status, "allocation", "devices"), "results"):
            if result.get("adminAccess") is True:
                continue
            key = tuple(text(result, name) or "" for name in ("driver", "pool", "device"))
            consumed = part(result, "consumedCapacity")
            memory = next((n for n in consumed if n.rpartition("/")[2] == "memory"), "memory")
            found.append(
                Grant(
                    key=(key[0], key[1], key[2]),
                    claim=namespaced(claim),
                    pods=pods,
                    consumed_bytes=amount(consumed, memory),
                )
            )
    return found


@dataclass(slots=True)
class Gpu:
    """One physical GPU and what is taken of it."""

    name: str
    node: str | None
    product: str | None
    devices: list[Device] = field(default_factory=list)
    grants: list[tuple[Grant, float]] = field(default_factory=list)
    """With the part of the GPU that each takes."""

    @property
    def taken(self) -> float:
        return min(1.0, sum(share for _, share in self.grants))

    @property
    def out(self) -> str | None:
        """Why nothing of it is given to new claims."""
        reasons = [device.out for device in self.devices]
        return reasons[0] if all(reasons) else None


def gpus_of(
    devices: Sequence[Device],
    grants: Sequence[Grant],
    generations: Mapping[str, Generation | None],
) -> list[Gpu]:
    """The physical GPUs behind the devices, with what is taken of each.

    Args:
        devices: of all pools.
        grants: of all claims; one of a device that is no GPU is passed over.
        generations: by product name.
    """
    gpus: dict[str, Gpu] = {}
    by_key: dict[Key, Device] = {}
    for device in devices:
        by_key[device.key] = device
        gpu = gpus.setdefault(device.gpu, Gpu(device.gpu, device.node, device.product))
        gpu.devices.append(device)
    for grant in grants:
        given = by_key.get(grant.key)
        if given is not None:
            gpu = gpus[given.gpu]
            gpu.grants.append((grant, _part_taken(given, grant, gpu, generations)))
    return list(gpus.values())


def _part_taken(
    device: Device, grant: Grant, gpu: Gpu, generations: Mapping[str, Generation | None]
) -> float:
    if device.profile:
        share = slice_share(device.profile, generations.get(device.product or ""))
        if device.dynamic:
            return share
        # Cut for good: the slices that are there are all of the GPU that anybody can have.
        cut = [d.profile for d in gpu.devices if d.profile]
        return share / sum(slice_share(p, generations.get(gpu.product or "")) for p in cut)
    if grant.consumed_bytes is not None and device.memory_bytes:
        return min(1.0, grant.consumed_bytes / device.memory_bytes)
    return 1.0


def wanted_of(claims: Iterable[Json], classes: Iterable[Json]) -> dict[str, float]:
    """GPUs that claims without an allocation ask for, by claim.

    Of alternatives it is the first; a request for all there are asks for no number.
    """
    of_gpus = {named(one) for one in classes if _is_of_gpus(one)}
    found = {}
    for claim in claims:
        if part(claim, "status", "allocation"):
            continue
        gpus = 0.0
        for request in listed(part(claim, "spec", "devices"), "requests"):
            first = next(listed(request, "firstAvailable"), None)
            asked = part(request, "exactly") or first or {}
            if text(asked, "deviceClassName") in of_gpus and asked.get("allocationMode") != "All":
                gpus += amount(asked, "count") or 1.0
        found[namespaced(claim)] = gpus
    return found


def dra_resources(classes: Iterable[Json]) -> frozenset[str]:
    """Names of extended resources that DRA stands behind, of GPU classes."""
    found = set()
    for one in classes:
        if _is_of_gpus(one):
            found.add(f"deviceclass.resource.kubernetes.io/{named(one)}")
            extended = text(part(one, "spec"), "extendedResourceName")
            if extended:
                found.add(extended)
    return frozenset(found)


def _is_of_gpus(device_class: Json) -> bool:
    """Its selectors name a driver of GPUs."""
    return any(
        _DRIVER in (text(part(selector, "cel"), "expression") or "")
        for selector in listed(part(device_class, "spec"), "selectors")
    )
