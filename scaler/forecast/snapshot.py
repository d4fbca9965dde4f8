"""A forecaster's state as bytes, and back.

State is what an object keeps under a public name: numbers, arrays, and other objects. Settings are
private or repeat the constructor's arguments. A class lists the arrays that grow as it learns in
`GROWING`. A snapshot is a flat table of arrays that is loaded into a forecaster made with the same
arguments. Pickle is not used: a snapshot may come from a volume that others can write to, and
unpickling would run their code.
"""

import io
import zipfile
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Place = tuple[object, str]
Array = npt.NDArray[np.generic]


def dump(root: object) -> bytes:
    buffer = io.BytesIO()
    arrays = {path: np.asarray(_get(place)) for path, place in _places(root, "", set())}
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def load(root: object, snapshot: bytes) -> None:
    """Set the state of `root`.

    Raises:
        ValueError: the snapshot does not fit `root`; nothing has been changed then.
    """
    places = dict(_places(root, "", set()))
    try:
        with np.load(io.BytesIO(snapshot), allow_pickle=False) as arrays:
            held = {path: arrays[path] for path in arrays.files}
    except (AttributeError, EOFError, OSError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"these {len(snapshot)} bytes are no snapshot") from error
    if held.keys() != places.keys():
        odd = sorted(held.keys() ^ places.keys())
        raise ValueError(f"snapshot of another forecaster: it differs in {odd[:3]}")
    for path, place in places.items():
        here = np.asarray(_get(place))
        if not _fits(held[path], here, may_grow=_grows(place)):
            raise ValueError(f"snapshot of another forecaster: {path} is {held[path].shape}")
    for path, place in places.items():
        _set(place, held[path])


def _places(part: object, path: str, seen: set[int]) -> Iterator[tuple[str, Place]]:
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
                    yield from _places(item, f"{here}/{i}", seen)
        elif type(value).__module__.startswith("scaler.forecast") and hasattr(value, "__dict__"):
            yield from _places(value, here, seen)
        elif not name.startswith("_") and isinstance(value, float | int | np.ndarray):
            yield here, (part, name)


def _fits(held: Array, here: Array, *, may_grow: bool) -> bool:
    if held.dtype != here.dtype or held.ndim != here.ndim:
        return False
    return held.shape[1:] == here.shape[1:] if may_grow else held.shape == here.shape


def _grows(place: Place) -> bool:
    holder, name = place
    return name in getattr(holder, "GROWING", ())


def _get(place: Place) -> Array | float:
    holder, name = place
    found = holder[int(name)] if isinstance(holder, list) else getattr(holder, name)
    assert isinstance(found, float | int | np.ndarray)
    return found


def _set(place: Place, value: npt.NDArray[np.generic]) -> None:
    holder, name = place
    if isinstance(holder, list):
        holder[int(name)] = value.copy()
    elif value.shape:
        # numpy reads a file into a buffer of its own, which would be kept beside the array.
        setattr(holder, name, value.copy())
    else:
        setattr(holder, name, value.item())
