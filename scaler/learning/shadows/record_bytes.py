"""The shadows of a workload as bytes, for its state.

Arrays in a fixed order, little-endian. A record of another version, of another size, or with a
number that no shadow makes is refused, and learning begins anew. The open minute is not kept: at
most a minute is lost.
"""

import math
import struct
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from scaler.learning.shadows.books import COLUMNS, DAYS, Books
from scaler.learning.shadows.choice import CORRECTION_MAX, CREDIT_MAX, Choice, Verdict
from scaler.learning.shadows.fluid import SLOTS, Fleets
from scaler.learning.shadows.record import OpenMinute, Shadows
from scaler.learning.shadows.settings import SETTINGS, SHADOWS

NAME: Final = "shadows"
"""Of the entry in a workload's state."""
VERSION: Final = 2
_HEAD: Final = struct.Struct("<qIdd BBB ddd B")
"""Minute, slot length, queue of the real fleet, correction; the choice; days in the books."""
_MINUTE_AHEAD_MAX: Final = 2
_SLOT_MINUTES_MAX: Final = 100
_DAYS_ORDINAL: Final = np.dtype("<i4")
_HISTORY: Final = np.dtype("<u2")
_SUMS: Final = np.dtype("<f4")


def encode(shadows: Shadows) -> bytes:
    choice, fleets, books = shadows.choice, shadows.fleets, shadows.books
    head = _HEAD.pack(
        shadows.minute.number,
        fleets.slot_minutes,
        shadows.real_queued,
        shadows.correction,
        choice.place,
        choice.verdict,
        choice.days,
        choice.late,
        choice.measured,
        choice.modelled,
        len(books.days),
    )
    return b"".join(
        (
            head,
            fleets.wanted.astype(_HISTORY).tobytes(),
            fleets.needed.astype(_HISTORY).tobytes(),
            fleets.queued.astype(_SUMS).tobytes(),
            np.array(books.days, _DAYS_ORDINAL).tobytes(),
            books.sums.astype(_SUMS).tobytes(),
        )
    )


def decode(version: int, payload: bytes, *, now_seconds: float) -> Shadows:
    """The shadows in `payload`.

    Raises:
        ValueError: naming why they are refused.
    """
    if version != VERSION:
        raise ValueError(f"shadows of version {version}, this program reads {VERSION}")
    if len(payload) < _HEAD.size:
        raise ValueError(f"shadows in {len(payload)} bytes")
    minute, slot, real_queued, correction, place, verdict, seen, late, measured, modelled, days = (
        _HEAD.unpack_from(payload)
    )
    _refuse(minute * 60 > now_seconds + 60 * _MINUTE_AHEAD_MAX, "from the future")
    _refuse(days > DAYS or place >= SETTINGS, f"with {days} days and setting {place}")
    _refuse(not 1 <= slot <= _SLOT_MINUTES_MAX, f"with slots of {slot} minutes")
    within = -CREDIT_MAX <= correction <= CORRECTION_MAX
    _refuse(not within, f"with a correction of {correction:g}")
    _refuse(not 0 <= real_queued < math.inf, f"with {real_queued:g} queued")
    parts = _Parts(payload, _HEAD.size)
    wanted, needed = (parts.take(_HISTORY, SHADOWS, SLOTS) for _ in range(2))
    queued = parts.take(_SUMS, SHADOWS).astype(np.float64)
    ordinals = tuple(parts.take(_DAYS_ORDINAL, days).tolist())
    sums = parts.take(_SUMS, days, COLUMNS)
    parts.end()
    _refuse(not ((queued >= 0) & (queued < np.inf)).all(), "with a queue that is no amount")
    _refuse(not ((sums >= 0) & (sums < np.inf)).all(), "with a sum that is no amount in the books")
    _refuse(any(b >= a for a, b in pairwise(ordinals)), "with days out of order")
    return Shadows(
        minute=OpenMinute(number=minute),
        fleets=Fleets(slot_minutes=slot, wanted=wanted, needed=needed, queued=queued),
        real_queued=real_queued,
        books=Books(days=ordinals, sums=sums),
        choice=Choice(
            place=place,
            verdict=Verdict(verdict),
            days=seen,
            late=late,
            measured=measured,
            modelled=modelled,
        ),
        correction=correction,
    )


def _refuse(doubtful: bool, how: str) -> None:  # noqa: FBT001 one fact
    if doubtful:
        raise ValueError(f"shadows {how}")


class _Parts:
    """Arrays of a payload, one after another."""

    def __init__(self, payload: bytes, at: int) -> None:
        self._payload, self._at = payload, at

    def take(self, kind: np.dtype[Any], *shape: int) -> NDArray[Any]:
        count = math.prod(shape)
        end = self._at + count * kind.itemsize
        if end > len(self._payload):
            raise ValueError(f"shadows in {len(self._payload)} bytes, {end} at least expected")
        found = np.frombuffer(self._payload, kind, count, self._at).reshape(shape)
        self._at = end
        return found

    def end(self) -> None:
        if self._at != len(self._payload):
            raise ValueError(f"shadows in {len(self._payload)} bytes, {self._at} expected")
