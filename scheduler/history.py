"""The mix of pods that is expected, from the pods that came: older ones count less.

It is kept in memory: after a start the pods that run are its past. Until many were seen, a handful
of usual shapes stands in for those that are not known.
"""

from collections.abc import Mapping
from dataclasses import replace
from heapq import nlargest
from math import ceil
from typing import Final

from scheduler.mix import Mix
from scheduler.placement import ANY_MODEL, WHOLE_MILLI, Shape

HALF_LIFE_SECONDS: Final = 7 * 86_400.0
"""A week: weekends are forgotten no faster than weekdays."""
SHAPES_MAX: Final = 1024
MODEL_SETS_MAX: Final = 64
"""Different sets of GPU models that pods insist on, the most frequent ones: what the rule costs
grows with them, and tenants write them."""
MODELS_MAX: Final = 32
"""Of a set; there are not as many generations."""
_CPU_STEP_MILLI: Final = 500
_MEMORY_STEP_MIB: Final = 1024
_RESCALE_HALVES: Final = 64.0

USUAL: Final[Mapping[Shape, float]] = {
    Shape(
        cpu_milli=8000 * gpus, memory_mib=64 * 1024 * gpus, gpus=gpus, gpu_milli=WHOLE_MILLI
    ): weight
    for gpus, weight in ((1, 8.0), (2, 2.0), (4, 1.0), (8, 1.0))
}
"""In pods: what a cluster for LLMs mostly runs, as if twelve had been seen."""


class History:
    """Pods by shape; now is one pod, a half-life ago half of one."""

    def __init__(self) -> None:
        self._weights: dict[Shape, float] = {}
        self._origin_seconds: float | None = None
        self.pods = 0

    def saw(self, shape: Shape, came_seconds: float) -> None:
        """A pod of this shape has come, now or at some time before."""
        if self._origin_seconds is None:
            self._origin_seconds = came_seconds
        halves = (came_seconds - self._origin_seconds) / HALF_LIFE_SECONDS
        if halves > _RESCALE_HALVES:
            self._weights = {one: old * 2.0**-halves for one, old in self._weights.items()}
            self._origin_seconds, halves = came_seconds, 0.0
        coarse = _coarse(shape)
        weight = 2.0 ** max(halves, -_RESCALE_HALVES)
        self._weights[coarse] = self._weights.get(coarse, 0.0) + weight
        self.pods += 1
        if len(self._weights) > 2 * SHAPES_MAX:
            kept = sorted(self._weights, key=lambda one: -self._weights[one])[:SHAPES_MAX]
            self._weights = {one: self._weights[one] for one in kept}

    def mix(self, now_seconds: float) -> Mix:
        """What is expected to come."""
        origin = now_seconds if self._origin_seconds is None else self._origin_seconds
        halves = (now_seconds - origin) / HALF_LIFE_SECONDS
        now = 2.0 ** -max(halves, 0.0)
        kept = self._model_sets()
        weights: dict[Shape, float] = {}
        for shape, weight in self._weights.items():
            if weight * now:
                told = shape if shape.models in kept else replace(shape, models=ANY_MODEL)
                weights[told] = weights.get(told, 0.0) + weight * now
        for shape, weight in USUAL.items():
            weights[shape] = weights.get(shape, 0.0) + weight
        return Mix(weights)

    def _model_sets(self) -> frozenset[frozenset[str]]:
        """The sets of GPU models that count; of pods with others, only the size is expected."""
        weights: dict[frozenset[str], float] = {}
        for shape, weight in self._weights.items():
            if len(shape.models) <= MODELS_MAX:
                weights[shape.models] = weights.get(shape.models, 0.0) + weight
        weights.pop(ANY_MODEL, None)
        return frozenset(nlargest(MODEL_SETS_MAX, weights, key=weights.__getitem__)) | {ANY_MODEL}


def _coarse(shape: Shape) -> Shape:
    """Amounts rounded up, so that pods that differ by little are one shape."""
    return replace(
        shape,
        cpu_milli=ceil(shape.cpu_milli / _CPU_STEP_MILLI) * _CPU_STEP_MILLI,
        memory_mib=ceil(shape.memory_mib / _MEMORY_STEP_MIB) * _MEMORY_STEP_MIB,
    )
