"""What the cluster of `bench extender` is made of: nodes, slices, claims and pods as JSON."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from scheduler.placement import WHOLE_MILLI, Shape

Json = Mapping[str, Any]

GPUS: Final = 8
NICS: Final = 2
CORES_MILLI: Final = 190_000
MEMORY_MIB: Final = 2000 * 1024
PRODUCTS: Final = ("NVIDIA H100 80GB HBM3", "NVIDIA A100-SXM4-80GB", "NVIDIA L40S", "NVIDIA H200")
GPU_DRIVER: Final = "gpu.nvidia.com"
NIC_DRIVER: Final = "dra.net"
PCIE_ROOT: Final = "resource.kubernetes.io/pcieRoot"
NAMESPACE: Final = "llm"
_H100, _A100, _L40S, _H200 = PRODUCTS
_IMAGES: Final = 20


def usual_pods(random: np.random.Generator, count: int) -> list[Shape]:
    """Pods of an LLM cluster: wide and narrow engines, small models, and what runs beside them."""
    kinds = [
        (0.30, 1, 8192), (0.15, 2, 8192), (0.10, 4, 8192), (0.10, 8, 8192), (0.20, 1, 0),
        (0.15, 0, 8192),
    ]  # fmt: skip
    chances = [chance for chance, _, _ in kinds]
    made = []
    for at in random.choice(len(kinds), count, p=chances).tolist():
        _, gpus, mib = kinds[at]
        mib = mib or int(random.choice([1024, 2048, 3072, 4096, 5120, 6144]))
        cores = int(random.choice([2, 4, 6, 8])) * max(gpus, 1)
        made.append(
            Shape(
                cpu_milli=1000 * cores, memory_mib=mib * cores, gpus=gpus,
                gpu_milli=WHOLE_MILLI if gpus else 0,
            )
        )  # fmt: skip
    return made


def pod(
    shape: Shape, uid: str, node: str | None = None, *, claim: str | None = None
) -> dict[str, Any]:
    requests = {"cpu": f"{shape.cpu_milli}m", "memory": f"{shape.memory_mib}Mi"}
    annotations = {"kubernetes.io/config.source": "api"}
    if shape.gpus:
        requests["nvidia.com/gpu"] = str(shape.gpus)
    spec: dict[str, Any] = {
        "containers": [
            {"name": "engine", "image": "vllm/vllm-openai:v0.33.0",
             "resources": {"requests": requests, "limits": requests}}
        ],
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
    }  # fmt: skip
    if claim is not None:
        spec["resourceClaims"] = [{"name": "gpus", "resourceClaimName": claim}]
    if node is not None:
        spec["nodeName"] = node
    return {
        "metadata": {"name": uid, "namespace": NAMESPACE, "uid": uid, "annotations": annotations,
                     "labels": {"app": "engine"}, "resourceVersion": "1"},
        "spec": spec,
        "status": {"phase": "Running" if node else "Pending"},
    }  # fmt: skip


def node(name: str, product: str, *, is_plugged: bool, images: int = 0) -> dict[str, Any]:
    """A node; `images` is the number of images that it has pulled meanwhile."""
    listed = [
        {
            "names": [f"registry.example/team-{at}/image@sha256:{at:064d}"],
            "sizeBytes": 2**24 << at % 9,
        }
        for at in range(images, images + _IMAGES)
    ]
    allocatable = {"cpu": str(CORES_MILLI // 1000), "memory": f"{MEMORY_MIB}Mi", "pods": "110"}
    if is_plugged:
        allocatable["nvidia.com/gpu"] = str(GPUS)
    return {
        "metadata": {
            "name": name, "uid": name, "resourceVersion": "1",
            "labels": {"nvidia.com/gpu.product": product.replace(" ", "-"),
                       "nvidia.com/gpu.count": str(GPUS), "kubernetes.io/hostname": name,
                       **{f"example.com/label-{at}": f"value-{at}" for at in range(25)}},
            "annotations": {"example.com/config": "x" * 400},
            "managedFields": [{"manager": "kubelet", "fieldsV1": {"f:x": "y" * 2000}}],
        },
        "spec": {},
        "status": {
            "allocatable": allocatable,
            "images": listed,
            "conditions": [{"type": "Ready", "status": "True", "message": "z" * 300}],
        },
    }  # fmt: skip


def slices(name: str, product: str, *, has_counters: bool, has_nics: bool) -> list[dict[str, Any]]:
    """The node's ResourceSlices: GPUs, some with counters as DynamicMIG has them, and NICs."""
    gpus: list[dict[str, Any]] = [
        {
            "name": f"gpu-{at}",
            "attributes": {
                "type": {"string": "gpu"}, "uuid": {"string": f"GPU-{name}-{at}"},
                "productName": {"string": product}, "brand": {"string": "Nvidia"},
                "architecture": {"string": "Hopper"},
                "cudaComputeCapability": {"version": "9.0.0"},
                "driverVersion": {"version": "580.95.5"},
                "cudaDriverVersion": {"version": "13.0.0"},
                "resource.kubernetes.io/pciBusID": {"string": f"0000:{at:02x}:00.0"},
                PCIE_ROOT: {"string": f"pci0000:{at // 2:02x}"},
            },
            "capacity": {"memory": {"value": "81559Mi"}},
        }
        for at in range(GPUS)
    ]  # fmt: skip
    for device in gpus if has_counters else ():
        device["consumesCounters"] = [{"counterSet": f"{device['name']}-counters", "counters": {}}]
    nics = [
        {"name": f"nic-{at}", "attributes": {PCIE_ROOT: {"string": f"pci0000:{at:02x}"}}}
        for at in range(NICS)
    ]
    made = [_slice(name, GPU_DRIVER, gpus)]
    return [*made, _slice(name, NIC_DRIVER, nics)] if has_nics else made


