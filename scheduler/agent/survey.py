"""Makes the node's report from NVML's answers."""

from itertools import combinations
from typing import Final

from fleet.cluster.report import (
    FabricReport,
    GpuReport,
    HealthReport,
    MigDevice,
    MigReport,
    NvLinks,
    PairReport,
    Report,
)
from scheduler.agent import health, links
from scheduler.agent.links import Joint
from scheduler.agent.recording import NO_GPUS, Fabric, Gpu, Instance, Mig, Pair, Recording, Refusal

_ARCHITECTURES: Final = {
    2: "Kepler",
    3: "Maxwell",
    4: "Pascal",
    5: "Volta",
    6: "Turing",
    7: "Ampere",
    8: "Ada Lovelace",
    9: "Hopper",
    10: "Blackwell",
    13: "Rubin",
}
"""NVML_DEVICE_ARCH, in the words of the DRA driver's attribute `architecture`."""
_ANCESTORS: Final = {
    0: "internal",
    10: "single",
    20: "multiple",
    30: "hostbridge",
    40: "node",
    50: "system",
}
_FABRIC_STATES: Final = {1: "not-started", 2: "in-progress", 3: "completed"}
_COMPLETED: Final = 3
_NO_CLUSTER: Final = "00000000-0000-0000-0000-000000000000"
_WHY: Final = {
    "LIBRARY_NOT_FOUND": (
        "the NVIDIA driver library (libnvidia-ml.so.1) is not found here: on a node with GPUs,"
        " run the agent with the nvidia runtime class and the driver capability `utility`"
    ),
    "DRIVER_NOT_LOADED": "the NVIDIA driver is not loaded",
    "LIB_RM_VERSION_MISMATCH": (
        "the driver's library and kernel module differ: reboot after the driver's upgrade"
    ),
    "NO_PERMISSION": "the driver denies access: is /dev/nvidiactl in the container?",
}
_MIB: Final = 2**20


def report_of(recording: Recording) -> Report:
    """The report of a machine."""
    gpus, boot_id = recording.gpus, recording.boot_id
    if isinstance(gpus, Refusal):
        if gpus.error == NO_GPUS:
            return Report(boot_id=boot_id, gpus=())
        why = _WHY.get(gpus.error, f"NVML answers {gpus.error}")
        return Report(boot_id=boot_id, gpus=None, unknown=why)
    pairs = {one.of: one for one in recording.pairs}
    joints = _joints(gpus, pairs)
    islands = links.islands(gpus, joints) or [-1] * len(gpus)
    return Report(
        boot_id=boot_id,
        driver=recording.driver,
        cuda=_cuda(recording.cuda),
        gpus=tuple(
            _gpu(index, gpu, island)
            for index, (gpu, island) in enumerate(zip(gpus, islands, strict=True))
        ),
        pairs=tuple(_pair(of, one, pairs.get(of)) for of, one in joints.items()),
        clique=_clique(gpus),
    )


def _joints(
    gpus: tuple[Gpu | Refusal, ...], pairs: dict[tuple[int, int], Pair]
) -> dict[tuple[int, int], Joint]:
    return {
        (a, b): links.joint(one, other, pairs.get((a, b)))
        for (a, one), (b, other) in combinations(enumerate(gpus), 2)
        if isinstance(one, Gpu) and isinstance(other, Gpu)
    }


def _gpu(index: int, gpu: Gpu | Refusal, island: int) -> GpuReport:
    if isinstance(gpu, Refusal):
        why = f"NVML answers {gpu.error}"
        return GpuReport(index=index, lost=why, health=_lost(why))
    near = gpu.memory_affinity
    capability = gpu.compute_capability
    return GpuReport(
        index=index,
        uuid=gpu.uuid,
        minor=gpu.minor,
        pci_bus_id=gpu.pci_bus_id,
        product=gpu.name,
        architecture=_ARCHITECTURES.get(gpu.architecture) if gpu.architecture else None,
        compute_capability=f"{capability[0]}.{capability[1]}" if capability else None,
        memory_mib=gpu.memory_bytes // _MIB if gpu.memory_bytes else None,
        # Several nearest nodes mean unknown: virtual machines report all of them.
        numa_node=near[0] if near and len(near) == 1 else None,
        own_numa_node=gpu.numa_node_id,
        island=island if island >= 0 else None,
        nv_links=_nv_links(gpu),
        fabric=_fabric(gpu.fabric),
        mig=_mig(gpu.mig),
        health=_health(gpu),
    )


