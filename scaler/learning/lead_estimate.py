"""The lead time that a workload's orders show: a quantile of how long they take.

The estimator is that of machines' starts (`fleet.account.survival`): Kaplan–Meier, with orders that
were cancelled or still run as lower bounds, and the operator's `leadTime` as a prior that counts
like one start of their mean weight. So the first slow start moves the lead time up at once, and
four starts that agree move it down, for as long as nothing else is seen: old starts fade against
new ones, and not against a figure that nobody measured.

The .8 quantile is the horizon: one order in five may come later, by less than the spread of starts,
while a higher quantile follows the slowest start of a week. Where starts come in tiers, it is that
of the slowest tier, because counts alone do not tell how many of the next replicas a faster tier
holds.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from fleet.account.survival import Curve, Duration, curve_of
from scaler.durations import format_duration
from scaler.learning.actuations import actuations_of
from scaler.learning.estimates import LeadEstimate, StuckOrders
from scaler.learning.lead import LeadRecord, Start
from scaler.learning.lead_tiers import Tier, tiers_of
from scaler.signals import LatencyCounts

LEVEL: Final = 0.8
AGREEING_STARTS: Final = 4.0
"""That a lead time below the operator's `leadTime` takes, which counts as one start.

`LEVEL` says so of starts of one weight; of others a single new one would outweigh all old ones."""
HALF_LIFE_SECONDS: Final = 2 * 86400.0
"""After which a start counts half: images, models and nodes change within days."""
_HALF_LIVES_MAX: Final = 100.0
"""Beyond it no start fades any more: the last ones still tell more than nothing."""
WEIGHED_SECONDS: Final = 3600.0
"""The weights of starts are those of the last full hour, so that they change once an hour."""
LEAD_SECONDS_MAX: Final = 7200.0
"""As the longest `leadTime`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What the starts that ended show."""

    seconds: float
    tiers: tuple[Tier, ...]
    durations: tuple[Duration, ...]
    """Of the tier that is planned with; of all where there is one."""
    faster_seconds: float
    """The longest start of the faster tiers."""


def lead_estimate(
    record: LeadRecord,
    *,
    prior_seconds: float,
    now_seconds: float,
    counted: Mapping[str, LatencyCounts] | None = None,
) -> LeadEstimate | None:
    """The lead time as far as it is known; None while no order tells anything.

    Args:
        prior_seconds: the operator's `leadTime`.
        now_seconds: wall time, as that of the record.
        counted: starts that an exporter counts, by kind.
    """
    actuations = actuations_of(counted or {}, seen=sum(one.arrived for one in record.starts))
    if not record.starts and not record.awaited and actuations is None:
        return None
    limit = record.stuck_seconds(prior_seconds)
    # While the replicas are not measured nobody knows whether an order has come.
    watched = record.looked_at_seconds
    stuck = _stuck(record, watched, limit)
    ages = [
        watched - one.at_seconds
        for one in record.awaited
        if one.timed and not one.stuck(watched, limit) and one.at_seconds < watched
    ]
    if not record.starts and not ages and stuck is None and actuations is None:
        return None
    beside = actuations.durations if actuations is not None else ()
    known = _known(record.starts, prior_seconds, now_seconds // WEIGHED_SECONDS, beside)
    seconds = known.seconds
    # An order that is younger than the lead time says nothing against it.
    if max(ages, default=0.0) > seconds:
        running = [_lasting(age) for age in ages if age > known.faster_seconds]
        seconds = _quantile((*known.durations, *running), prior_seconds)
    evidence = _evidence(record, known.tiers, len(ages), prior_seconds)
    tiers = known.tiers
    if actuations is not None:
        evidence = f"{evidence}; {actuations.evidence}"
        tiers = tiers if len(tiers) > 1 else actuations.tiers
    return LeadEstimate(
        seconds=min(seconds, LEAD_SECONDS_MAX), evidence=evidence, tiers=tiers, stuck=stuck
    )


@lru_cache(maxsize=8192)
def _known(
    starts: tuple[Start, ...],
    prior_seconds: float,
    weighed_at: float,
    beside: tuple[Duration, ...] = (),
) -> _Known:
    """Kept for thousands of workloads, whose starts change a few times an hour.

    Args:
        weighed_at: now, in whole `WEIGHED_SECONDS`.
        beside: what stands in for starts that were not seen.
    """
    now_seconds = weighed_at * WEIGHED_SECONDS
    seen = []
    for one in starts:
        age = max(0.0, now_seconds - one.at_seconds)
        weight = 0.5 ** min(age / HALF_LIFE_SECONDS, _HALF_LIVES_MAX)
        until = one.seconds if one.arrived else math.inf
        seen.append(Duration(over=one.seconds, up_to=until, weight=weight))
    tiers = tiers_of([(one.over, one.weight) for one in seen if one.exact])
    # A start between two tiers belongs to the slower one, and so does what outlasted the faster.
    faster = tiers[-2].longest_seconds if len(tiers) > 1 else 0.0
    durations = (*(one for one in seen if one.over > faster), *beside)
    return _Known(
        seconds=_quantile(durations, prior_seconds),
        tiers=tiers,
        durations=durations,
        faster_seconds=faster,
    )


def _quantile(durations: Sequence[Duration], prior_seconds: float) -> float:
    ended = sorted((one.over, one.weight) for one in durations if one.exact)
    # What stands in for several starts weighs as many; a start weighs 1 at most.
    counted = [(seconds, max(1.0, weight)) for seconds, weight in ended]
    weights = [weight for _, weight in ended] or [one.weight for one in durations]
    prior_weight = sum(weights) / (sum(count for _, count in counted) or len(weights) or 1.0)
    prior = Curve(seconds=(prior_seconds,), shares=(1.0,))
    found = curve_of(durations, prior, prior_weight).quantile(LEVEL)
    agreeing = 0.0
    for seconds, count in counted:
        agreeing += count
        if agreeing >= AGREEING_STARTS:
            return max(found, min(seconds, prior_seconds))
    return max(found, prior_seconds)


def _lasting(seconds: float) -> Duration:
    return Duration(over=seconds, up_to=math.inf)


def _stuck(record: LeadRecord, now: float, limit: float) -> StuckOrders | None:
    stuck = [one for one in record.awaited if one.stuck(now, limit)]
    if not stuck:
        return None
    oldest, newest = stuck[0].at_seconds, stuck[-1].at_seconds
    arrived_at = record.arrived_at_seconds
    return StuckOrders(
        replicas=sum(one.replicas for one in stuck),
        seconds=now - oldest,
        others_came=arrived_at is not None and arrived_at > newest,
    )


def _evidence(record: LeadRecord, tiers: Sequence[Tier], running: int, prior: float) -> str:
    arrived = sum(one.arrived for one in record.starts)
    parts = [f"{LEVEL:.0%} of starts took no longer ({arrived} seen)"]
    if len(tiers) > 1:
        shown = ", ".join(
            f"{tier.starts} about {format_duration(tier.median_seconds)}" for tier in tiers
        )
        parts = [f"{arrived} starts in {len(tiers)} tiers ({shown}); planned with the slowest"]
    elif arrived == 0:
        parts = ["no start seen to its end"]
    if running:
        parts.append(f"{running} under way")
    cancelled = len(record.starts) - arrived
    if cancelled:
        parts.append(f"{cancelled} known to have taken longer than they were watched")
    parts.append(f"leadTime {format_duration(prior)} counts as one start")
    return "; ".join(parts)
