"""Newcomers take their seats and their prompts pass through, one after another in each replica.

Seating fills up from the emptiest replica. The passage is Lindley's recursion for all replicas at
once: in the order of one replica's queue

    end_j = work up to and with j + max(backlog, max over i <= j of (start_i - work before i))

so a running sum and a running maximum along each row of seats serve all requests.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from replay.traffic import Floats, Ints

Rows = NDArray[np.intp]
_NO_SEAT = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seating:
    """Where newcomers go, in the order of the queue."""

    open_rows: Rows
    """Rows with room."""
    widest: int
    """The most seats one of them offers now."""
    seats: Rows
    """Of each newcomer: its place among the open rows, times `widest`, plus its turn in its row."""
    streams_before: Ints
    """Of each newcomer: how many streams its replica has before it."""

    @property
    def rows(self) -> Rows:
        """Of each newcomer."""
        return self.open_rows[self.seats // self.widest]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Passage:
    """Seconds from now."""

    ends: Floats
    """Of each newcomer, in the order of the queue."""
    backlog_after: Floats
    """By open row: when the last of it is through."""
    work: Floats
    """By open row: prefill seconds that came with the newcomers."""


def seat(*, streams: Ints, room: Floats, newcomers: int) -> Seating | None:
    """Give each newcomer the seat with the fewest streams before it.

    Of all free seats, numbered by the streams below them, the lowest are taken; ties go to the
    lower row, so that a run can be repeated. None where no row has room.

    Args:
        room: whole numbers by row; how many each may take now.
    """
    open_rows = room.nonzero()[0]
    if not len(open_rows) or not newcomers:
        return None
    room = room[open_rows]
    widest = int(room.max())
    turns = np.arange(widest)
    before = streams[open_rows, None] + turns
    before[turns >= room[:, None]] = _NO_SEAT
    before = before.ravel()
    seats = before.argsort(kind="stable")[: min(newcomers, int(room.sum()))]
    return Seating(open_rows=open_rows, widest=widest, seats=seats, streams_before=before[seats])


def pass_through(
    seating: Seating, *, start_seconds: Floats, work_seconds: Floats, backlog: Floats
) -> Passage:
    """Send newcomers through the prefill of their rows.

    Args:
        start_seconds: of each newcomer, from now, before which it cannot begin.
        work_seconds: of each newcomer.
        backlog: by open row, seconds until earlier prompts are through.
    """
    shape = (len(seating.open_rows), seating.widest)
    work, start = np.zeros(shape), np.full(shape, -np.inf)
    # A seat that no request took is no work and delays none.
    work.ravel()[seating.seats] = work_seconds
    start.ravel()[seating.seats] = start_seconds
    done = work.cumsum(axis=1)
    begin = np.maximum.accumulate(start - (done - work), axis=1)
    end = done + np.maximum(begin, backlog[:, None])
    return Passage(ends=end.ravel()[seating.seats], backlog_after=end[:, -1], work=done[:, -1])
