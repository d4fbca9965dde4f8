"""How each vendor's DRA driver speaks of whole GPUs, and the DeviceClass its chart makes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Driver:
    """A vendor's DRA driver."""

    name: str
    device_class: str
    kind: str
    """Its `type` of a whole GPU: neither a partition nor one passed through to a machine."""


DEFAULT_VENDOR: Final = "nvidia"
DRIVERS: Final[Mapping[str, Driver]] = {
    "nvidia": Driver("gpu.nvidia.com", "gpu.nvidia.com", "gpu"),
    "amd": Driver("gpu.amd.com", "gpu.amd.com", "amdgpu"),
}
"""By vendor. kubernetes-sigs/dra-driver-nvidia-gpu, ROCm/k8s-gpu-dra-driver."""
