# ruff: noqa: N802 - the names are NVML's
"""libnvidia-ml as pynvml shows it, answering from a recorded machine."""

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import pynvml

Json = Any
CODES = {
    name.removeprefix("NVML_ERROR_"): value
    for name, value in vars(pynvml).items()
    if name.startswith("NVML_ERROR_")
}
_FIELDS = {
    pynvml.NVML_FI_DEV_NVLINK_SPEED_MBPS_COMMON: lambda gpu: gpu["linkMbps"],
    pynvml.NVML_FI_DEV_GET_GPU_RECOVERY_ACTION: lambda gpu: gpu["health"]["recoveryAction"],
}


def answer(value: Json) -> Json:
    """The value, or NVML's refusal."""
    if isinstance(value, dict) and set(value) == {"error"}:
        raise pynvml.NVMLError(CODES[value["error"]])
    return value


class Driver:
    """In place of the module `pynvml`: its constants and structures, but these functions.

    A handle is a view of the GPU's part of the recording.
    """

    def __init__(self, machine: Json, *, fabric_forms: tuple[type, ...] | None = None) -> None:
        self.machine = machine
        self.open = 0
        self.fabric_forms = fabric_forms or (pynvml.c_nvmlGpuFabricInfo_v3_t,)

    def __getattr__(self, name: str) -> Json:
        if name in SIMPLE:
            return lambda gpu: answer(SIMPLE[name](gpu))
        if name.startswith("nvmlDevice"):
            raise AssertionError(f"the agent asks {name}, of which this driver knows nothing")
        return getattr(pynvml, name)

    def nvmlInit(self) -> None:
        if self.machine["gpus"] == {"error": "LIBRARY_NOT_FOUND"}:
            answer(self.machine["gpus"])
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:
        return len(answer(self.machine["gpus"]))

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Json:
        return MappingProxyType(answer(self.machine["gpus"][index]))

    def nvmlSystemGetDriverVersion(self) -> Json:
        return answer(self.machine["driver"])

    def nvmlSystemGetCudaDriverVersion(self) -> Json:
        return answer(self.machine["cuda"])

    def nvmlDeviceGetPciInfo(self, gpu: Json) -> Json:
        return pynvml.nvmlPciInfo_t(busId=answer(gpu["pciBusId"]).encode())

    def nvmlDeviceGetMemoryInfo(self, gpu: Json) -> Json:
        return pynvml.c_nvmlMemory_t(total=answer(gpu["memoryBytes"]))

    def nvmlDeviceGetMemoryAffinity(self, gpu: Json, words: int, scope: int) -> list[int]:
        assert scope == pynvml.NVML_AFFINITY_SCOPE_NODE
        nodes = answer(gpu["memoryAffinity"])
        return [
            sum(1 << node % 64 for node in nodes if node // 64 == word) for word in range(words)
        ]

    def nvmlDeviceGetFieldValues(self, gpu: Json, fields: list[int]) -> list[Json]:
        return [self._field(_FIELDS[field](gpu)) for field in fields]

    def _field(self, value: Json) -> Json:
        one = pynvml.c_nvmlFieldValue_t(valueType=pynvml.NVML_VALUE_TYPE_UNSIGNED_INT)
        try:
            one.value.uiVal = answer(value)
        except pynvml.NVMLError as error:
            one.nvmlReturn = error.value
        return one

    def nvmlDeviceGetNvLinkState(self, gpu: Json, link: int) -> Json:
        return answer(self._link(gpu, link)["state"])

    def nvmlDeviceGetNvLinkRemoteDeviceType(self, gpu: Json, link: int) -> Json:
        return answer(self._link(gpu, link)["remoteType"])

    def nvmlDeviceGetNvLinkRemotePciInfo(self, gpu: Json, link: int) -> Json:
        bus_id = answer(self._link(gpu, link)["remotePciBusId"])
        return pynvml.nvmlPciInfo_t(busId=bus_id.encode())

    def _link(self, gpu: Json, link: int) -> Json:
        links = answer(gpu["links"])
        return links[link] if link < len(links) else answer({"error": "INVALID_ARGUMENT"})

    def nvmlDeviceGetGpuFabricInfoV(self, gpu: Json, reference: Json) -> None:
        info = reference._obj
        if type(info) not in self.fabric_forms:
            answer({"error": "ARGUMENT_VERSION_MISMATCH"})
        fabric = answer(gpu["fabric"])
        info.state, info.status = fabric["state"], fabric["status"]
        info.cliqueId, info.healthMask = fabric["cliqueId"], fabric["healthMask"]
        if hasattr(info, "healthSummary"):
            info.healthSummary = fabric["healthSummary"]
        for at, byte in enumerate(bytes.fromhex(fabric["clusterUuid"].replace("-", ""))):
            info.clusterUuid[at] = byte

    def nvmlDeviceGetMaxMigDeviceCount(self, gpu: Json) -> int:
        answer(gpu["mig"]["instances"])
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, gpu: Json, at: int) -> Json:
        devices = gpu["mig"]["instances"]
        if at >= len(devices):
            answer({"error": "NOT_FOUND"})
        return MappingProxyType(devices[at])

    def nvmlDeviceGetAttributes(self, mig: Json) -> Json:
        return pynvml.c_nvmlDeviceAttributes(
            memorySizeMB=answer(mig["memoryMib"]), multiprocessorCount=mig["multiprocessors"]
        )

    def nvmlDeviceGetTotalEccErrors(self, gpu: Json, kind: int, counter: int) -> Json:
        assert kind == pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED
        name = {0: "eccUncorrectedVolatile", 1: "eccUncorrectedAggregate"}[counter]
        return answer(gpu["health"][name])

    def nvmlDeviceGetRetiredPages(self, gpu: Json, cause: int) -> list[int]:
        return [0] * (answer(gpu["health"]["retiredPages"]) if cause == 0 else 0)

    def nvmlDeviceGetTopologyCommonAncestor(self, a: Json, b: Json) -> Json:
        return answer(self._pair(a, b)["ancestor"])

    def nvmlDeviceGetP2PStatus(self, a: Json, b: Json, index: int) -> Json:
        return answer(self._pair(a, b)["p2p"][("read", "write", "nvlink")[index]])

    def _pair(self, a: Json, b: Json) -> Json:
        uuids = [one.get("uuid") for one in self.machine["gpus"]]
        of = [uuids.index(gpu["uuid"]) for gpu in (a, b)]
        return next(pair for pair in self.machine["pairs"] if pair["of"] == of)


SIMPLE: dict[str, Callable[[Json], Json]] = {
    "nvmlDeviceGetName": lambda gpu: gpu["name"],
    "nvmlDeviceGetUUID": lambda gpu: gpu["uuid"],
    "nvmlDeviceGetMinorNumber": lambda gpu: gpu["minor"],
    "nvmlDeviceGetArchitecture": lambda gpu: gpu["architecture"],
    "nvmlDeviceGetCudaComputeCapability": lambda gpu: gpu["computeCapability"],
    "nvmlDeviceGetNumaNodeId": lambda gpu: gpu["numaNodeId"],
    "nvmlDeviceGetMigMode": lambda gpu: gpu["mig"]["mode"],
    "nvmlDeviceGetGpuInstanceId": lambda mig: mig["gpuInstance"],
    "nvmlDeviceGetComputeInstanceId": lambda mig: mig["computeInstance"],
    "nvmlDeviceGetEccMode": lambda gpu: gpu["health"]["eccMode"],
    "nvmlDeviceGetRemappedRows": lambda gpu: gpu["health"]["remappedRows"],
    "nvmlDeviceGetRetiredPagesPendingStatus": lambda gpu: gpu["health"]["retiredPagesPending"],
}
