"""From "one more" to "it serves": a start-up as a distribution, by stage.

The warmth of a node is in the stages: what is done once a node (its launch, its driver, the image)
costs nothing to a replica that finds a node running, the rest each replica does for itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One part of a start-up, lognormal around its median."""

    name: str
    median_seconds: float
    log_sigma: float
    once_a_node: bool = False
    """Already done where a node runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartUp:
    """From "one more" to "it serves"."""

    stages: tuple[Stage, ...]

    @property
    def median_seconds(self) -> float:
        """Sum of the medians: within a few per cent of the median of the sum."""
        return sum(stage.median_seconds for stage in self.stages)

    def of_node_seconds(self, drawn: Sequence[float]) -> float:
        """The part of a draw that a node does once."""
        return sum(
            seconds for stage, seconds in zip(self.stages, drawn, strict=True) if stage.once_a_node
        )

    def slow_seconds(self, level: float = 0.95) -> float:
        """What that share of start-ups does not exceed."""
        generator = np.random.default_rng(0)
        return float(np.quantile([sum(self.draw(generator)) for _ in range(2000)], level))

    @property
    def varies(self) -> bool:
        """Whether two start-ups can differ."""
        return any(stage.log_sigma > 0 for stage in self.stages)

    def draw(self, generator: np.random.Generator | None) -> tuple[float, ...]:
        """Seconds of each stage; None will do where nothing varies."""
        return tuple(_drawn(stage, generator) for stage in self.stages)


def _drawn(stage: Stage, generator: np.random.Generator | None) -> float:
    if stage.median_seconds <= 0:
        return 0.0
    if generator is None or stage.log_sigma == 0:
        return exp(log(stage.median_seconds))
    return float(generator.lognormal(log(stage.median_seconds), stage.log_sigma))


# Between llm-d's 105-130 s on a warm node with the image there and the 966 s that kaito#2325 broke
# down for a 27B model on a bought one: a node that joins within 80 s, the driver in its machine
# image (20-40 s to the device plugin), and a container image that is mostly cached.
FIVE_MINUTES = StartUp(
    stages=(
        Stage(name="node", median_seconds=80, log_sigma=0.3, once_a_node=True),
        Stage(name="GPU ready", median_seconds=30, log_sigma=0.25, once_a_node=True),
        Stage(name="image", median_seconds=60, log_sigma=0.3, once_a_node=True),
        Stage(name="weights", median_seconds=75, log_sigma=0.15),
        Stage(name="warm-up", median_seconds=50, log_sigma=0.1),
    )
)
