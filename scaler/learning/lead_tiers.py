"""Tiers of starts: a sleeping engine wakes in seconds, a warm node takes minutes, a new one more.

No label says which start was which, so the durations must: sorted, they are cut at gaps of a factor
of two or more, the widest first, into three tiers at most. A tier needs several starts and a share
of all by weight, so that a single slow start makes none, and one before a change fades.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Final

TIERS_MAX: Final = 3
STARTS_MIN: Final = 3
SHARE_MIN: Final = 0.1
"""Of the weight of all starts."""
RATIO_MIN: Final = 2.0
"""Between the slowest start of a tier and the fastest of the next."""
BLUR_SECONDS: Final = 30.0
"""Two looks, added to both: 15 s and 30 s may be the same start, seen at two looks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """Starts that took about equally long."""

    median_seconds: float
    longest_seconds: float
    starts: int


def tiers_of(starts: Sequence[tuple[float, float]]) -> tuple[Tier, ...]:
    """The tiers of starts, the fastest first; one where no gap shows.

    Args:
        starts: seconds and weight of each, in any order.
    """
    ordered = sorted(starts)
    if not ordered:
        return ()
    least = SHARE_MIN * sum(weight for _, weight in ordered)
    gaps = [
        ((longer + BLUR_SECONDS) / (shorter + BLUR_SECONDS), at)
        for at, ((shorter, _), (longer, _)) in enumerate(pairwise(ordered), start=1)
    ]
    cuts = [0, len(ordered)]
    for ratio, at in sorted(gaps, reverse=True):
        if ratio < RATIO_MIN or len(cuts) > TIERS_MAX:
            break
        wanted = sorted([*cuts, at])
        if all(
            after - before >= STARTS_MIN
            and sum(weight for _, weight in ordered[before:after]) >= least
            for before, after in pairwise(wanted)
        ):
            cuts = wanted
    return tuple(_tier(ordered[before:after]) for before, after in pairwise(cuts))


def _tier(ordered: Sequence[tuple[float, float]]) -> Tier:
    return Tier(
        median_seconds=median(seconds for seconds, _ in ordered),
        longest_seconds=ordered[-1][0],
        starts=len(ordered),
    )
