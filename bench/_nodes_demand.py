"""Wanted replicas over a recorded trace: an HPA on requests in flight, run open loop.

Load is scaled so that the trace wants 8 replicas on average. Between the steps of a trace it goes
in straight lines, also over gaps; the HPA looks every 15 s, has its tolerance of 10 %, and shrinks
to the largest recommendation of the last five minutes.
"""

import csv
from collections import deque
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np
import numpy.typing as npt

from replay.traffic import DAY_SECONDS

STEP_SECONDS = 15
BEGIN_SECONDS = 1_767_571_200.0
"""Monday, 2026-01-05, 00:00 UTC: where every trace is moved to."""
PROMPT_TOKENS_PER_SECOND = 8000.0
GENERATED_TOKENS_PER_SECOND = 1600.0
"""One replica of the README's example; only their ratio matters, as the load is scaled."""
_TOLERANCE = 0.1
_HOLD_STEPS = 5 * 60 // STEP_SECONDS
_REPLICAS_MEAN_OFF = 0.01
_SCALINGS_MAX = 20

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Demand:
    """Wanted replicas of one trace, a value each 15 s."""

    trace: str
    replicas: Ints

    @property
    def days(self) -> float:
        return len(self.replicas) * STEP_SECONDS / DAY_SECONDS

    @property
    def seconds(self) -> Floats:
        """Unix times of the values."""
        return BEGIN_SECONDS + STEP_SECONDS * np.arange(len(self.replicas), dtype=np.float64)

    def changes(self) -> tuple[tuple[float, int], ...]:
        """(from when, how many), the first one at the beginning."""
        at = np.flatnonzero(np.diff(self.replicas, prepend=-1))
        return tuple((float(self.seconds[i]), int(self.replicas[i])) for i in at)


def read_demand(path: Path, *, mean: float, days: float | None) -> Demand:
    """The demand of one trace.

    Args:
        days: the last days only.
    """
    at_seconds, load = _load(path)
    if days is not None:
        kept = at_seconds >= at_seconds[-1] - days * DAY_SECONDS
        at_seconds, load = at_seconds[kept] - at_seconds[kept][0], load[kept]
    known = ~np.isnan(load)
    grid = np.arange(0, at_seconds[-1] + 1, STEP_SECONDS)
    even = np.interp(grid, at_seconds[known], load[known])
    factor = mean / float(even.mean())
    replicas = _replicas(even * factor)
    for _ in range(_SCALINGS_MAX):
        off = float(replicas.mean()) / mean
        if abs(off - 1) < _REPLICAS_MEAN_OFF:
            break
        factor /= off
        replicas = _replicas(even * factor)
    return Demand(trace=path.stem, replicas=replicas)


def _load(path: Path) -> tuple[Floats, Floats]:
    """Seconds and load, in any unit, NaN where nothing was measured."""
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    columns = {
        name: np.array([float(row[name] or "nan") for row in rows])
        for name in reader.fieldnames or ()
    }
    if "inflight" in columns:
        load = columns["inflight"]
    elif "output_tokens" in columns:
        load = (
            columns["prompt_tokens"] / PROMPT_TOKENS_PER_SECOND
            + columns["output_tokens"] / GENERATED_TOKENS_PER_SECOND
        )
    else:
        load = columns["requests"]
    return columns["t_s"], load


def _replicas(load: Floats) -> Ints:
    """An HPA's answers; `load` is in replicas at their target."""
    current = max(1, ceil(load[0]))
    largest: deque[tuple[int, int]] = deque()
    found = np.empty(len(load), dtype=np.int64)
    for step, wanted in enumerate(load.tolist()):
        near = abs(wanted / current - 1) <= _TOLERANCE
        recommended = current if near else max(1, ceil(wanted))
        while largest and largest[-1][1] <= recommended:
            largest.pop()
        largest.append((step, recommended))
        if largest[0][0] <= step - _HOLD_STEPS:
            largest.popleft()
        current = largest[0][1]
        found[step] = current
    return found
