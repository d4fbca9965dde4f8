"""Wanted replicas over a recorded trace: an HPA on requests in flight, run open loop.

Load is scaled so that the trace wants 8 replicas on average. Between the steps of a trace it goes
in straight lines, also over gaps; the HPA looks every 15 s, has its tolerance of 10 %, and shrinks
to the largest recommendation of the last five minutes.
"""

import csv
from collections import deque
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path

import numpy as np
import numpy.typing as npt

from replay.traces import TraceError
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
_KNOWN_MIN = 2
_ROUND_STEPS = 120 // STEP_SECONDS

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Demand:
    """Wanted replicas of one trace, a value each 15 s."""

    trace: str
    replicas: Ints
    past: Ints
    """Those before, which a forecaster may know."""

    @property
    def steps(self) -> int:
        return len(self.replicas)

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

    def last(self, steps: int, past: int) -> "Demand":
        """Its last steps, and so many before the played ones as its past."""
        before = np.concatenate([self.past, self.replicas[: self.steps - steps]])
        kept = before[len(before) - past :]
        return replace(self, replicas=self.replicas[self.steps - steps :], past=kept)

    def halved(self) -> "Demand":
        """Half as many replicas, rounded up."""
        return replace(self, replicas=-(-self.replicas // 2), past=-(-self.past // 2))


def read_demand(path: Path, *, mean: float, days: float | None) -> Demand:
    """The demand of one trace.

    Args:
        mean: of the replicas in the days that are played.
        days: the last ones are played, what is before them is past; None = all.

    Raises:
        TraceError: the message names the file, and what is missing in it.
    """
    at_seconds, load = _load(path)
    known = ~np.isnan(load)
    if known.sum() < _KNOWN_MIN or not load[known].max() > 0:
        raise TraceError(f"{path}: {int(known.sum())} rows have a load; two or more must, above 0")
    grid = np.arange(at_seconds[0], at_seconds[-1] + 1, STEP_SECONDS)
    even = np.interp(grid, at_seconds[known], load[known])
    played = len(even) if days is None else min(len(even), round(days * DAY_SECONDS / STEP_SECONDS))
    # Policies decide each 2 minutes of the trace's own time, also of its past.
    first = (len(even) - played) // _ROUND_STEPS * _ROUND_STEPS
    factor = mean / float(even[first:].mean())
    replicas = hpa_replicas(even * factor)
    for _ in range(_SCALINGS_MAX):
        off = float(replicas[first:].mean()) / mean
        if abs(off - 1) < _REPLICAS_MEAN_OFF:
            break
        factor /= off
        replicas = hpa_replicas(even * factor)
    return Demand(trace=path.stem, replicas=replicas[first:], past=replicas[:first])


def _load(path: Path) -> tuple[Floats, Floats]:
    """Seconds and load, in any unit, NaN where nothing was measured."""
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    names = reader.fieldnames or ()
    if "t_s" not in names or not {"inflight", "output_tokens", "requests"} & set(names):
        raise TraceError(
            f"{path}: its columns are {', '.join(names) or 'none'}; `t_s` must be there, and "
            "`inflight`, `prompt_tokens` with `output_tokens`, or `requests`"
        )
    try:
        columns = {name: np.array([float(row[name] or "nan") for row in rows]) for name in names}
    except (TypeError, ValueError) as error:
        raise TraceError(f"{path}: a cell is no number: {error}") from error
    if "inflight" in columns:
        load = columns["inflight"]
    elif {"prompt_tokens", "output_tokens"} <= columns.keys():
        load = (
            columns["prompt_tokens"] / PROMPT_TOKENS_PER_SECOND
            + columns["output_tokens"] / GENERATED_TOKENS_PER_SECOND
        )
    else:
        load = columns["requests"]
    return columns["t_s"], load


def hpa_replicas(load: Floats) -> Ints:
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
        if largest[0][0] < step - _HOLD_STEPS:
            largest.popleft()
        current = largest[0][1]
        found[step] = current
    return found
