"""Many forecasters in less memory than their numbers.

A forecaster consists of some seventy small arrays, and the objects around them take a quarter more
than the numbers. A process that plans for 2,000 workloads holds 4,000 forecasters, and each works
for a millisecond a minute. So the forecasters of one kind share one that computes, and the
numbers of each of the others lie in one compressed block.

The bytes of numbers of one width are sorted by their place in the number, as Blosc and HDF5 do
("shuffle"): exponents are alike and are compressed, and mantissas mostly are not.
"""

import struct
import zlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from weakref import ReferenceType, WeakValueDictionary, ref

import numpy as np
import numpy.typing as npt

from scaler.forecast.forecaster import Forecaster
from scaler.forecast.record import DemandForecast
from scaler.forecast.snapshot import Array, Place, grows, places, read_place, write_place

Bytes = npt.NDArray[np.uint8]
_RAW = -zlib.MAX_WBITS
"""Without header and checksum: a block stays in this process."""
_SQUEEZED = struct.Struct("=QI")
"""Which planes are stored as they are, and the length of the others, compressed."""
_SAMPLED = 8
"""One byte of so many is looked at."""
_SELDOM = 20
"""Of so many pairs of bytes one is of equal ones; in noise it is one of 256."""


class SharedForecasters:
    """One computing forecaster for each kind that is in use."""

    def __init__(self) -> None:
        self._by_kind: WeakValueDictionary[Hashable, _Shared] = WeakValueDictionary()

    def packed(self, kind: Hashable, make: Callable[[], Forecaster]) -> "PackedForecaster":
        """A new forecaster without a past.

        Args:
            kind: equal for forecasters that `make` makes with the same arguments.
        """
        shared = self._by_kind.get(kind)
        if shared is None:
            shared = self._by_kind[kind] = _Shared(make())
        return PackedForecaster(shared)


class PackedForecaster:
    """A forecaster that is packed while others of its kind compute."""

    __slots__ = ("__weakref__", "_shared", "packed")

    def __init__(self, shared: "_Shared") -> None:
        self._shared = shared
        self.packed = shared.beginning

    def update(self, t_seconds: float, value: float | None, *, leading: float | None) -> None:
        self._shared.computing(self).update(t_seconds, value, leading=leading)

    def forecast(self) -> DemandForecast:
        return self._shared.computing(self).forecast()

    def relabel(self, seconds: float) -> None:
        self._shared.computing(self).relabel(seconds)

    def close_gap(self, after_seconds: float, steps: int) -> None:
        self._shared.computing(self).close_gap(after_seconds, steps)

    def snapshot(self) -> bytes:
        return self._shared.computing(self).snapshot()

    def restore(self, snapshot: bytes) -> None:
        """Continue from a snapshot.

        Raises:
            ValueError: it does not fit; the forecaster is unchanged.
        """
        self._shared.computing(self).restore(snapshot)

    def __deepcopy__(self, _memo: object) -> "PackedForecaster":
        """One that continues alone from here, and shares the one that computes."""
        copied = PackedForecaster(self._shared)
        copied.packed = self._shared.packed_now(self)
        return copied


class _Shared:
    """The forecaster that computes, and the block layout of its kind."""

    def __init__(self, forecaster: Forecaster) -> None:
        self._forecaster = forecaster
        self._layout = _Layout(forecaster)
        self.beginning = self._layout.pack()
        """The block of a forecaster without a past."""
        self._user: ReferenceType[PackedForecaster] | None = None

    def computing(self, user: PackedForecaster) -> Forecaster:
        """The forecaster that computes, with this user's numbers."""
        before = self._user() if self._user is not None else None
        if before is not user:
            self._user = None
            if before is not None:
                before.packed = self.beginning  # if a fault left what cannot be packed
                before.packed = self._layout.pack()
            self._layout.unpack(user.packed)
            self._forecaster.forget_step()
            user.packed = b""  # the numbers are in use, and this block would soon be out of date
            self._user = ref(user)
        return self._forecaster

    def packed_now(self, user: PackedForecaster) -> bytes:
        """The block of this user's numbers, which may be in use."""
        in_use = self._user is not None and self._user() is user
        return self._layout.pack() if in_use else user.packed


