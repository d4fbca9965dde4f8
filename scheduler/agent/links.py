"""Which GPUs NVLink connects, and the resulting islands; unknown where the answers do not tell.

Two sources are compared: the links (where each ends) and peer access (whether the driver lets two
GPUs reach each other over NVLink). Links that are up do not connect GPUs if the driver refuses to
use them. Links that a virtual machine hides connect GPUs if the driver uses them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fleet.cluster.report import Way
from scheduler.agent.recording import Gpu, Link, Pair, Refusal

PEER_OK: Final = 0
PEER_UNKNOWN: Final = 6
"""NVML_P2P_STATUS; every other value means no access."""
_UP: Final = 1
_TO_GPU: Final = 0
_TO_SWITCH: Final = 2
_FABRIC_STARTING: Final = frozenset({1, 2})


@dataclass(frozen=True, slots=True)
class Joint:
    """NVLink between two GPUs."""

    way: Way | None
    """None = not known."""
    links: int | None
    """How many; None = not known."""


_UNKNOWN: Final = Joint(None, None)
_NONE: Final = Joint(Way.NONE, 0)


def joint(a: Gpu, b: Gpu, pair: Pair | None) -> Joint:
    """The NVLink connection between two GPUs of one machine."""
    if _is_partitioned(a) or _is_partitioned(b):
        return _NONE  # MIG devices cannot reach another GPU, whatever links the board has
    by_links = _by_links(a, b)
    peers = _peers(pair)
    starting = any(gpu.fabric and gpu.fabric.state in _FABRIC_STARTING for gpu in (a, b))
    if peers:
        return by_links if by_links.way not in {None, Way.NONE} else Joint(Way.HIDDEN, None)
    if by_links.way is Way.SWITCH and starting:
        return _UNKNOWN  # after boot, until the fabric manager has finished
    return by_links if peers is None else _NONE


def islands(gpus: Sequence[Gpu | Refusal], joints: Mapping[tuple[int, int], Joint]) -> list[int]:
    """The island of each GPU, numbered in the order of their first GPU.

    An island is a connected component over NVLink. A GPU that does not answer is in none: -1.

    Args:
        gpus: of the machine, by index.
        joints: of each pair of those that answer, the lower index first.

    Returns:
        One number a GPU; empty where it is not known whether two of the islands are one.
    """
    of = list(range(len(gpus)))
    for (a, b), one in joints.items():
        if one.way not in {None, Way.NONE}:
            low, high = sorted((of[a], of[b]))
            of = [low if island == high else island for island in of]
    answering = [index for index, gpu in enumerate(gpus) if isinstance(gpu, Gpu)]
    for at, a in enumerate(answering):
        for b in answering[at + 1 :]:
            if of[a] != of[b] and joints.get((a, b), _UNKNOWN).way is None:
                return []
    number = {island: at for at, island in enumerate(dict.fromkeys(of[gpu] for gpu in answering))}
    return [number[of[index]] if isinstance(gpu, Gpu) else -1 for index, gpu in enumerate(gpus)]


def links_up(gpu: Gpu) -> int | None:
    """How many of its links are up; None if of one or more it is not known."""
    if gpu.links is None or any(link.state is None for link in gpu.links):
        return None
    return sum(link.state == _UP for link in gpu.links)


def _is_partitioned(gpu: Gpu) -> bool:
    return gpu.mig.mode is not None and gpu.mig.mode[0] == 1


def _peers(pair: Pair | None) -> bool | None:
    status = pair.p2p.nvlink if pair is not None else None
    return None if status is None or status == PEER_UNKNOWN else status == PEER_OK


def _by_links(a: Gpu, b: Gpu) -> Joint:
    """The connection as the links show it."""
    direct = max(_ends_at(a, b), _ends_at(b, a))
    if direct:
        return Joint(Way.DIRECT, direct if _is_whole(a) or _is_whole(b) else None)
    switched = min(_to_switch(a), _to_switch(b))
    if switched:
        return Joint(Way.SWITCH, switched if _is_whole(a) and _is_whole(b) else None)
    return _NONE if _reaches_not(a, b) or _reaches_not(b, a) else _UNKNOWN


def _reaches_not(gpu: Gpu, other: Gpu) -> bool:
    """Whether all its links are known and none can end at the other GPU."""
    ends = {link.remote_type for link in _up(gpu)}
    may_end_there = _TO_GPU in ends and other.pci_bus_id is None
    return _is_whole(gpu) and _TO_SWITCH not in ends and not may_end_there


def _ends_at(gpu: Gpu, other: Gpu) -> int:
    address = _address(other.pci_bus_id)
    return sum(
        link.remote_type in {_TO_GPU, None} and _address(link.remote_pci_bus_id) == address
        for link in _up(gpu)
        if address is not None
    )


def _to_switch(gpu: Gpu) -> int:
    return sum(link.remote_type == _TO_SWITCH for link in _up(gpu))


def _up(gpu: Gpu) -> list[Link]:
    return [link for link in gpu.links or () if link.state == _UP]


def _is_whole(gpu: Gpu) -> bool:
    return links_up(gpu) is not None and not any(
        link.remote_type is None or (link.remote_type == _TO_GPU and not link.remote_pci_bus_id)
        for link in _up(gpu)
    )


def _address(bus_id: str | None) -> str | None:
    """Without leading zeros of the domain: NVML writes it with 4 digits or with 8."""
    return bus_id.lower().lstrip("0") if bus_id else None
