"""A forecaster's state as bytes, and back.

State is what an object keeps under a public name: numbers, arrays, and other objects. Settings are
private or repeat the constructor's arguments. A class lists the arrays that grow as it learns in
`GROWING`. A snapshot is a flat table of arrays that is loaded into a forecaster made with the same
arguments.

Pickle is not used: a snapshot may come from a volume that others can write to, and unpickling would
run their code. Nor is compression: it saves a third of the bytes for three times the CPU, and a
reader of uncompressed arrays cannot be made to allocate more than it was given.
"""

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from scaler.rpc.foresail.v1 import state_pb2 as pb

FORMAT = 1
BYTES_MAX = 2**20
"""Ten times what a forecaster that has used all its leaves takes."""

Place = tuple[object, str]
Array = npt.NDArray[np.generic]


class NewerFormatError(ValueError):
    """The snapshot was written by a program that this one is too old to read."""


def dump(root: object) -> bytes:
    table = pb.Snapshot(format=FORMAT)
    for path, place in places(root):
        array = np.asarray(read_place(place))
        stored = array.astype(array.dtype.newbyteorder("<"), copy=False)
        table.arrays.add(
            path=path, kind=stored.dtype.str, shape=stored.shape, data=stored.tobytes()
        )
    return table.SerializeToString(deterministic=True)


def load(root: object, snapshot: bytes) -> None:
    """Set the state of `root`.

    Raises:
        ValueError: the snapshot does not fit `root`; nothing has been changed then.
    """
    here = dict(places(root))
    held = _parsed(snapshot)
    if held.keys() != here.keys():
        odd = sorted(held.keys() ^ here.keys())
        raise ValueError(f"snapshot of another forecaster: it differs in {odd[:3]}")
    arrays = {
        path: _array(held[path], np.asarray(read_place(place)), may_grow=grows(place))
        for path, place in here.items()
    }
    for path, place in here.items():
        array = arrays[path]
        write_place(place, array if array.shape else array.item())


def _parsed(snapshot: bytes) -> dict[str, pb.Array]:
    if not 0 < len(snapshot) <= BYTES_MAX:
        raise ValueError(f"a snapshot has 1 to {BYTES_MAX} bytes, not {len(snapshot)}")
    try:
        table = pb.Snapshot.FromString(snapshot)
    except DecodeError as error:
        raise ValueError(f"these {len(snapshot)} bytes are no snapshot") from error
    if table.format > FORMAT:
        raise NewerFormatError(f"snapshot of format {table.format}, newer than {FORMAT}")
    if table.format != FORMAT:
        raise ValueError(f"these {len(snapshot)} bytes are no snapshot")
    return {array.path: array for array in table.arrays}


def _array(held: pb.Array, here: Array, *, may_grow: bool) -> Array:
    """The array, checked against the one it will replace before anything is made of it."""
    kind, shape = here.dtype.newbyteorder("<"), tuple(held.shape)
    fits = held.kind == kind.str and len(shape) == here.ndim
    fits = fits and (shape[1:] == here.shape[1:] if may_grow else shape == here.shape)
    if not fits or len(held.data) != math.prod(shape) * kind.itemsize:
        message = f"{held.path} is {held.kind[:8]!r} of {shape[:4]} in {len(held.data)} bytes"
        raise ValueError(f"snapshot of another forecaster: {message}")
    return np.frombuffer(held.data, kind).astype(here.dtype).reshape(shape)


def places(root: object) -> Iterator[tuple[str, Place]]:
    """The places of all numbers and arrays of the state, each with its path."""
    return _places_in(root, "", set())


def grows(place: Place) -> bool:
    """Whether the array there grows as its owner learns."""
    holder, name = place
    return name in getattr(holder, "GROWING", ())


def read_place(place: Place) -> Array | float:
    holder, name = place
    found = holder[int(name)] if isinstance(holder, list) else getattr(holder, name)
    assert isinstance(found, float | int | np.ndarray)
    return found


def write_place(place: Place, value: Array | float) -> None:
    holder, name = place
    if isinstance(holder, list):
        holder[int(name)] = value
    else:
        setattr(holder, name, value)


def _places_in(part: object, path: str, seen: set[int]) -> Iterator[tuple[str, Place]]:
    if id(part) in seen:
        return
    seen.add(id(part))
    for name, value in sorted(vars(part).items()):
        here = f"{path}/{name}"
        if isinstance(value, list):
            for i, item in enumerate(value):
                if isinstance(item, np.ndarray):
                    yield f"{here}/{i}", (value, str(i))
                else:
                    yield from _places_in(item, f"{here}/{i}", seen)
        elif type(value).__module__.startswith("scaler.forecast") and hasattr(value, "__dict__"):
            yield from _places_in(value, here, seen)
        elif not name.startswith("_") and isinstance(value, float | int | np.ndarray):
            yield here, (part, name)