class _Layout:
    """The places of a forecaster's numbers, and their order in a block.

    First come the single numbers and the lengths of the arrays that grow, then the arrays by the
    width of their numbers.
    """

    def __init__(self, forecaster: Forecaster) -> None:
        found = [(place, read_place(place)) for _, place in places(forecaster)]
        self._numbers = [place for place, held in found if not isinstance(held, np.ndarray)]
        self._by_width: defaultdict[int, list[_ArrayPlace]] = defaultdict(list)
        for place, held in found:
            if isinstance(held, np.ndarray):
                array = _ArrayPlace(place, held.dtype, held.shape, grows(place))
                self._by_width[held.dtype.itemsize].append(array)
        self._growing = [a for arrays in self._by_width.values() for a in arrays if a.may_grow]
        codes = ["d" if isinstance(read_place(place), float) else "q" for place in self._numbers]
        codes += ["q" for _ in self._growing]
        self._head = struct.Struct(f"={''.join(codes)}")

    def pack(self) -> bytes:
        lengths = [len(array.read()) for array in self._growing]
        planes: list[Bytes] = []
        for width, arrays in self._by_width.items():
            content = np.concatenate([array.read().reshape(-1).view(np.uint8) for array in arrays])
            planes.extend(content.reshape(-1, width).T.copy())
        return self._head.pack(*map(read_place, self._numbers), *lengths) + _squeezed(planes)

    def unpack(self, block: bytes) -> None:
        numbers = self._head.unpack_from(block)
        for place, number in zip(self._numbers, numbers, strict=False):
            write_place(place, number)
        lengths = dict(zip(map(id, self._growing), numbers[len(self._numbers) :], strict=True))
        shapes = {
            width: [array.shape_at(lengths.get(id(array))) for array in arrays]
            for width, arrays in self._by_width.items()
        }
        counts = {width: sum(map(prod, of_width)) for width, of_width in shapes.items()}
        sizes = [count for width, count in counts.items() for _ in range(width)]
        planes = iter(_restored(memoryview(block)[self._head.size :], sizes))
        for width, arrays in self._by_width.items():
            rest = np.stack([next(planes) for _ in range(width)], axis=1).reshape(-1)
            for array, shape in zip(arrays, shapes[width], strict=True):
                size = prod(shape) * width
                write_place(array.place, rest[:size].view(array.kind).reshape(shape))
                rest = rest[size:]


def _squeezed(planes: Sequence[Bytes]) -> bytes:
    """The planes in one block, compressed where that saves anything.

    Compressing is most of the work, so a plane in which two bytes are seldom equal is stored as it
    is.
    """
    packing = zlib.compressobj(1, wbits=_RAW, memLevel=9, strategy=zlib.Z_RLE)
    packed, plain, is_plain = [], [], 0
    for number, plane in enumerate(planes):
        sample = plane[::_SAMPLED]
        counts = np.bincount(sample)
        if counts @ counts * _SELDOM < len(sample) ** 2:
            is_plain |= 1 << number
            plain.append(plane.tobytes())
        else:
            packed.append(packing.compress(plane.tobytes()))
    content = b"".join((*packed, packing.flush()))
    return b"".join((_SQUEEZED.pack(is_plain, len(content)), content, *plain))


def _restored(block: memoryview, sizes: Sequence[int]) -> Iterator[Bytes]:
    """The planes of a block, given their sizes."""
    is_plain, length = _SQUEEZED.unpack_from(block)
    content = zlib.decompress(block[_SQUEEZED.size : _SQUEEZED.size + length], wbits=_RAW)
    plain = block[_SQUEEZED.size + length :]
    at, plain_at = 0, 0
    for number, size in enumerate(sizes):
        if is_plain >> number & 1:
            yield np.frombuffer(plain, np.uint8, size, plain_at)
            plain_at += size
        else:
            yield np.frombuffer(content, np.uint8, size, at)
            at += size


@dataclass(frozen=True, slots=True)
class _ArrayPlace:
    """The place of one array, with its kind and its first shape."""

    place: Place
    kind: np.dtype[np.generic]
    shape: tuple[int, ...]
    may_grow: bool

    def read(self) -> Array:
        held = read_place(self.place)
        assert isinstance(held, np.ndarray)
        return np.ascontiguousarray(held)

    def shape_at(self, length: int | None) -> tuple[int, ...]:
        """The shape with this length, if it has grown."""
        return self.shape if length is None else (length, *self.shape[1:])
