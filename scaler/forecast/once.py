"""Numbers that follow from a task exist once, however many workloads share the task.

A forecaster has some forty small arrays of settings. Each costs more as a Python object than as
numbers, and a pod holds thousands of forecasters.
"""

from typing import TypeVar, cast
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt

Kind = TypeVar("Kind", bound=np.generic)

_known: WeakValueDictionary[tuple[str, tuple[int, ...], bytes], npt.NDArray[np.generic]] = (
    WeakValueDictionary()
)


def once(numbers: npt.NDArray[Kind]) -> npt.NDArray[Kind]:
    """An equal array that others may hold too, hence read-only."""
    key = (numbers.dtype.str, numbers.shape, numbers.tobytes())
    found = _known.get(key)
    if found is None:
        found = _known[key] = numbers.copy()
        found.setflags(write=False)
    return cast(npt.NDArray[Kind], found)  # the key holds the type
