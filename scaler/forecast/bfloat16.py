"""bfloat16: the upper sixteen bits of a float32, which numpy has no type for.

The range of float32 with eight significant bits: a relative error of at most 0.4 %. That is enough
for numbers that are only used in bulk, such as the errors behind a quantile.
"""

import numpy as np
import numpy.typing as npt

Bfloat16 = npt.NDArray[np.uint16]
Singles = npt.NDArray[np.float32]


def to_bfloat16(numbers: npt.ArrayLike) -> Bfloat16:
    """Round to the nearest; infinities and NaN are kept."""
    bits = np.asarray(numbers, np.float32).view(np.uint32)
    return ((bits + np.uint32(0x8000)) >> np.uint32(16)).astype(np.uint16)


def from_bfloat16(halves: Bfloat16) -> Singles:
    """The numbers as float32."""
    return (halves.astype(np.uint32) << np.uint32(16)).view(np.float32)


def is_nan(halves: Bfloat16) -> npt.NDArray[np.bool_]:
    """Which of the numbers are NaN."""
    return (halves & np.uint16(0x7FFF)) > np.uint16(0x7F80)
