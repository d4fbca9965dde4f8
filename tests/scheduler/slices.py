"""ResourceSlices as the vendors' DRA drivers publish them, and a few that no driver should.

Names and types of attributes: kubernetes-sigs/dra-driver-nvidia-gpu and the attribute page of
ROCm/k8s-gpu-dra-driver. Memory is what NVML reports on such a GPU.
"""

from typing import Any

Json = dict[str, Any]
MIB = 2**20


def nvidia(at: int, product: str, memory_mib: int | None, **attributes: Json) -> Json:
    """A whole GPU; no memory is what a part with unified memory has."""
    told = {
        "type": {"string": "gpu"},
        "uuid": {"string": f"GPU-00000000-0000-0000-0000-{at:012d}"},
        "productName": {"string": product},
        "brand": {"string": "Nvidia"},
        "architecture": {"string": "Hopper"},
        "cudaComputeCapability": {"version": "9.0.0"},
        "driverVersion": {"version": "580.95.5"},
        "cudaDriverVersion": {"version": "13.0.0"},
        "resource.kubernetes.io/pciBusID": {"string": f"0000:{at + 1:02x}:00.0"},
        "resource.kubernetes.io/pcieRoot": {"string": f"pci0000:{at // 2:02x}"},
        **attributes,
    }
    capacity = {} if memory_mib is None else {"memory": {"value": str(memory_mib * MIB)}}
    return {"name": f"gpu-{at}", "attributes": told, "capacity": capacity}


def mig(at: int, product: str, memory_mib: int) -> Json:
    """A partition: same product as its parent, less memory."""
    device = nvidia(at, product, memory_mib, type={"string": "mig"})
    device["attributes"]["profile"] = {"string": "1g.10gb"}
    device["attributes"]["parentUUID"] = {"string": "GPU-0"}
    device["name"] = f"gpu-{at}-mig-1g10gb-19-0"
    return device


def amd(at: int, *, kind: str = "amdgpu", memory_mib: int = 196_288) -> Json:
    return {
        "name": f"gpu-{at}-{128 + at}",
        "attributes": {
            "type": {"string": kind},
            "deviceID": {"string": "0x74a1"},
            "productName": {"string": "AMD_Instinct_MI300X_OAM"},
            "driverVersion": {"version": "6.14.14"},
            "partitionProfile": {"string": "spx_nps1"},
            "numaNode": {"int": at // 4},
            "resource.kubernetes.io/pcieRoot": {"string": f"pci0000:{at:02x}"},
        },
        "capacity": {
            "memory": {"value": str(memory_mib * MIB)},
            "computeUnits": {"value": "304"},
            "simdUnits": {"value": "1216"},
        },
    }


def resource_slice(node: str, *devices: Json, driver: str = "gpu.nvidia.com") -> Json:
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceSlice",
        "metadata": {"name": f"{node}-{driver}"},
        "spec": {
            "driver": driver,
            "nodeName": node,
            "pool": {"name": node, "generation": 1, "resourceSliceCount": 1},
            "devices": list(devices),
        },
    }


CLASSES = {
    "gpu.nvidia.com": (
        "device.driver == 'gpu.nvidia.com'",
        "has(device.attributes['gpu.nvidia.com'].type)",
        "device.attributes['gpu.nvidia.com'].type == 'gpu'",
    ),
    "gpu.amd.com": ("device.driver == 'gpu.amd.com'",),
}
"""As the charts have them, but for a guard: NVIDIA's driver publishes no device without a type."""
H100, H200, L40S, T4 = (
    ("NVIDIA H100 80GB HBM3", 81_559),
    ("NVIDIA H200", 143_771),
    ("NVIDIA L40S", 46_068),
    ("Tesla T4", 15_360),
)
RECORDED = {
    "h100": resource_slice("h100", *(nvidia(at, *H100) for at in range(8))),
    "h200": resource_slice("h200", *(nvidia(at, *H200) for at in range(8))),
    "l40s": resource_slice("l40s", *(nvidia(at, *L40S) for at in range(4))),
    "t4": resource_slice("t4", nvidia(0, *T4)),
    "mig": resource_slice("mig", *(mig(at, "NVIDIA H200", 17_000) for at in range(7))),
    "mi300x": resource_slice("mi300x", *(amd(at) for at in range(8)), driver="gpu.amd.com"),
}
ODD = {
    "unified-memory": resource_slice("gb10", nvidia(0, "NVIDIA H200", None)),
    "bare": resource_slice("bare", {"name": "gpu-0"}),
    "wrong-types": resource_slice(
        "wrong",
        nvidia(0, "NVIDIA H200", 143_771, productName={"int": 9}, type={"bool": True}),
    ),
    "vfio": resource_slice(
        "vfio",
        {
            "name": "gpu-vfio-0",
            "attributes": {
                "type": {"string": "vfio"},
                "productName": {"string": "NVIDIA H200"},
                "numa": {"int": 0},
            },
            "capacity": {"addressableMemory": {"value": "143Gi"}},
        },
    ),
    "amd-partition": resource_slice(
        "cpx", amd(0, kind="amdgpu-partition", memory_mib=24_536), driver="gpu.amd.com"
    ),
    "amd-unreadable": resource_slice("vram0", amd(0, memory_mib=0), driver="gpu.amd.com"),
    "other-driver": resource_slice(
        "other", nvidia(0, "NVIDIA H200", 143_771), driver="gpu.example.com"
    ),
}
