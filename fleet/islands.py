"""Fragmentation of a node's NVLink islands.

A free GPU is fragmented when its island is partly in use: a pod that wants the whole island cannot
have it. A device plugin does not tell which GPUs are in use: its node is counted as if the islands
were filled one after the other, which is the least fragmentation that is possible.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fleet.catalogue import Generation

_WHOLE = 1.0 - 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragmentation:
    """The islands of a node."""

    islands: int
    whole: int
    """Of which every GPU is free."""
    fragmented: float
    """Free GPUs in islands that are partly in use."""


Islands = tuple[tuple[int, ...], ...]
"""The GPUs of each, by index."""


def partition(
    gpus: int, reported: Sequence[int | None], generation: Generation | None, joined: frozenset[str]
) -> Islands | None:
    """The islands of a node; None = they are not known.

    Args:
        gpus: of the node.
        reported: the island of each, by the node's agent; of other than `gpus` it says nothing.
        generation: of all of them.
        joined: generations whose boards join all their GPUs.
    """
    if len(reported) == gpus and all(island is not None for island in reported):
        found: dict[int | None, list[int]] = {}
        for index, island in enumerate(reported):
            found.setdefault(island, []).append(index)
        return tuple(map(tuple, found.values()))
    if generation is None:
        return None
    if generation.name in joined:
        return (tuple(range(gpus)),)
    if generation.fabric_gb_s == 0 or gpus == 1:
        return tuple((index,) for index in range(gpus))
    return None


def fragmentation_of(islands: Islands, free: Sequence[float]) -> Fragmentation:
    """The fragmentation of the free GPUs.

    Args:
        islands: GPUs of each, by index.
        free: the part of each GPU that new pods can have, 0 to 1.
    """
    room = [(len(island), sum(free[gpu] for gpu in island)) for island in islands]
    whole = [size for size, left in room if left >= size * _WHOLE]
    return Fragmentation(
        islands=len(islands),
        whole=len(whole),
        fragmented=sum(left for size, left in room if size > 1 and left < size * _WHOLE),
    )


def filled(gpus: int, free: float) -> list[float]:
    """The free part of each GPU when those in use come first."""
    taken = gpus - free
    return [min(1.0, max(0.0, index + 1 - taken)) for index in range(gpus)]
