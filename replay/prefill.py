"""Prompts pass through a replica one after another: who is done when.

Lindley's recursion for all replicas at once. In the order of one replica's queue

    end_j = work up to and with j + max(backlog, max over i <= j of (start_i - work before i))

which is a running sum and a running maximum; sorted by row, one pass of each serves every row.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from replay.traffic import Floats

_APART_SECONDS = 1e4
"""Lifts each row's starts above those of the row before, further than any wait within it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Passage:
    """Seconds from now."""

    ends: Floats
    """Of each newcomer, in the order given."""
    backlog_after: Floats
    """By row: when its last newcomer is through, or its backlog as it was."""
    work: Floats
    """By row: prefill seconds that came with the newcomers."""


def pass_through(
    rows: NDArray[np.intp], start_seconds: Floats, work_seconds: Floats, backlog: Floats
) -> Passage:
    """Send newcomers through the prefill of their rows.

    Args:
        rows: where each goes, in the order of the queue; at least one.
        start_seconds: from now, before which each cannot begin.
        backlog: by row, seconds until earlier prompts are through.
    """
    by_row = rows.argsort(kind="stable")
    row = rows[by_row]
    work = work_seconds[by_row]
    is_first = np.ones(len(row), dtype=np.bool_)
    np.not_equal(row[1:], row[:-1], out=is_first[1:])
    done = work.cumsum()
    done -= (done - work)[is_first][is_first.cumsum() - 1]
    begin = np.maximum(start_seconds[by_row] - (done - work), backlog[row])
    apart = row * _APART_SECONDS
    end = done + np.maximum.accumulate(begin + apart) - apart
    ends = np.empty(len(row))
    ends[by_row] = end
    is_last = np.ones(len(row), dtype=np.bool_)
    is_last[:-1] = is_first[1:]
    after = backlog.copy()
    after[row[is_last]] = end[is_last]
    by_rows = np.bincount(row, work, minlength=len(backlog)).astype(np.float64)
    return Passage(ends=ends, backlog_after=after, work=by_rows)
