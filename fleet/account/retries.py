"""Launches that come to nothing: how many, how long until somebody notices, and what it adds.

An order that no machine is launched for often names no machine type yet, so the share of those is
the pool's. What is lost after the launch is learned by place. Karpenter gives up a launch after
5 minutes and a registration after 15; of what ends later than that, the notice came late, or a
reading did.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from fleet.account.lead_time_priors import LOST_SHARE, REFUSED_SHARE
from fleet.account.starts import NodeStart
from fleet.account.survival import Curve
from fleet.cluster.karpenter import LAUNCH_LIMIT_SECONDS, REGISTRATION_LIMIT_SECONDS

_LOST_SECONDS_MAX: Final = 3600.0
"""Of a machine that registered and gave no GPUs: nobody but a person ends it."""
_RETRIES_MAX: Final = 20
_NEGLIGIBLE: Final = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """Launches that come to nothing."""

    share: float
    """Of all orders."""
    seconds: float
    """Until one is noticed, on average; then it is ordered again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one order that was watched to its end."""

    launched: bool
    gave_gpus: bool
    seconds: float
    """From the order to GPUs, or until it was given up."""
    weight: float


def outcome_of(start: NodeStart, weight: float) -> Outcome | None:
    """The outcome of a start; None = it is under way or called off, or was not watched.

    Of those that had ended when they were first read only the successful are left to see.
    """
    if not start.watched or not start.claimed:
        return None
    if start.gpus_seconds is not None:
        lasted = start.gpus_seconds - start.created_seconds
        return Outcome(launched=True, gave_gpus=True, seconds=lasted, weight=weight)
    if start.ended_seconds is None or start.called_off:
        return None
    launched = start.launched_seconds is not None
    limit = LAUNCH_LIMIT_SECONDS if not launched else REGISTRATION_LIMIT_SECONDS
    if start.registered_seconds is not None:
        limit = _LOST_SECONDS_MAX
    lasted = min(max(0.0, start.ended_seconds - start.created_seconds), limit)
    return Outcome(launched=launched, gave_gpus=False, seconds=lasted, weight=weight)


def failures_of(around: Sequence[Sequence[Outcome]], wider_starts: float) -> Failures:
    """The failures at a place.

    Args:
        around: the outcomes of a pool outside of the machine type, of that outside of the zone,
            and of the zone, as far as the place goes.
        wider_starts: the number of starts that a wider place counts like.
    """
    pool = [one for outcomes in around for one in outcomes]
    refused, refused_seconds = _share(
        [one for one in pool if not one.launched], pool, (REFUSED_SHARE, LAUNCH_LIMIT_SECONDS),
        wider_starts,
    )  # fmt: skip
    lost = (LOST_SHARE, REGISTRATION_LIMIT_SECONDS)
    for outcomes in around:
        launched = [one for one in outcomes if one.launched]
        failed = [one for one in launched if not one.gave_gpus]
        lost = _share(failed, launched, lost, wider_starts)
    lost_of_all = (1 - refused) * lost[0]
    share = refused + lost_of_all
    # A prior share is above 0, and so is every share that is drawn towards it.
    seconds = (refused * refused_seconds + lost_of_all * lost[1]) / share
    return Failures(share=share, seconds=seconds)


def with_retries(curve: Curve, mean_seconds: float, failures: Failures) -> tuple[Curve, float]:
    """The time to the first success, and its mean; each failure takes as long as on average.

    Args:
        curve: of a launch that comes to something.
        mean_seconds: of it.
        failures: of the others.
    """
    share = failures.share
    assert 0 <= share < 1, share
    tries = 1
    while share**tries > _NEGLIGIBLE and tries <= _RETRIES_MAX:
        tries += 1
    ends = sorted(
        (seconds + failed * failures.seconds, part * (1 - share) * share**failed)
        for failed in range(tries)
        for seconds, part in zip(curve.seconds, curve.shares, strict=True)
    )
    beyond = max(0.0, 1 - math.fsum(part for _, part in ends))
    retried = Curve(
        seconds=tuple(seconds for seconds, _ in ends),
        shares=tuple(part for _, part in ends),
        beyond=beyond,
        beyond_seconds=curve.beyond_seconds,
    )
    return retried, mean_seconds + share / (1 - share) * failures.seconds


def _share(
    failed: Sequence[Outcome],
    all_of_them: Sequence[Outcome],
    wider: tuple[float, float],
    wider_starts: float,
) -> tuple[float, float]:
    """The share of failures and their mean duration, drawn towards those of the wider place."""
    count = math.fsum(one.weight for one in failed)
    total = math.fsum(one.weight for one in all_of_them)
    seconds = math.fsum(one.weight * one.seconds for one in failed)
    return (
        (count + wider_starts * wider[0]) / (total + wider_starts),
        (seconds + wider_starts * wider[1]) / (count + wider_starts),
    )
