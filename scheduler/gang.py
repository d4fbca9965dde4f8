"""Whether a group's members that still lack a node all find room, each with what it asks.

Members are put on copies of the nodes one kind after the other, those with most GPUs first; once
with the fullest nodes first and once with the emptiest. kube-scheduler has just found room for the
pod in hand on every node that it asks about, so there is room for one there whatever we know.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scheduler.placement import WHOLE_MILLI, Bool, Int, Nodes, Shape


@dataclass(frozen=True, slots=True)
class Kind:
    """Members that ask for the same."""

    shape: Shape
    count: int
    among: Bool
    """Shape ``(R,)``: nodes that they may go to."""
    gpus: Int | None = None
    """Shape ``(R,)``: whole GPUs that one takes on each node, its claim's among them; None = those
    of its shape."""


class Room:
    """What some nodes have left, to be taken away."""

    def __init__(self, nodes: Nodes, rows: Int) -> None:
        self.cpu = nodes.cpu[rows].copy()
        self.memory = nodes.memory[rows].copy()
        self.gpus = nodes.gpus[rows].copy()
        self._models = nodes.models
        self._model = nodes.model[rows]

    def ensure_one(self, kind: Kind) -> None:
        """Leave room for at least one such member on each of its nodes."""
        at = np.flatnonzero(kind.among)
        self.cpu[at] = np.maximum(self.cpu[at], kind.shape.cpu_milli)
        self.memory[at] = np.maximum(self.memory[at], kind.shape.memory_mib)
        if kind.shape.gpus == 0 and kind.gpus is None:
            return
        if kind.shape.is_share:
            return  # of shares kube-scheduler knows nothing
        wanted = np.full(len(at), kind.shape.gpus) if kind.gpus is None else kind.gpus[at].clip(0)
        gpus = self.gpus[at]
        is_free = gpus == WHOLE_MILLI
        missing = (wanted - is_free.sum(axis=1)).clip(0)
        others = np.cumsum(~is_free & (gpus >= 0), axis=1)
        gpus[~is_free & (gpus >= 0) & (others <= missing[:, None])] = WHOLE_MILLI
        self.gpus[at] = gpus

    def take(self, kind: Kind, *, fullest_first: bool) -> int:
        """Put members on the nodes; how many found room."""
        each = np.full(len(self.cpu), kind.shape.gpus) if kind.gpus is None else kind.gpus
        fits = self._places(kind.shape, each)
        if kind.shape.models:
            allowed = np.array([one in kind.shape.models for one in self._models], np.bool_)
            fits = np.where(allowed[self._model], fits, 0)
        fits = np.where(kind.among & (each >= 0), fits, 0)
        idle = self.gpus.clip(0).sum(axis=1) * (1 if fullest_first else -1)
        order = np.argsort(idle, kind="stable")
        before = np.cumsum(fits[order]) - fits[order]
        taken = np.zeros_like(fits)
        taken[order] = np.minimum(fits[order], (kind.count - before).clip(0))
        self.cpu -= taken * kind.shape.cpu_milli
        self.memory -= taken * kind.shape.memory_mib
        if kind.shape.is_share:
            each_gpu = self.gpus.clip(0) // kind.shape.gpu_milli
            earlier = np.cumsum(each_gpu, axis=1) - each_gpu
            self.gpus -= (
                np.minimum(each_gpu, (taken[:, None] - earlier).clip(0)) * kind.shape.gpu_milli
            )
        else:
            is_free = self.gpus == WHOLE_MILLI
            wanted = (taken * each.clip(0))[:, None]
            self.gpus[is_free & (np.cumsum(is_free, axis=1) <= wanted)] = 0
        return int(taken.sum())

    def _places(self, shape: Shape, each: Int) -> Int:
        """How many such members each node has room for."""
        most = np.full(len(self.cpu), 2**31, np.int64)
        for left, asked in ((self.cpu, shape.cpu_milli), (self.memory, shape.memory_mib)):
            if asked:
                most = np.minimum(most, left // asked)
        if shape.is_share:
            by_gpus = (self.gpus.clip(0) // shape.gpu_milli).sum(axis=1)
        else:
            free = (self.gpus == WHOLE_MILLI).sum(axis=1)
            by_gpus = np.where(each > 0, free // np.maximum(each, 1), most)
        places: Int = np.minimum(most, by_gpus).clip(0)
        return places


def placed(nodes: Nodes, rows: Int, own: Kind, others: Sequence[Kind]) -> int:
    """How many members find room at once on the nodes `rows`; those of `own` have at least one."""
    kinds = sorted([own, *others], key=_size, reverse=True)
    best = 0
    for fullest_first in (True, False):
        room = Room(nodes, rows)
        room.ensure_one(own)
        best = max(best, sum(room.take(kind, fullest_first=fullest_first) for kind in kinds))
    return best


def _size(kind: Kind) -> tuple[int, int]:
    gpus = kind.shape.total_milli if kind.gpus is None else WHOLE_MILLI * int(kind.gpus.max())
    return gpus, kind.shape.cpu_milli
