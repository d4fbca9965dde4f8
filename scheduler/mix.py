"""The pods that are expected, and samples of them to try a node's state on."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scheduler.placement import Shape

SEQUENCES = 32
LENGTH = 30
WINDOW = 5
"""Within so many pods the largest comes first, as a queue of waiting pods is served."""


@dataclass(frozen=True, slots=True)
class Mix:
    """Expected pods by shape, in any unit of frequency; from history or from a forecast.

    Raises:
        ValueError: nothing is expected, or a frequency is not above 0.
    """

    weights: Mapping[Shape, float]

    def __post_init__(self) -> None:
        bad = [shape for shape, weight in self.weights.items() if not 0 < weight < np.inf]
        if bad or not self.weights:
            raise ValueError(f"a mix needs a frequency above 0 for every shape, not for {bad[:1]}")

    def demand_milli(self) -> dict[Shape, float]:
        """GPU asked for by each shape that asks for any, in milli times the unit of frequency."""
        return {
            shape: weight * shape.total_milli
            for shape, weight in self.weights.items()
            if shape.total_milli
        }


def sequences(mix: Mix, *, seed: int = 0) -> list[list[Shape]]:
    """SEQUENCES sequences of LENGTH pods; at each position they are a stratified sample of `mix`.

    Sorted by GPU and CPU asked for, the mix is cut into as many equal parts as there are sequences,
    and each sequence gets one pod of each part in an order of its own.
    """
    shapes = sorted(
        mix.weights, key=lambda s: (s.total_milli, s.cpu_milli, s.memory_mib, sorted(s.models))
    )
    weights = np.array([mix.weights[shape] for shape in shapes])
    edges = np.cumsum(weights) / weights.sum()
    random = np.random.default_rng(seed)
    drawn = np.empty((SEQUENCES, LENGTH), np.int64)
    for position in range(LENGTH):
        at = (np.arange(SEQUENCES) + random.random(SEQUENCES)) / SEQUENCES
        picked = np.minimum(np.searchsorted(edges, at, side="right"), len(shapes) - 1)
        drawn[:, position] = random.permutation(picked)
    return [_largest_first([shapes[index] for index in row]) for row in drawn]


def _largest_first(pods: list[Shape]) -> list[Shape]:
    return [
        pod
        for start in range(0, len(pods), WINDOW)
        for pod in sorted(pods[start : start + WINDOW], key=lambda s: s.total_milli, reverse=True)
    ]
