"""Clip small arrays symmetrically.

On the few dozen numbers of a step, `np.clip` spends more time on checking its arguments than on
clipping.
"""

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Kind = TypeVar("Kind", bound=np.floating[Any])


def clip(numbers: npt.NDArray[Kind], bound: float) -> npt.NDArray[Kind]:
    """The numbers limited to [-bound, bound]; NaN stays NaN."""
    inside: npt.NDArray[Kind] = np.maximum(numbers, -bound)
    np.minimum(inside, bound, out=inside)
    return inside
