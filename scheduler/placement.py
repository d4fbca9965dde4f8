"""What a pod asks for and what nodes have left: the arrays every placement rule works on.

Amounts are integers in the units of the scheduler's world: CPU in thousandths of a core, memory in
MiB, a GPU in thousandths. A share of a GPU is asked of one GPU; more than one GPU is asked whole.
Rows keep the order in which the nodes were given, and every rule breaks ties by it.
"""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scheduler.indices import Indices

WHOLE_MILLI = 1000
GPUS_MAX = 16
"""GPUs a node may have; more than any machine on the market."""
NO_GPU = -1
"""In place of what is left of a GPU that a node does not have."""
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
    """GPU model; empty without GPUs, or where it is not known."""
    gpus_milli: tuple[int, ...] = ()
    """Left of each of its GPUs, by index."""


_NOTHING = Node(name="", cpu_milli=-1, memory_mib=-1)
"""A row without a node: no pod fits, not even one that asks for nothing."""
_ROWS_SPARE_MIN = 16
_ROWS_SPARE_RATIO = 8


class Nodes:
    """What all nodes have left, one row a node; placing, releasing and putting change it.

    A row keeps its place for as long as its node is there, and is given to another one after that.

    Attributes:
        names: of each row; empty where there is no node.
        cpu: shape ``(N,)``, milli left.
        memory: shape ``(N,)``, MiB left.
        gpus: shape ``(N, G)``, milli left of each GPU; `NO_GPU` where a node has fewer than G.
        free: shape ``(N,)``, GPUs that are not in use.
        most: shape ``(N,)``, milli left of the GPU with most left; 0 without GPUs.
        idle: shape ``(N,)``, milli left over all GPUs.
        model: shape ``(N,)``, index into `models`.
        version: shape ``(N,)``, counts the changes of each row.
        changes: of all rows.
        came_milli: GPU that pods took of late, `left_milli` what pods that ended gave back; both
            fade as pods come, within about what all nodes have.
    """

    def __init__(self, nodes: Iterable[Node]) -> None:
        rows = list(nodes)
        self.names: list[str] = []
        self._models = Indices(sorted({one.model for one in rows} | {""}))
        slots = max((len(node.gpus_milli) for node in rows), default=0)
        self.cpu: Int = np.empty(0, np.int64)
        self.memory: Int = np.empty(0, np.int64)
        self.gpus: Int = np.full((0, max(slots, 1)), NO_GPU, np.int64)
        self.free: Int = np.empty(0, np.int64)
        self.most: Int = np.empty(0, np.int64)
        self.idle: Int = np.empty(0, np.int64)
        self.model: Int = np.empty(0, np.int64)
        self.version: Int = np.empty(0, np.int64)
        self.changes = 0
        self._spare: list[int] = []
        self.came_milli = self.left_milli = 0.0
        self._extend(len(rows))
        for row, node in enumerate(rows):
            self.put(row, node)
        self.version[:] = 0

    @property
    def models(self) -> tuple[str, ...]:
        """GPU models in the order of their index; one that no node has may be given to another."""
        return self._models.names

    def add(self, node: Node) -> int:
        """Give `node` a row of its own; which."""
        if not self._spare:
            before = len(self)
            self._extend(max(_ROWS_SPARE_MIN, before // _ROWS_SPARE_RATIO))
            self._spare = list(range(before, len(self)))
        row = heapq.heappop(self._spare)
        self.put(row, node)
        return row

    def put(self, row: int, node: Node) -> None:
        """Make `row` what is left of `node`.

        Raises:
            ValueError: the node has more GPUs than can be told apart.
        """
        count, slots = len(node.gpus_milli), self.gpus.shape[1]
        if count > GPUS_MAX:
            message = f"{node.name} has {count} GPUs; at most {GPUS_MAX} can be told apart"
            raise ValueError(message)
        if count > slots:
            self.gpus = np.pad(self.gpus, ((0, 0), (0, count - slots)), constant_values=NO_GPU)
        self.names[row] = node.name
        self.cpu[row], self.memory[row] = node.cpu_milli, node.memory_mib
        before = int(self.model[row])
        self.model[row] = self._models.take(node.model)
        self._models.leave(before)
        self.gpus[row] = NO_GPU
        self.gpus[row, :count] = node.gpus_milli
        self._counted(row)

    def drop(self, row: int) -> None:
        """The node of `row` is gone."""
        self.put(row, _NOTHING)
        heapq.heappush(self._spare, row)

    def _extend(self, count: int) -> None:
        before = len(self)
        self.names += [""] * count
        self.gpus = np.pad(self.gpus, ((0, count), (0, 0)), constant_values=NO_GPU)
        for name in ("cpu", "memory", "free", "most", "idle", "model", "version"):
            setattr(self, name, np.pad(getattr(self, name), (0, count)))
        self.cpu[before:] = self.memory[before:] = -1
        if count:
            self.model[before:] = self._models.take("", count)

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

    def untold(self) -> Bool:
        """Which nodes have GPUs of a model that is not known, shape ``(N,)``."""
        no_name = np.array([not model for model in self.models], np.bool_)
        untold: Bool = no_name[self.model] & (self.gpus[:, 0] != NO_GPU)
        return untold

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

    def came(self, shape: Shape) -> None:
        """A pod of this shape has come to stay."""
        keep = 1 - min(shape.total_milli / (WHOLE_MILLI * max(self._gpus, 1)), 1.0)
        self.came_milli = self.came_milli * keep + shape.total_milli
        self.left_milli *= keep

    def left(self, shape: Shape) -> None:
        """A pod that had come has ended."""
        self.left_milli += shape.total_milli

    @property
    def turnover(self) -> float:
        """How much of the GPU that pods take others have left: 0 = filling up, 1 = in balance."""
        return min(self.left_milli / self.came_milli, 1.0) if self.came_milli else 0.0

    @property
    def _gpus(self) -> int:
        return int((self.gpus != NO_GPU).sum())

    def _change(self, row: int, shape: Shape, devices: Sequence[int], *, sign: int) -> None:
        self.cpu[row] += sign * shape.cpu_milli
        self.memory[row] += sign * shape.memory_mib
        left = self.gpus[row]
        for device in devices:
            left[device] += sign * shape.gpu_milli
        self._counted(row)

    def _counted(self, row: int) -> None:
        left = self.gpus[row]
        self.free[row] = np.count_nonzero(left == WHOLE_MILLI)
        self.most[row] = max(int(left.max()), 0)
        self.idle[row] = int(left[left > 0].sum())
        self.version[row] += 1
        self.changes += 1