def _nv_links(gpu: Gpu) -> NvLinks | None:
    if gpu.links is None:
        return None
    return NvLinks(
        up=links.links_up(gpu),
        total=len(gpu.links),
        megabytes_per_second_each=gpu.link_mbps or None,  # without a link up NVML says 0
    )


def _fabric(fabric: Fabric | None) -> FabricReport | None:
    state = _FABRIC_STATES.get(fabric.state) if fabric else None
    if fabric is None or state is None:
        return None
    member = _membership(fabric)
    return FabricReport.model_validate(
        {
            "state": state,
            "clusterUuid": fabric.cluster_uuid if member else None,
            "cliqueId": fabric.clique_id if member else None,
        }
    )


def _membership(fabric: Fabric) -> str | None:
    """Membership in a fabric over several machines; one within a machine has no cluster."""
    if fabric.state != _COMPLETED or fabric.status or fabric.cluster_uuid == _NO_CLUSTER:
        return None
    return f"{fabric.cluster_uuid}.{fabric.clique_id}"


def _clique(gpus: tuple[Gpu | Refusal, ...]) -> str | None:
    """The clique that all GPUs of the node agree on, written as GPU feature discovery does.

    A GPU whose fabric is not up, or has a fault, is in none.
    """
    fabrics = [gpu.fabric for gpu in gpus if isinstance(gpu, Gpu) and gpu.fabric]
    found = {_membership(one) for one in fabrics if one.state in _FABRIC_STATES}
    return found.pop() if len(found) == 1 else None


def _mig(mig: Mig) -> MigReport | None:
    if mig.mode is None:
        return None
    found = mig.instances
    return MigReport(
        enabled=mig.mode[0] == 1,
        pending=mig.mode[1] == 1,
        devices=None if found is None else tuple(_device(one) for one in found),
    )


def _device(one: Instance) -> MigDevice:
    profile = one.name.rpartition(" MIG ")[2] if one.name and " MIG " in one.name else None
    return MigDevice(uuid=one.uuid, profile=profile, memory_mib=one.memory_mib)


def _health(gpu: Gpu) -> HealthReport:
    known = gpu.health
    problems = health.health_problems(gpu)
    rows = known.remapped_rows
    return HealthReport(
        healthy=False if problems else (True if health.is_known(known) else None),
        problems=problems,
        ecc=None if known.ecc_mode is None else known.ecc_mode[0] == 1,
        ecc_uncorrected_volatile=known.ecc_uncorrected_volatile,
        ecc_uncorrected_aggregate=known.ecc_uncorrected_aggregate,
        remapped_rows=None if rows is None else rows[0] + rows[1],
        retired_pages=known.retired_pages,
    )


def _lost(why: str) -> HealthReport:
    return HealthReport(
        healthy=False,
        problems=(why,),
        ecc=None,
        ecc_uncorrected_volatile=None,
        ecc_uncorrected_aggregate=None,
        remapped_rows=None,
        retired_pages=None,
    )


def _pair(of: tuple[int, int], one: Joint, pair: Pair | None) -> PairReport:
    access = None if pair is None else {pair.p2p.read, pair.p2p.write}
    known = access is not None and not access & {None, links.PEER_UNKNOWN}
    return PairReport(
        of=of,
        pcie=_ANCESTORS.get(pair.ancestor) if pair and pair.ancestor is not None else None,
        nvlink=one.way,
        links=one.links,
        peer=access == {links.PEER_OK} if known else None,
    )


def _cuda(version: int | None) -> str | None:
    return f"{version // 1000}.{version % 1000 // 10}" if version else None
