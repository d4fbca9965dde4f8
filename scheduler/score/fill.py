"""What a node is still worth for the pods that are expected: the value that placements compare.

    V(node) = mean over R sequences of expected pods: offer them one after the other to this node
              alone, each is taken if it fits; sum of the GPU milli of those taken, and of
              `CPU_GAIN_MILLI` for each core of those without GPU

The sequences are drawn once for a mix and are the same for every node and pod, so that their noise
cancels in a difference of values. All states times all sequences go through the pods together, as
lanes of small integers. A share goes to the GPU with least left that is enough: one subtraction,
whose wrap-around puts GPUs with too little last, and one minimum.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from scheduler.placement import WHOLE_MILLI, Bool, Float, Int, Shape

CPU_GAIN_MILLI = 5.0
"""Worth of a core given to a pod without GPU: enough to break ties, too little to cost a GPU."""
_STATES = 256
"""States worked on together: so many lanes stay in the processor's cache."""
_SLOT = 32
"""A GPU's lane holds its remainder times this plus its slot, so that no two are equal."""
_NO_SHARE = 33_000
"""What a pod that wants no share subtracts: more than any lane holds, so that none is enough."""
_NO_GPU = np.uint16(65_535)
_WORD_BITS = 62
_EVERY_BIT = 2**_WORD_BITS - 1
_NEVER = 100
"""More GPUs than a node has."""


Number = TypeVar("Number", bound=np.generic)


class Rollouts:
    """Sequences of expected pods, laid out to be offered to any number of node states."""

    def __init__(self, pods: Sequence[Sequence[Shape]], models: Sequence[str]) -> None:
        """Lay out `pods`, sequences of equal length, for nodes of these GPU `models`."""
        self._count = len(pods)

        def lanes(value: Callable[[Shape], float], kind: type[Number]) -> NDArray[Number]:
            table = np.array([[value(pod) for pod in row] for row in pods], kind).T
            return np.ascontiguousarray(np.tile(table, _STATES))

        self._cpu = lanes(lambda p: p.cpu_milli, np.int32)
        self._memory = lanes(lambda p: p.memory_mib, np.int32)
        self._step = lanes(lambda p: p.gpu_milli * _SLOT if p.is_share else _NO_SHARE, np.uint16)
        self._opens = lanes(
            lambda p: (WHOLE_MILLI - p.gpu_milli) * _SLOT if p.is_share else 0, np.uint16
        )
        self._whole = lanes(lambda p: _NEVER if p.is_share else p.gpus, np.int16)
        self._takes = lanes(lambda p: 0 if p.is_share else p.gpus, np.int16)
        self._gain = lanes(
            lambda p: p.total_milli or p.cpu_milli * CPU_GAIN_MILLI / 1000, np.float32
        )
        # Models that the same pods insist on are one class: a bit of one of the words.
        asked = sorted({pod.models for row in pods for pod in row if pod.models}, key=sorted)
        classes: dict[tuple[bool, ...], int] = {}
        self._class: Int = np.array(
            [
                classes.setdefault(tuple(model in some for some in asked), len(classes))
                for model in models
            ],
            np.int64,
        )
        self._words: list[Int] = []
        """Which classes each pod may run on; none where every pod runs on every model."""
        for start in range(0, len(classes), _WORD_BITS) if asked else ():
            bits = {
                some: sum(
                    1 << at - start
                    for pattern, at in classes.items()
                    if start <= at < start + _WORD_BITS and pattern[asked.index(some)]
                )
                for some in asked
            }
            self._words.append(lanes(partial(_bits_of, bits), np.int64))
        shares = [pod.gpu_milli for row in pods for pod in row if pod.is_share]
        self._least_share_milli = min(shares, default=WHOLE_MILLI)

    def values(self, cpu: Int, memory: Int, gpus: Int, model: Int) -> Float:
        """Worth of each state, shape ``(S,)``, in GPU milli.

        Args:
            cpu: shape ``(S,)``, milli left.
            memory: shape ``(S,)``, MiB left.
            gpus: shape ``(S, G)``, milli left of each GPU in any order; -1 where there is none.
            model: shape ``(S,)``, index of the GPU model.
        """
        worth = np.empty(len(cpu))
        for start in range(0, len(cpu), _STATES):
            part = slice(start, start + _STATES)
            worth[part] = self._rolled(cpu[part], memory[part], gpus[part], model[part])
        return worth

    def _rolled(self, cpu: Int, memory: Int, gpus: Int, model: Int) -> Float:
        states, lanes = len(cpu), len(cpu) * self._count
        # Sorted, the whole GPUs are the slots from `first` up to `end`: a share opens the first of
        # them, whole requests take the last.
        left = np.sort(gpus, axis=1)
        left[left < self._least_share_milli] = 0
        left = left[:, int((left == 0).sum(axis=1).min()) :]
        slots = left.shape[1]
        keys = (left * _SLOT + np.arange(slots)).astype(np.uint16)
        keys = np.repeat(np.ascontiguousarray(keys.T), self._count, axis=1)
        whole = np.repeat((left == WHOLE_MILLI).sum(axis=1).astype(np.int16), self._count)
        end = np.full(lanes, slots, np.uint16)
        cpu_left = np.repeat(cpu.astype(np.int32), self._count)
        memory_left = np.repeat(memory.astype(np.int32), self._count)
        allowed = self._allowed(model)
        worth = np.zeros(lanes, np.float32)
        for at in range(len(self._cpu)):
            cpu_asked, memory_asked = self._cpu[at, :lanes], self._memory[at, :lanes]
            rest = keys - self._step[at, :lanes]
            best = rest.min(axis=0, initial=_NO_GPU)
            shares = best < self._opens[at, :lanes] + end
            taken = (cpu_left >= cpu_asked) & (memory_left >= memory_asked)
            taken &= shares | (whole >= self._whole[at, :lanes])
            if allowed is not None:
                taken &= allowed[at]
            worth += self._gain[at, :lanes] * taken
            cpu_left -= cpu_asked * taken
            memory_left -= memory_asked * taken
            took = self._takes[at, :lanes] * taken
            whole -= took
            end -= took.astype(np.uint16)
            shares &= taken
            whole -= shares & (best >= self._opens[at, :lanes])
            np.copyto(keys, rest, where=rest == np.where(shares, best, _NO_GPU))
        means: Float = worth.reshape(states, self._count).mean(axis=1, dtype=np.float64)
        return means

    def _allowed(self, model: Int) -> Bool | None:
        """Whether each pod may run on each lane's GPU model; None = every pod on every model."""
        allowed: Bool | None = None
        for number, word in enumerate(self._words):
            at = self._class[model] - number * _WORD_BITS
            inside = (at >= 0) & (at < _WORD_BITS)
            bit = np.where(inside, np.int64(1) << at.clip(0, _WORD_BITS - 1), 0)
            bits = np.repeat(bit, self._count)
            these: Bool = (word[:, : len(bits)] & bits) != 0
            allowed = these if allowed is None else allowed | these
        return allowed


def _bits_of(bits: Mapping[frozenset[str], int], pod: Shape) -> int:
    return bits[pod.models] if pod.models else _EVERY_BIT
