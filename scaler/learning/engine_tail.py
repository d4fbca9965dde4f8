"""The share of late requests against the load of a replica, as a curve that never falls.

Load 1 is the rate at which the mean ITL reaches its limit. How far below it the tail keeps its
limit depends on how uneven the traffic is, and only the engine's own histograms show that. Minutes
and late ones are counted by load, the pool-adjacent-violators algorithm makes their share rise with
it, and the planned utilization is where the curve crosses what the objective allows.
"""

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from scaler.learning.engine_prior import UTILIZATION_PRIOR

LOADS: Final = tuple(round(0.05 * step, 2) for step in range(6, 25))
"""Middles of the classes of load, 0.3 to 1.2."""
UTILIZATION_MIN: Final = 0.6
"""Requests that are late at this load or less are late for another reason, and no replica helps
them: their share is added to what is allowed."""
UTILIZATION_MAX: Final = 0.95
FURTHER: Final = 0.1
"""How far above the highest load that was shown to be in time the next one may be planned: a plan
that stays where it is safe would never see where the tail begins."""
SHOWN_MINUTES: Final = 60.0
"""At a load or above it, for it to count as shown."""
PRIOR_MINUTES: Final = 15.0
"""Of each class: a few minutes without a late request do not prove a share of one in a hundred."""
HALF_LIFE_MINUTES: Final = 3 * 24 * 60.0
_WIDTH: Final = 0.05
_STEEPNESS: Final = 0.04
"""The prior's late share grows by a factor of e within so much load."""


@dataclass(slots=True, kw_only=True)
class TailCurve:
    """Minutes seen, and late ones of them, by load."""

    minutes: list[float] = field(default_factory=lambda: [0.0] * len(LOADS))
    late: list[float] = field(default_factory=lambda: [0.0] * len(LOADS))

    def take(self, load: float, late_share: float, *, minutes: float) -> None:
        """Account for `minutes` at this load with this share of late requests."""
        place = min(max(round((load - LOADS[0]) / _WIDTH), 0), len(LOADS) - 1)
        keep = 0.5 ** (minutes / HALF_LIFE_MINUTES)
        self.minutes[place] = self.minutes[place] * keep + minutes
        self.late[place] = self.late[place] * keep + minutes * late_share

    def utilization(self, attainment: float) -> float:
        """The highest load at which no more than the objective's share is late."""
        allowed = 1 - attainment + self.late_at_ease()
        shares = self.shares(attainment)
        if shares[0] > allowed:
            return UTILIZATION_MIN
        crossing = LOADS[-1]
        for (low, below), (high, above) in pairwise(zip(LOADS, shares, strict=True)):
            if above > allowed:
                crossing = low + (high - low) * (allowed - below) / (above - below)
                break
        return min(max(crossing, UTILIZATION_MIN), UTILIZATION_MAX)

    def shares(self, attainment: float) -> list[float]:
        """The late share of each class in the light of the prior, never falling with the load."""
        allowed = 1 - attainment
        shares, weights = [], []
        begin = min(max(self._shown(allowed) + FURTHER, UTILIZATION_PRIOR), UTILIZATION_MAX)
        for load, minutes, late in zip(LOADS, self.minutes, self.late, strict=True):
            prior = min(1.0, allowed * math.exp((load - begin) / _STEEPNESS))
            weights.append(minutes + PRIOR_MINUTES)
            shares.append((late + prior * PRIOR_MINUTES) / weights[-1])
        return _rising(shares, weights)

    def _shown(self, allowed: float) -> float:
        """The highest load that was kept in time for long enough; 0 where none was."""
        minutes = late = 0.0
        for load, more, more_late in zip(
            reversed(LOADS), reversed(self.minutes), reversed(self.late), strict=True
        ):
            minutes, late = minutes + more, late + more_late
            if minutes >= SHOWN_MINUTES and late <= allowed * minutes:
                return load
        return 0.0

    def late_at_ease(self) -> float:
        """Share of late requests at `UTILIZATION_MIN` or less, which no replica helps."""
        ease = sum(load <= UTILIZATION_MIN for load in LOADS)
        return sum(self.late[:ease]) / (sum(self.minutes[:ease]) + PRIOR_MINUTES)


def _rising(values: list[float], weights: list[float]) -> list[float]:
    """The nearest values that never fall, by pool-adjacent-violators."""
    blocks: list[tuple[float, float, int]] = []
    for value, weight in zip(values, weights, strict=True):
        mean, total, length = value, weight, 1
        while blocks and blocks[-1][0] > mean:
            before, before_total, before_length = blocks.pop()
            mean = (before * before_total + mean * total) / (before_total + total)
            total, length = total + before_total, length + before_length
        blocks.append((mean, total, length))
    return [mean for mean, _, length in blocks for _ in range(length)]
