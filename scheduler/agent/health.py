"""Health problems of a GPU, from the faults that its driver has recorded.

XID errors are not included: the driver reports them only to a process that keeps NVML open. DCGM
does (`DCGM_FI_DEV_XID_ERRORS`).
"""

from collections.abc import Iterator
from typing import Final

from scheduler.agent.recording import Fabric, Gpu, Health

_RECOVERY: Final = {
    1: "reset the GPU",
    2: "reboot the node",
    3: "drain peer-to-peer work",
    4: "drain, then reset the GPU",
    5: "recover the IMEX domain",
    6: "reset its bus",
    7: "reboot the machine",
}
_DEGRADED: Final = 1
"""Lowest two bits of the fabric's health mask: bandwidth is degraded."""
_FABRIC: Final = {2: "its NVLink fabric is unhealthy", 3: "its NVLink fabric has limited capacity"}


def health_problems(gpu: Gpu) -> tuple[str, ...]:
    """Each problem with its remedy; empty where none is known."""
    return (*_recorded(gpu.health), *_of_fabric(gpu.fabric))


def is_known(health: Health) -> bool:
    """Whether the driver answered enough for an empty list to mean a healthy GPU."""
    return any(
        one is not None
        for one in (health.recovery_action, health.remapped_rows, health.retired_pages_pending)
    )


def _recorded(health: Health) -> Iterator[str]:
    if health.recovery_action:
        action = _RECOVERY.get(health.recovery_action, f"action {health.recovery_action}")
        yield f"the driver asks: {action}"
    if health.remapped_rows is not None:
        _, _, pending, failed = health.remapped_rows
        if failed:
            yield "a memory row could not be remapped: replace the GPU"
        elif pending:
            yield "memory rows wait to be remapped: reset the GPU"
    if health.retired_pages_pending:
        yield "memory pages wait to be retired: reboot the node"


def _of_fabric(fabric: Fabric | None) -> Iterator[str]:
    if fabric is None:
        return
    if fabric.health_summary in _FABRIC:
        yield _FABRIC[fabric.health_summary]
    if fabric.health_mask & 3 == _DEGRADED:
        yield "its NVLink bandwidth is degraded"
