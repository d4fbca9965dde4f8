"""A recorded machine: NVML's answers, and None where NVML refused to answer.

Every refusal means "unknown", `NOT_SUPPORTED` included: a virtual machine hides links that exist in
this way. A refusal is read as None, never as 0 or false. Its name is kept only where it concerns
the whole machine or a whole GPU.
"""

from collections.abc import Mapping
from typing import Annotated, Final, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

NO_GPUS: Final = "GPU_NOT_FOUND"
"""The one refusal that is an answer: the driver runs and finds no GPU."""

T = TypeVar("T")


class Refusal(BaseModel):
    """NVML's return code, as `NVML_ERROR_` names it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    error: str


def _known(answer: object) -> object:
    refused = isinstance(answer, Mapping) and set(answer) == {"error"}
    return None if refused else answer


Known = Annotated[T | None, BeforeValidator(_known)]
"""None = NVML refused."""


class _Part(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, validate_by_name=True
    )


class Link(_Part):
    """One NVLink of a GPU."""

    link: int
    state: Known[int] = None
    """1 = up."""
    remote_type: Known[int] = None
    """0 = GPU, 2 = NVSwitch."""
    remote_pci_bus_id: Known[str] = None


class Fabric(_Part):
    """The state of the GPU's NVSwitch fabric, as the fabric manager set it."""

    state: int
    """0 not supported, 1 not started, 2 in progress, 3 completed."""
    status: int
    cluster_uuid: str
    clique_id: int
    health_mask: int = 0
    health_summary: int = 0
    """0 not supported, 1 healthy, 2 unhealthy, 3 limited capacity."""


class Instance(_Part):
    """A MIG device."""

    uuid: Known[str] = None
    name: Known[str] = None
    gpu_instance: Known[int] = None
    compute_instance: Known[int] = None
    memory_mib: Known[int] = None
    multiprocessors: Known[int] = None


class Mig(_Part):
    """Whether the GPU is partitioned, and into what."""

    mode: Known[tuple[int, int]] = None
    """Now, and after the next reset; 1 = on."""
    instances: Known[tuple[Instance, ...]] = None


class Health(_Part):
    """Faults that the driver has recorded."""

    ecc_mode: Known[tuple[int, int]] = None
    ecc_uncorrected_volatile: Known[int] = None
    """Since the driver was loaded."""
    ecc_uncorrected_aggregate: Known[int] = None
    """In its life."""
    remapped_rows: Known[tuple[int, int, int, int]] = None
    """Of correctable errors, of uncorrectable ones, pending (0 or 1), failed (0 or 1)."""
    retired_pages: Known[int] = None
    retired_pages_pending: Known[int] = None
    recovery_action: Known[int] = None
    """NVML_GPU_RECOVERY_ACTION; 0 = none needed."""


class Gpu(_Part):
    """One GPU's answers."""

    name: Known[str] = None
    uuid: Known[str] = None
    minor: Known[int] = None
    pci_bus_id: Known[str] = None
    architecture: Known[int] = None
    compute_capability: Known[tuple[int, int]] = None
    memory_bytes: Known[int] = None
    memory_affinity: Known[tuple[int, ...]] = None
    """The host's NUMA nodes nearest to it."""
    numa_node_id: Known[int] = None
    """The NUMA node that its own memory is, on machines such as GB200; elsewhere refused."""
    link_mbps: Known[int] = None
    """Of each link, in MB/s in one direction."""
    links: Known[tuple[Link, ...]] = None
    fabric: Known[Fabric] = None
    mig: Mig = Field(default_factory=Mig)
    health: Health = Field(default_factory=Health)


class PeerAccess(_Part):
    """NVML_P2P_STATUS of each way; 0 = works."""

    read: Known[int] = None
    write: Known[int] = None
    nvlink: Known[int] = None


class Pair(_Part):
    """The connection of two GPUs."""

    of: tuple[int, int]
    """Their indices, the lower one first."""
    ancestor: Known[int] = None
    p2p: PeerAccess = Field(default_factory=PeerAccess)


class Recording(_Part):
    """NVML's answers about one machine."""

    recording: Literal[1]
    source: str
    """`recorded`, or from which documents it was made."""
    boot_id: str | None = None
    """Of the boot in which it was asked; None = not known, as for every recording in a file."""
    driver: Known[str] = None
    cuda: Known[int] = None
    """Such as 13000 for 13.0."""
    gpus: tuple[Gpu | Refusal, ...] | Refusal
    pairs: tuple[Pair, ...] = ()
