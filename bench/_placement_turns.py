"""What must hold of any rule that places each pod which finds room, while pods only arrive.

Nothing is given back, so what no longer fits never fits again: of each shape the first arrivals
are placed and none after them. And a shape that fits wherever another one fits lasts as long as
that one at least.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from scheduler.placement import Float, Int, Shape

_TURNS = 12
_LAST = 0.006
"""The last turn's part of the arrivals. Turns get shorter towards the end, where room runs out."""


def turns(arrivals: int) -> Int:
    """The arrival with which each turn begins, from 0, and at the end how many there are."""
    left = _LAST ** (np.arange(_TURNS) / (_TURNS - 1))
    starts: Int = np.append(arrivals * (1 - left), arrivals).round().astype(np.int64)
    return np.unique(starts)


def arrivals_by_turn(arriving: Sequence[Shape], shapes: Sequence[Shape], starts: Int) -> Float:
    """How many pods of each shape come in each turn, shape ``(S, T)``."""
    row = {shape: index for index, shape in enumerate(shapes)}
    counts = np.zeros((len(shapes), len(starts) - 1))
    for turn, (first, end) in enumerate(pairwise(starts)):
        for shape in arriving[first:end]:
            counts[row[shape], turn] += 1
    return counts


def fits_where(one: Shape, other: Shape) -> bool:
    """Whether `one` fits on every node on which `other` does, whatever else is there."""
    if one.cpu_milli > other.cpu_milli or one.memory_mib > other.memory_mib:
        return False
    if one.gpus == 0:
        return True
    if one.models and not (other.models and other.models <= one.models):
        return False
    if one.is_share:
        # A whole GPU is larger than any share.
        return other.gpu_milli >= one.gpu_milli
    return not other.is_share and other.gpus >= one.gpus


def lasting(shapes: Sequence[Shape]) -> list[tuple[int, int]]:
    """Pairs of different shapes of which the first lasts as long as the second.

    Pairs that follow from others are left out.
    """
    longer = np.array([[fits_where(one, other) for other in shapes] for one in shapes], np.int64)
    np.fill_diagonal(longer, 0)
    kept = (longer > 0) & (longer @ longer == 0)
    return [(int(one), int(other)) for one, other in np.argwhere(kept)]
