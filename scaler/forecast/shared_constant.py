"""Constant arrays shared between forecasters with the same task.

A forecaster has about forty small constant arrays. The Python object of each costs more memory than
its numbers, and a process holds thousands of forecasters.
"""

from typing import TypeVar, cast
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt

Kind = TypeVar("Kind", bound=np.generic)

_known: WeakValueDictionary[tuple[str, tuple[int, ...], bytes], npt.NDArray[np.generic]] = (
    WeakValueDictionary()
)


def shared_constant(numbers: npt.NDArray[Kind]) -> npt.NDArray[Kind]:
    """An equal, shared and therefore read-only array."""
    key = (numbers.dtype.str, numbers.shape, numbers.tobytes())
    found = _known.get(key)
    if found is None:
        found = _known[key] = numbers.copy()
        found.setflags(write=False)
    return cast(npt.NDArray[Kind], found)  # the key holds the type
