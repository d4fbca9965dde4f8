"""How much of what is left on a node the expected pods cannot use.

    F(node) = sum over the usual shapes s of p(s) x (GPU milli left on the node that s cannot use)

A shape that does not run on the node as it is can use nothing there; one that does can use each GPU
that has enough left for it. Weng et al., Beware of Fragmentation: Scheduling GPU-Sharing Workloads
with Fragmentation Gradient Descent (USENIX ATC 2023), section 4.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from scheduler.mix import Mix
from scheduler.placement import Bool, Float, Int, Shape

_USUAL_PART = 0.95


class Fragments:
    """The measure for one mix, over nodes of these GPU `models`."""

    def __init__(self, mix: Mix, models: Sequence[str]) -> None:
        shapes, frequencies = zip(*_usual(mix), strict=True)
        self._frequencies = np.array(frequencies) / sum(frequencies)
        self._cpu = np.array([shape.cpu_milli for shape in shapes])
        self._gpus = np.array([shape.gpus for shape in shapes])
        self._milli = np.array([max(shape.gpu_milli, 1) for shape in shapes])
        self._allowed: Bool = np.array(
            [[not shape.models or model in shape.models for model in models] for shape in shapes]
        )

    def milli(self, cpu: Int, gpus: Int, model: Int) -> Float:
        """F of each state, shape ``(S,)``, in GPU milli.

        Args:
            cpu: shape ``(S,)``, milli left.
            gpus: shape ``(S, G)``, milli left of each GPU in any order; -1 where there is none.
            model: shape ``(S,)``, index of the GPU model.
        """
        left = gpus.clip(0)[:, None, :]
        enough = left >= self._milli[:, None]
        runs = (self._gpus > 0) & self._allowed[:, model].T & (cpu[:, None] >= self._cpu)
        runs &= enough.sum(axis=2) >= self._gpus
        usable = np.where(runs, (enough * left).sum(axis=2), 0)
        fragment: Float = (left.sum(axis=2) - usable) @ self._frequencies
        return fragment


def _usual(mix: Mix) -> list[tuple[Shape, float]]:
    """The most frequent shapes that make up `_USUAL_PART` of the pods; memory is no part."""
    frequencies: Counter[Shape] = Counter()
    for shape, weight in mix.weights.items():
        bare = Shape(
            cpu_milli=shape.cpu_milli, memory_mib=0, gpus=shape.gpus, gpu_milli=shape.gpu_milli,
            models=shape.models,
        )  # fmt: skip
        frequencies[bare] += weight  # type: ignore[assignment]  # weights are floats
    ordered = sorted(frequencies.items(), key=lambda item: -item[1])
    covered = np.cumsum([weight for _, weight in ordered])
    kept = int(np.searchsorted(covered, _USUAL_PART * covered[-1])) + 1
    return [(shape, float(weight)) for shape, weight in ordered[:kept]]
