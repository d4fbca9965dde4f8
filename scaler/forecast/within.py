"""Cutting numbers off at a bound.

`np.clip` checks its arguments for longer than it takes to clip the few dozen numbers of a step.
"""

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Kind = TypeVar("Kind", bound=np.floating[Any])


def within(numbers: npt.NDArray[Kind], bound: float) -> npt.NDArray[Kind]:
    """The numbers, none further from 0 than the bound; NaN stays NaN."""
    inside: npt.NDArray[Kind] = np.maximum(numbers, -bound)
    np.minimum(inside, bound, out=inside)
    return inside
