"""Karpenter as a process, with kwok in the place of a cloud: it orders nodes and lets them go.

A machine "boots" for as long as its node class says. Beside it `kubernetes.start_kwok` makes each
node Ready; no other node may be on the bed, or pods would find room that nobody ordered.
"""

import json
from typing import Any

from tests.e2e import kinds
from tests.e2e.bed import Bed, answers_ok, module
from tests.prometheus import free_port

ONE_GPU, EIGHT_GPUS = "p5.4xlarge", "p5.48xlarge"
"""Instance types, by the names that the cloud has for one H100 and for eight."""
NODE_CLASS, SLOW_NODE_CLASS = "quick", "slow"
"""The machines of the slow one do not boot as long as anybody looks."""
BOOT_SECONDS = 1
_SLOW_BOOT_SECONDS = 3600
ZONE = "zone-a"
GPU = "nvidia.com/gpu"
CAPACITY_TYPE = "karpenter.sh/capacity-type"
_PRICES = {ONE_GPU: 6.88, EIGHT_GPUS: 55.04}
"""US dollars an hour on demand."""
_PRICE_SHARES = {"on-demand": 1.0, "spot": 0.4, "reserved": 1e-7}
"""What Karpenter reckons with; a reserved machine is paid for in any case."""
_ROOM = {
    ONE_GPU: {"cpu": "16", "memory": "256Gi", "pods": "110", GPU: "1"},
    EIGHT_GPUS: {"cpu": "192", "memory": "2Ti", "pods": "110", GPU: "8"},
}
_GATES = {
    "StaticCapacity": True,
    "CapacityBuffer": True,
    "NodeOverlay": True,
    "SpotToSpotConsolidation": False,
    "NodeRepair": False,
    # On, it asks a cloud for the id of each reservation, and kwok has none. Off, `reserved` is a
    # capacity type like the others, and the cheapest.
    "ReservedCapacity": False,
}


def start(bed: Bed) -> None:
    """Karpenter with its CRDs and node classes."""
    source = module("karpenter", "sigs.k8s.io/karpenter")
    folders = (source / "pkg" / "apis" / "crds", source / "kwok" / "apis" / "crds")
    kinds.serve(bed, [file for folder in folders for file in sorted(folder.glob("*.yaml"))])
    delays = {NODE_CLASS: BOOT_SECONDS, SLOW_NODE_CLASS: _SLOW_BOOT_SECONDS}
    bed.apply(*(_node_class(name, seconds) for name, seconds in delays.items()))
    bed.write("instance-types.json", json.dumps([_instance_type(name) for name in _ROOM]).encode())
    probes = free_port()
    bed.start(
        "karpenter",
        [bed.program("karpenter", "kwok")],
        environment={
            "KUBECONFIG": str(bed.kubeconfig("admin")),
            "SYSTEM_NAMESPACE": "kube-system",
            "DISABLE_LEADER_ELECTION": "true",
            "METRICS_PORT": str(free_port()),
            "HEALTH_PROBE_PORT": str(probes),
            "INSTANCE_TYPES_FILE_PATH": bed.file("instance-types.json"),
            "BATCH_IDLE_DURATION": "1s",
            "BATCH_MAX_DURATION": "3s",
            "FEATURE_GATES": ",".join(f"{name}={str(on).lower()}" for name, on in _GATES.items()),
        },
        ready=lambda: answers_ok(f"http://127.0.0.1:{probes}/readyz"),
    )


def _node_class(name: str, boot_seconds: int) -> dict[str, Any]:
    return {
        "apiVersion": "karpenter.kwok.sh/v1alpha1",
        "kind": "KWOKNodeClass",
        "metadata": {"name": name},
        "spec": {"nodeRegistrationDelay": f"{boot_seconds}s"},
    }


def _instance_type(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "architecture": "amd64",
        "operatingSystems": ["linux"],
        "resources": _ROOM[name],
        "offerings": [
            {
                "Price": _PRICES[name] * share,
                "Available": True,
                "Requirements": [
                    {"key": CAPACITY_TYPE, "operator": "In", "values": [capacity_type]},
                    {"key": "topology.kubernetes.io/zone", "operator": "In", "values": [ZONE]},
                ],
            }
            for capacity_type, share in _PRICE_SHARES.items()
        ],
    }
