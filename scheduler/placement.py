"""What a pod asks for and what nodes have left: the arrays every placement rule works on.

Amounts are integers in the units of the scheduler's world: CPU in thousandths of a core, memory in
MiB, a GPU in thousandths. A share of a GPU is asked of one GPU; more than one GPU is asked whole.
Rows keep the order in which the nodes were given, and every rule breaks ties by it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WHOLE_MILLI = 1000
GPUS_MAX = 16
"""GPUs a node may have; more than any machine on the market."""
ANY_MODEL: frozenset[str] = frozenset()

Int = NDArray[np.int64]
Bool = NDArray[np.bool_]
Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What one pod asks of one node.

    Raises:
        ValueError: an amount is out of range, or a share is asked of several GPUs.
    """

    cpu_milli: int
    memory_mib: int
    gpus: int = 0
    gpu_milli: int = 0
    """Of each GPU asked for; below 1000 only with `gpus` = 1."""
    models: frozenset[str] = ANY_MODEL
    """GPU models that will do; empty = any."""

    def __post_init__(self) -> None:
        if self.cpu_milli < 0 or self.memory_mib < 0 or not 0 <= self.gpus <= GPUS_MAX:
            raise ValueError(f"{self}: amounts are from 0, GPUs at most {GPUS_MAX}")
        if self.gpus == 0 and self.gpu_milli:
            raise ValueError(f"{self}: gpu_milli of no GPU")
        if self.gpus and not 0 < self.gpu_milli <= WHOLE_MILLI:
            raise ValueError(f"{self}: gpu_milli is from 1 to {WHOLE_MILLI}")
        if self.gpus > 1 and self.gpu_milli != WHOLE_MILLI:
            raise ValueError(f"{self}: several GPUs are asked whole")

    @property
    def is_share(self) -> bool:
        return self.gpus == 1 and self.gpu_milli < WHOLE_MILLI

    @property
    def total_milli(self) -> int:
        """GPU asked for in all."""
        return self.gpus * self.gpu_milli


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What one node has left."""

    name: str
    cpu_milli: int
    memory_mib: int
    model: str = ""
    """GPU model; empty without GPUs."""
    gpus_milli: tuple[int, ...] = ()
    """Left of each of its GPUs, by index."""


class Nodes:
    """What all nodes have left, one row a node; placing and releasing change it.

    Attributes:
        cpu: shape ``(N,)``, milli left.
        memory: shape ``(N,)``, MiB left.
        gpus: shape ``(N, G)``, milli left of each GPU; ``-1`` where a node has fewer than G.
        free: shape ``(N,)``, GPUs nobody uses.
        most: shape ``(N,)``, milli left of the GPU with most left; 0 without GPUs.
        idle: shape ``(N,)``, milli left over all GPUs.
        model: shape ``(N,)``, index into `models`.
        version: shape ``(N,)``, counts the changes of each row.
    """

    def __init__(self, nodes: Iterable[Node]) -> None:
        rows = list(nodes)
        self.names = tuple(node.name for node in rows)
        self.models = tuple(sorted({node.model for node in rows}))
        slots = max((len(node.gpus_milli) for node in rows), default=0)
        if slots > GPUS_MAX:
            raise ValueError(f"a node has {slots} GPUs; at most {GPUS_MAX} can be told apart")
        self.cpu: Int = np.array([node.cpu_milli for node in rows], np.int64)
        self.memory: Int = np.array([node.memory_mib for node in rows], np.int64)
        self.gpus: Int = np.full((len(rows), max(slots, 1)), -1, np.int64)
        for row, node in enumerate(rows):
            self.gpus[row, : len(node.gpus_milli)] = node.gpus_milli
        known = {model: index for index, model in enumerate(self.models)}
        self.model: Int = np.array([known[node.model] for node in rows], np.int64)
        self.free: Int = (self.gpus == WHOLE_MILLI).sum(axis=1)
        self.most: Int = self.gpus.max(axis=1).clip(0)
        self.idle: Int = self.gpus.clip(0).sum(axis=1)
        self.version: Int = np.zeros(len(rows), np.int64)

    def __len__(self) -> int:
        return len(self.names)

    def fits(self, shape: Shape) -> Bool:
        """Which nodes can take the pod now, shape ``(N,)``."""
        fits: Bool = (self.cpu >= shape.cpu_milli) & (self.memory >= shape.memory_mib)
        if shape.gpus == 0:
            return fits
        if shape.models:
            fits &= self.allows(shape.models)[self.model]
        if shape.is_share:
            return fits & (self.most >= shape.gpu_milli)
        return fits & (self.free >= shape.gpus)

    def allows(self, models: frozenset[str]) -> Bool:
        """Which of `self.models` will do, shape ``(M,)``."""
        return np.array([not models or model in models for model in self.models], np.bool_)

    def devices(self, row: int, shape: Shape, remainder_milli: int | None = None) -> list[int]:
        """The GPUs of node `row` that the pod gets: of those that are enough the least left.

        Args:
            remainder_milli: what is left of the GPU to share; None = the least that is enough.
        """
        if shape.gpus == 0:
            return []
        left = self.gpus[row]
        if shape.is_share:
            wanted = left >= shape.gpu_milli if remainder_milli is None else left == remainder_milli
            return [int(np.where(wanted, left, WHOLE_MILLI + 1).argmin())]
        return [int(slot) for slot in np.flatnonzero(left == WHOLE_MILLI)[: shape.gpus]]

    def place(self, row: int, shape: Shape, devices: Sequence[int]) -> None:
        """Take what the pod asks for from node `row`, GPU from each of `devices`."""
        self._change(row, shape, devices, sign=-1)

    def release(self, row: int, shape: Shape, devices: Sequence[int]) -> None:
        """Give back what `place` took."""
        self._change(row, shape, devices, sign=1)

    def _change(self, row: int, shape: Shape, devices: Sequence[int], *, sign: int) -> None:
        self.cpu[row] += sign * shape.cpu_milli
        self.memory[row] += sign * shape.memory_mib
        left = self.gpus[row]
        for device in devices:
            left[device] += sign * shape.gpu_milli
        self.free[row] = np.count_nonzero(left == WHOLE_MILLI)
        self.most[row] = max(int(left.max()), 0)
        self.idle[row] = int(left[left > 0].sum())
        self.version[row] += 1
