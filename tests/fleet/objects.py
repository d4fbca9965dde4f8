"""API objects of GPU clusters, as small as they can be."""

from collections.abc import Mapping
from typing import Any

from fleet.account.node import NodeGpus
from fleet.activity import Activity
from fleet.annotations import REPORT
from fleet.catalogue import shipped
from fleet.cluster.hardware import Prices
from fleet.cluster.kinds import SOURCES, Kind, Record, record_of
from fleet.cluster.reading import Cluster
from fleet.cluster.report import GpuReport, HealthReport, Report
from fleet.instances import instances
from fleet.snapshot import FleetSnapshot, Known, snapshot_of

Object = dict[str, Any]
NOW_SECONDS = 1_800_000_000.0
_UNKNOWN = HealthReport(
    healthy=None, problems=(), ecc=None, ecc_uncorrected_volatile=None,
    ecc_uncorrected_aggregate=None, remapped_rows=None, retired_pages=None,
)  # fmt: skip
GPU = "nvidia.com/gpu"
H100 = {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}


def node(
    name: str = "n1",
    *,
    ready: bool = True,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    allocatable: Mapping[str, int] | None = None,
    **capacity: int,
) -> Object:
    """A node; `gpus=8` is what its device plugin has, other resources are named in full."""
    amounts = {GPU if key == "gpus" else key: str(count) for key, count in capacity.items()}
    usable = {key: str(count) for key, count in (allocatable or {}).items()}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels or {}, "annotations": annotations or {}},
        "spec": {},
        "status": {
            "capacity": amounts,
            "allocatable": {**amounts, **usable},
            "conditions": [{"type": "Ready", "status": "True" if ready else "Unknown"}],
        },
    }


def pod(
    name: str,
    on: str | None = "n1",
    *,
    labels: Mapping[str, str] | None = None,
    claims: tuple[str, ...] = (),
    priority: int | None = None,
    **units: int,
) -> Object:
    """A running pod in namespace llm; `gpus=2` is what it asks of the device plugin."""
    limits = {GPU if key == "gpus" else key: str(count) for key, count in units.items()}
    spec: Object = {"containers": [{"name": "engine", "resources": {"limits": limits}}]}
    if on is not None:
        spec["nodeName"] = on
    if priority is not None:
        spec["priority"] = priority
    if claims:
        spec["resourceClaims"] = [{"name": one, "resourceClaimName": one} for one in claims]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "llm", "labels": labels or {}},
        "spec": spec,
        "status": {"phase": "Running" if on else "Pending"},
    }


def device(name: str, **told: Any) -> Object:
    """A whole H100; attributes by name, `capacity` and `taints` as they are."""
    capacity = told.pop("capacity", {"memory": {"value": "81559Mi"}})
    extra = {key: told.pop(key) for key in ("taints", "consumesCounters") if key in told}
    attributes = {
        "type": "gpu",
        "uuid": f"GPU-{name}",
        "productName": "NVIDIA H100 80GB HBM3",
        **told,
    }
    return {
        "name": name,
        "attributes": {key: {"string": value} for key, value in attributes.items() if value},
        "capacity": capacity,
        **extra,
    }


def resource_slice(
    *devices: Object,
    on: str = "n1",
    driver: str = "gpu.nvidia.com",
    generation: int = 1,
    of: int = 1,
) -> Object:
    return {
        "kind": "ResourceSlice",
        "metadata": {"name": f"{on}-{driver}-{generation}"},
        "spec": {
            "driver": driver,
            "nodeName": on,
            "pool": {"name": on, "generation": generation, "resourceSliceCount": of},
            "devices": list(devices),
        },
    }


def claim(
    name: str, *devices: str, pods: tuple[str, ...] = (), on: str = "n1", **told: Any
) -> Object:
    """A claim in namespace llm that these devices are allocated to."""
    results = [
        {"request": "gpu", "driver": "gpu.nvidia.com", "pool": on, "device": device, **told}
        for device in devices
    ]
    return {
        "kind": "ResourceClaim",
        "metadata": {"name": name, "namespace": "llm"},
        "status": {
            "allocation": {"devices": {"results": results}},
            "reservedFor": [{"resource": "pods", "name": one, "uid": one} for one in pods],
        },
    }


def node_claim(
    name: str,
    *holds: str,
    on: str | None = None,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    provider_id: str | None = None,
    **capacity: int,
) -> Object:
    """A NodeClaim with the conditions that hold, of those that Karpenter sets on the way."""
    amounts = {GPU if key == "gpus" else key: str(count) for key, count in capacity.items()}
    status: Object = {
        "capacity": amounts,
        "conditions": [
            {"type": one, "status": "True" if one in holds else "Unknown"}
            for one in ("Launched", "Registered", "Initialized")
        ],
    }
    if on is not None:
        status["nodeName"] = on
    if provider_id is not None:
        status["providerID"] = provider_id
    metadata = {"name": name, "uid": name, "labels": labels or {}, "annotations": annotations or {}}
    return {"kind": "NodeClaim", "metadata": metadata, "spec": {}, "status": status}


def cluster(*objects: Object, name: str = "c1") -> Cluster:
    """What is read of a cluster of these objects."""
    records: dict[Kind, list[Record]] = {}
    for one in objects:
        kind = next(kind for kind, at in SOURCES.items() if at.object_kind == one["kind"])
        records.setdefault(kind, []).append(record_of(kind, one))
    return Cluster.of(name, records)


def seen(
    *objects: Object,
    activity: Activity | None = None,
    prices: Mapping[str, float] | None = None,
) -> FleetSnapshot:
    """The snapshot of a cluster of these objects."""
    known = Known(catalogue=shipped(), prices=Prices(instances=instances(), own=prices or {}))
    return snapshot_of(cluster(*objects), known, activity, NOW_SECONDS)


def only(*objects: Object, **more: Any) -> NodeGpus:
    """The one node with GPUs among these objects."""
    (found,) = seen(*objects, **more).nodes
    return found


def counts(one: NodeGpus) -> tuple[float | None, ...]:
    """All of its GPUs, the allocated, the free, and those that are out."""
    return one.gpus, one.allocated, one.free, one.out


def report(*islands: int | None, **more: Any) -> dict[str, str]:
    """The annotation of the node's agent, with the island of each GPU."""
    gpus = [
        GpuReport(index=index, uuid=f"GPU-gpu-{index}", island=island, health=_UNKNOWN)
        for index, island in enumerate(islands)
    ]
    return {REPORT: Report(boot_id=None, gpus=tuple(gpus), **more).text()}