def _slice(name: str, driver: str, devices: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "metadata": {"name": f"{name}-{driver}", "resourceVersion": "1"},
        "spec": {
            "driver": driver, "nodeName": name,
            "pool": {"name": name, "generation": 1, "resourceSliceCount": 1}, "devices": devices,
        },
    }  # fmt: skip


def device_class(name: str) -> dict[str, Any]:
    expression = f"device.driver == '{name}'"
    return {
        "metadata": {"name": name, "uid": name, "resourceVersion": "1"},
        "spec": {"selectors": [{"cel": {"expression": expression}}]},
    }


def _of(product: str, count: int) -> dict[str, Any]:
    domain = f"device.attributes['{GPU_DRIVER}']"
    expression = f"has({domain}.productName) && {domain}.productName == '{product}'"
    return {
        "name": product.split()[1].split("-", maxsplit=1)[0].lower(), "deviceClassName": GPU_DRIVER,
        "count": count, "selectors": [{"cel": {"expression": expression}}],
    }  # fmt: skip


def _any(driver: str, name: str, count: int) -> dict[str, Any]:
    return {"name": name, "exactly": {"deviceClassName": driver, "count": count}}


def _first(*alternatives: dict[str, Any]) -> dict[str, Any]:
    return {"name": "gpus", "firstAvailable": list(alternatives)}


CLAIM_SPECS: Final[tuple[dict[str, Any], ...]] = (
    *({"requests": [_any(GPU_DRIVER, "gpus", count)]} for count in (1, 2, 4, 8)),
    {"requests": [_first(_of(_H100, 1), _of(_A100, 1), _of(_L40S, 2))]},
    {"requests": [_first(_of(_H200, 2), _of(_H100, 4))]},
    {"requests": [_first(_of(_L40S, 4), _of(_A100, 2))]},
    {
        "requests": [_any(GPU_DRIVER, "gpus", 2)],
        "constraints": [{"matchAttribute": PCIE_ROOT}],
    },
    {
        "requests": [_any(GPU_DRIVER, "gpus", 4)],
        "constraints": [{"matchAttribute": f"{GPU_DRIVER}/productName"}],
    },
    {"requests": [_any(GPU_DRIVER, "gpus", 1), _any(NIC_DRIVER, "nic", 1)]},
    {
        "requests": [_any(GPU_DRIVER, "gpus", 1), _any(NIC_DRIVER, "nic", 1)],
        "constraints": [{"matchAttribute": PCIE_ROOT}],
    },
    {"requests": [_any(GPU_DRIVER, f"gpu-{at}", 1) for at in range(GPUS)]},
)
"""What ResourceClaimTemplates of an LLM cluster ask for."""


def claim(name: str, devices: Json) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": NAMESPACE, "uid": name, "resourceVersion": "1"},
        "spec": {"devices": devices},
    }
