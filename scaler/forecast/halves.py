"""float32 numbers in half the space: their upper sixteen bits, the format called bfloat16.

Whole range, eight significant bits: an error of at most 0.4 %. Enough for what is only ever read
as one of many, such as the errors behind a quantile; numpy has no such type.
"""

import numpy as np
import numpy.typing as npt

Halves = npt.NDArray[np.uint16]
Singles = npt.NDArray[np.float32]


def halved(numbers: npt.ArrayLike) -> Halves:
    """Rounded to the nearest; infinities and NaN stay what they are."""
    bits = np.asarray(numbers, np.float32).view(np.uint32)
    return ((bits + np.uint32(0x8000)) >> np.uint32(16)).astype(np.uint16)


def whole(halves: Halves) -> Singles:
    """The numbers as float32."""
    return (halves.astype(np.uint32) << np.uint32(16)).view(np.float32)
