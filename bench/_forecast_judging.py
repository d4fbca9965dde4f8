"""How `bench forecast` judges: the same rolling quantiles for every point method, then losses."""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench._forecast_anchors import Points, held

Floats = npt.NDArray[np.float64]
JUMPS_KEPT = 3
HISTORY_STEPS = 60
"""How far back the table of misses looks for a top."""
MEDIAN, TOP = 0, 5
"""Where .5 and .99 stand in `LEVELS`."""
LEVELS = (0.5, 0.7, 0.83, 0.9, 0.95, 0.99, 0.995)
WINDOW_ERRORS = 500


def dressed(points: Points, series: Floats, ahead: int, column: int) -> Floats:
    """Quantiles for each origin from the method's own past errors, shape (origins, levels).

    Split conformal prediction over the last `WINDOW_ERRORS` errors that were known at the origin.
    """
    predictions = points.predictions[:, column]
    quantiles = np.empty((len(predictions), len(LEVELS)))
    ordered: list[float] = []
    window: deque[float] = deque()
    known = 0
    for row, origin in enumerate(points.origins):
        while points.origins[known] + ahead <= origin:
            error = float(series[points.origins[known] + ahead] - predictions[known])
            known += 1
            if error != error:  # noqa: PLR0124 - NaN
                continue
            insort(ordered, error)
            window.append(error)
            if len(window) > WINDOW_ERRORS:
                ordered.pop(bisect_left(ordered, window.popleft()))
        quantiles[row] = predictions[row] + _conformal(ordered)
    return np.maximum(quantiles, 0.0)


def _conformal(ordered: list[float]) -> list[float]:
    """Quantiles at `LEVELS`, linear between the ranks; plain numbers, for there are millions."""
    top = len(ordered) - 1
    if top < 0:
        return [0.0] * len(LEVELS)
    quantiles = []
    for level in LEVELS:
        rank = min(max(level * (top + 2) - 1, 0.0), top)
        low = int(rank)
        below, above = ordered[low], ordered[min(low + 1, top)]
        quantiles.append(below + (rank - low) * (above - below))
    return quantiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Jump:
    """One outcome above the .99, and what was known when that was said."""

    step: int
    last: float
    recent_top: float
    median: float
    top: float
    outcome: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Mean losses of one method at one horizon of one series."""

    steps: int
    pinball: dict[float, float]
    wape: float
    coverage: dict[float, float]
    jumps: tuple[Jump, ...]
    """The few worst."""


def score(
    quantiles: Floats, origins: npt.NDArray[np.intp], series: Floats, *, ahead: int, first: int
) -> Score:
    """Judge the forecasts whose outcome lies at step `first` or later and was measured."""
    at = origins + ahead
    inside = (at >= first) & (at < len(series))
    outcome = series[at[inside]]
    measured = ~np.isnan(outcome)
    outcome, rows = outcome[measured, None], quantiles[inside][measured]
    levels = np.array(LEVELS)
    error = outcome - rows
    loss = np.maximum(levels * error, (levels - 1) * error).mean(axis=0)
    covered = (outcome <= rows).mean(axis=0)
    total = float(np.abs(outcome).sum())
    return Score(
        steps=len(outcome),
        pinball=dict(zip(LEVELS, loss.tolist(), strict=True)),
        wape=float(np.abs(error[:, 0]).sum()) / total if total else 0.0,
        coverage=dict(zip(LEVELS, covered.tolist(), strict=True)),
        jumps=tuple(_jumps(series, at[inside][measured], ahead, rows)),
    )


def _jumps(series: Floats, at: npt.NDArray[np.intp], ahead: int, rows: Floats) -> Iterator[Jump]:
    beyond = series[at] / (rows[:, TOP] + 1e-9)
    for row in np.argsort(-beyond)[:JUMPS_KEPT]:
        origin = at[row] - ahead
        before = held(series[max(0, origin + 1 - HISTORY_STEPS) : origin + 1])
        yield Jump(
            step=int(at[row]),
            last=float(before[-1]),
            recent_top=float(before.max()),
            median=float(rows[row, MEDIAN]),
            top=float(rows[row, TOP]),
            outcome=float(series[at[row]]),
        )
