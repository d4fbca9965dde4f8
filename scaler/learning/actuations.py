"""Starts that an exporter counts by kind, such as Fast Model Actuation's: hot, warm and cold.

They are known before the first order is, and in mode `advise`, where there are no orders. They
begin when a container starts, and not when a replica is ordered, so they stand in for orders only
until four are seen. The plan uses the slowest kind that is no exception: counts do not tell how
many of the next replicas start hot.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from fleet.account.survival import Duration
from scaler.durations import format_duration
from scaler.learning.lead_tiers import SHARE_MIN, STARTS_MIN, Tier
from scaler.signals import LatencyCounts

STANDS_FOR_MAX: Final = 4.0
"""Starts that they count like: so many that agree outweigh `leadTime`."""
_LEVEL: Final = 0.8
_LONGEST: Final = 0.99


@dataclass(frozen=True, slots=True, kw_only=True)
class Actuations:
    """What counted starts say of the lead time."""

    durations: tuple[Duration, ...]
    tiers: tuple[Tier, ...]
    """One for each kind, the fastest first."""
    evidence: str


def actuations_of(counted: Mapping[str, LatencyCounts], *, seen: int) -> Actuations | None:
    """What they say; None where there are too few of any kind.

    Args:
        counted: by kind.
        seen: starts that orders have shown.
    """
    total = sum(one.count for one in counted.values())
    least = max(STARTS_MIN, SHARE_MIN * total)
    kinds = sorted(
        (_seconds(one, _LEVEL), kind, one) for kind, one in counted.items() if one.count >= least
    )
    if not kinds:
        return None
    seconds, slowest, of_slowest = kinds[-1]
    weight = max(0.0, min(STANDS_FOR_MAX, of_slowest.count) - seen)
    shown = ", ".join(
        f"{one.count:,.0f} {kind} up to {format_duration(level)}" for level, kind, one in kinds
    )
    return Actuations(
        durations=(Duration(over=seconds, up_to=seconds, weight=weight),) if weight else (),
        tiers=tuple(
            Tier(
                median_seconds=_seconds(one, 0.5),
                longest_seconds=_seconds(one, _LONGEST),
                starts=round(one.count),
            )
            for _, _, one in kinds
        ),
        evidence=f"counted starts, {_LEVEL:.0%} of each kind: {shown}; "
        + (f"{slowest} counts as {weight:g} starts" if weight else "orders tell more"),
    )


def _seconds(counts: LatencyCounts, level: float) -> float:
    """A quantile, linear inside its bucket; beyond the last finite bound that bound."""
    rank, below, lower = level * counts.count, 0.0, 0.0
    for bound, count in zip(counts.bounds_seconds, counts.counts, strict=True):
        if below + count >= rank:
            if bound == float("inf"):
                return lower
            return lower + (bound - lower) * (rank - below) / count if count else bound
        below, lower = below + count, bound
    return lower
