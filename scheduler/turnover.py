"""How much of the GPU that pods took others had left, read from the ages of the pods that run.

Pods that are gone leave no object behind, but a gap. Where pods come at a steady rate and none
leaves, ages up to the oldest are equally frequent. Where pods leave, old ones are missing: the
youngest quarter came faster than those of all ages could have come.

    rate  = GPU of the youngest quarter / the age of its oldest pod, less two standard errors
    came  = rate x the age that 95 % of the pods are below
    left  = came less what of it still runs

Too few pods, and pods that all came at one time, say nothing: the result is then no turnover.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Final

_YOUNG_PART: Final = 0.25
_YOUNG_MIN: Final = 8
_WINDOW_PART: Final = 0.95
"""A single very old pod must not stretch the window."""


@dataclass(frozen=True, slots=True)
class Start:
    """A running pod that takes GPU."""

    age_seconds: float
    gpu_milli: int


@dataclass(frozen=True, slots=True)
class Turnover:
    """GPU that pods took of late, and what others gave back meanwhile."""

    came_milli: float
    left_milli: float


def turnover_of(starts: Sequence[Start], *, capacity_milli: float) -> Turnover:
    """What can be read from the pods that run.

    Args:
        starts: of all pods that take GPU.
        capacity_milli: GPU of all nodes; more than that is not remembered.
    """
    ordered = sorted(starts, key=lambda one: one.age_seconds)
    running = float(sum(one.gpu_milli for one in ordered))
    young = ordered[: int(len(ordered) * _YOUNG_PART)]
    if len(young) < _YOUNG_MIN or young[-1].age_seconds <= 0:
        return Turnover(min(running, capacity_milli), 0.0)
    within = ordered[: int(len(ordered) * _WINDOW_PART)]
    error = 1 / sqrt(len(young))
    rate = sum(one.gpu_milli for one in young) / young[-1].age_seconds * max(1 - 2 * error, 0.0)
    still = float(sum(one.gpu_milli for one in within))
    came = max(rate * within[-1].age_seconds, still)
    part = min(1.0, capacity_milli / came) if came else 0.0
    return Turnover(came * part, (came - still) * part)
