"""Reads this machine's GPUs with NVML, as plain JSON. No other module calls the driver.

Answers are kept as they came, and a refusal as `{"error": "NOT_SUPPORTED"}`. The result is a
recording (recording.py), the same whether it is reported or written to a file. The library is
opened for each reading and closed afterwards, because the driver cannot be upgraded while a process
keeps it open. XID events need an open library and are left to DCGM. The module imports only the
standard library and pynvml, so the file can be copied to any machine and run there.
"""

import ctypes
import uuid
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pynvml as nvml

RECORDING = 1
"""Version of what `read` returns."""

Json = Any
Handle = Any

_ERRORS = {
    value: name.removeprefix("NVML_ERROR_")
    for name, value in vars(nvml).items()
    if name.startswith("NVML_ERROR_") and isinstance(value, int)
}
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_FABRIC_FORMS = (nvml.c_nvmlGpuFabricInfo_v3_t, nvml.c_nvmlGpuFabricInfo_v2_t)
_TOO_OLD = {"ARGUMENT_VERSION_MISMATCH", "FUNCTION_NOT_FOUND", "INVALID_ARGUMENT"}
_VALUES = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")
"""Members of a field's value, by nvmlValueType_t."""
_AFFINITY_WORDS = 16
_WORD_BITS = 8 * ctypes.sizeof(ctypes.c_ulong)


class NvmlMachine:
    """The machine that this process runs on."""

    def read(self) -> Json:
        """One recording; what NVML refuses is recorded as a refusal and never raised."""
        opened = _asked(nvml.nvmlInit)
        if opened is not None:
            return _machine(opened)
        try:
            return _read()
        finally:
            _asked(nvml.nvmlShutdown)


def _machine(gpus: Json, **more: Json) -> Json:
    head = {"recording": RECORDING, "source": "recorded", "bootId": _boot_id()}
    return {**head, "gpus": gpus, **more}


def _read() -> Json:
    count = _asked(nvml.nvmlDeviceGetCount)
    if isinstance(count, dict):
        return _machine(count)
    handles = [_asked(nvml.nvmlDeviceGetHandleByIndex, index) for index in range(count)]
    reached = {index: one for index, one in enumerate(handles) if not isinstance(one, dict)}
    return _machine(
        [_gpu(one) if index in reached else one for index, one in enumerate(handles)],
        driver=_asked(lambda: _text(nvml.nvmlSystemGetDriverVersion())),
        cuda=_asked(nvml.nvmlSystemGetCudaDriverVersion),
        pairs=[
            {"of": [a, b], **_pair(reached[a], reached[b])} for a, b in combinations(reached, 2)
        ],
    )


def _gpu(gpu: Handle) -> Json:
    return {
        "name": _asked(lambda: _text(nvml.nvmlDeviceGetName(gpu))),
        "uuid": _asked(lambda: _text(nvml.nvmlDeviceGetUUID(gpu))),
        "minor": _asked(nvml.nvmlDeviceGetMinorNumber, gpu),
        "pciBusId": _asked(lambda: _text(nvml.nvmlDeviceGetPciInfo(gpu).busId)),
        "architecture": _asked(nvml.nvmlDeviceGetArchitecture, gpu),
        "computeCapability": _asked(lambda: list(nvml.nvmlDeviceGetCudaComputeCapability(gpu))),
        "memoryBytes": _asked(lambda: int(nvml.nvmlDeviceGetMemoryInfo(gpu).total)),
        "memoryAffinity": _asked(_memory_affinity, gpu),
        "numaNodeId": _asked(nvml.nvmlDeviceGetNumaNodeId, gpu),
        "linkMbps": _asked(_field, gpu, nvml.NVML_FI_DEV_NVLINK_SPEED_MBPS_COMMON),
        "links": _links(gpu),
        "fabric": _fabric(gpu),
        "mig": {
            "mode": _asked(lambda: list(nvml.nvmlDeviceGetMigMode(gpu))),
            "instances": _instances(gpu),
        },
        "health": {
            "eccMode": _asked(lambda: list(nvml.nvmlDeviceGetEccMode(gpu))),
            "eccUncorrectedVolatile": _asked(_uncorrected, gpu, nvml.NVML_VOLATILE_ECC),
            "eccUncorrectedAggregate": _asked(_uncorrected, gpu, nvml.NVML_AGGREGATE_ECC),
            "remappedRows": _asked(lambda: list(nvml.nvmlDeviceGetRemappedRows(gpu))),
            "retiredPages": _asked(_retired_pages, gpu),
            "retiredPagesPending": _asked(nvml.nvmlDeviceGetRetiredPagesPendingStatus, gpu),
            "recoveryAction": _asked(_field, gpu, nvml.NVML_FI_DEV_GET_GPU_RECOVERY_ACTION),
        },
    }


def _pair(a: Handle, b: Handle) -> Json:
    # NVML_P2P_CAPS_INDEX_READ is a tuple in pynvml, by a stray comma.
    capabilities = {"read": 0, "write": 1, "nvlink": nvml.NVML_P2P_CAPS_INDEX_NVLINK}
    return {
        "ancestor": _asked(nvml.nvmlDeviceGetTopologyCommonAncestor, a, b),
        "p2p": {
            name: _asked(nvml.nvmlDeviceGetP2PStatus, a, b, index)
            for name, index in capabilities.items()
        },
    }


def _links(gpu: Handle) -> Json:
    first = _asked(nvml.nvmlDeviceGetNvLinkState, gpu, 0)
    return first if isinstance(first, dict) else list(_each_link(gpu))


def _each_link(gpu: Handle) -> Iterator[Json]:
    for link in range(nvml.NVML_NVLINK_MAX_LINKS):
        state = _asked(nvml.nvmlDeviceGetNvLinkState, gpu, link)
        if state == {"error": "INVALID_ARGUMENT"}:  # the GPU has no more
            return
        found = {"link": link, "state": state}
        if state == nvml.NVML_FEATURE_ENABLED:
            found["remoteType"] = _asked(nvml.nvmlDeviceGetNvLinkRemoteDeviceType, gpu, link)
            found["remotePciBusId"] = _asked(_remote_pci, gpu, link)
        yield found


def _remote_pci(gpu: Handle, link: int) -> str:
    return _text(nvml.nvmlDeviceGetNvLinkRemotePciInfo(gpu, link).busId)


def _fabric(gpu: Handle) -> Json:
    """In the newest structure that the driver knows."""
    answer: Json = None
    for form in _FABRIC_FORMS:
        info = form()
        answer = _asked(nvml.nvmlDeviceGetGpuFabricInfoV, gpu, ctypes.byref(info))
        if not isinstance(answer, dict):
            return {
                "state": int(info.state),
                "status": int(info.status),
                "clusterUuid": str(uuid.UUID(bytes=bytes(info.clusterUuid))),
                "cliqueId": int(info.cliqueId),
                "healthMask": int(info.healthMask),
                "healthSummary": int(getattr(info, "healthSummary", 0)),
            }
        if answer["error"] not in _TOO_OLD:
            break
    return answer


def _instances(gpu: Handle) -> Json:
    count = _asked(nvml.nvmlDeviceGetMaxMigDeviceCount, gpu)
    if isinstance(count, dict):
        return count
    found = (_asked(nvml.nvmlDeviceGetMigDeviceHandleByIndex, gpu, at) for at in range(count))
    return [_instance(one) for one in found if not isinstance(one, dict)]


def _instance(mig: Handle) -> Json:
    attributes = _asked(nvml.nvmlDeviceGetAttributes, mig)
    refused = isinstance(attributes, dict)
    return {
        "uuid": _asked(lambda: _text(nvml.nvmlDeviceGetUUID(mig))),
        "name": _asked(lambda: _text(nvml.nvmlDeviceGetName(mig))),
        "gpuInstance": _asked(nvml.nvmlDeviceGetGpuInstanceId, mig),
        "computeInstance": _asked(nvml.nvmlDeviceGetComputeInstanceId, mig),
        "memoryMib": attributes if refused else int(attributes.memorySizeMB),
        "multiprocessors": attributes if refused else int(attributes.multiprocessorCount),
    }


def _memory_affinity(gpu: Handle) -> list[int]:
    """The host's NUMA nodes nearest to the GPU."""
    words = nvml.nvmlDeviceGetMemoryAffinity(gpu, _AFFINITY_WORDS, nvml.NVML_AFFINITY_SCOPE_NODE)
    return [
        at * _WORD_BITS + bit
        for at, word in enumerate(words)
        for bit in range(_WORD_BITS)
        if int(word) >> bit & 1
    ]


def _uncorrected(gpu: Handle, counter: int) -> int:
    kind = nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED
    return int(nvml.nvmlDeviceGetTotalEccErrors(gpu, kind, counter))


def _retired_pages(gpu: Handle) -> int:
    return sum(
        len(nvml.nvmlDeviceGetRetiredPages(gpu, cause))
        for cause in range(nvml.NVML_PAGE_RETIREMENT_CAUSE_COUNT)
    )


def _field(gpu: Handle, field: int) -> int:
    (answer,) = nvml.nvmlDeviceGetFieldValues(gpu, [field])
    if answer.nvmlReturn != nvml.NVML_SUCCESS:
        raise nvml.NVMLError(answer.nvmlReturn)
    return int(getattr(answer.value, _VALUES[answer.valueType]))


def _asked(question: Callable[..., Json], *arguments: Json) -> Json:
    try:
        return question(*arguments)
    except nvml.NVMLError as error:
        return {"error": _ERRORS.get(error.value, str(error.value))}


def _boot_id() -> str | None:
    """Of the running boot, as the kubelet reports it; None where the kernel does not say."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return None


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
