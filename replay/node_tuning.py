"""The rules' constants, chosen again each night by what they would have cost on the last days.

`RuleConstants` ships with factors for holds and orders that were chosen on other traffic. Each
night a pool's own last days are replayed under the constants in force and under those one step of
the grid away, and the cheapest is taken from then on. One night moves one of the two factors by one
step at most, and only for a gain of 2 %: a strange day costs little, and a habit is learned within
a week. The evidence is kept as a record.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from policies.decide import PolicyOf
from policies.planning.tuning import Evidence, TuningRecord
from policies.rules.constants import RuleConstants
from replay.cluster.cluster import Cluster
from replay.cluster.policy import Forecasts, NodePolicy
from replay.cluster.settings import ClusterSettings
from replay.cluster.shipped import ShippedRules

HOLD_FACTORS = (0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0)
ORDER_FACTORS = (0.15, 0.2, 0.3, 0.4, 0.6, 0.85, 1.2)
GAIN_MIN = 0.02
"""Of the cost, below which nothing moves."""


def neighbours(constants: RuleConstants) -> tuple[RuleConstants, ...]:
    """The constants themselves, then those that one night may move to."""
    holds = (
        replace(constants, hold_factor=factor)
        for factor in _beside(HOLD_FACTORS, constants.hold_factor)
    )
    orders = (
        replace(constants, order_factor=factor)
        for factor in _beside(ORDER_FACTORS, constants.order_factor)
    )
    return (constants, *holds, *orders)


def choose_again(
    constants: RuleConstants, cost_of: Callable[[RuleConstants], float], *, at_seconds: float
) -> TuningRecord:
    """One night's choice.

    Args:
        cost_of: what constants would have cost over the last days.
    """
    candidates = neighbours(constants)
    costs = [cost_of(candidate) for candidate in candidates]
    cheapest = min(range(len(candidates)), key=lambda place: costs[place])
    moves = costs[cheapest] < costs[0] * (1 - GAIN_MIN)
    return TuningRecord(
        at_seconds=at_seconds,
        before=constants,
        after=candidates[cheapest] if moves else constants,
        evidence=tuple(
            Evidence(hold_factor=one.hold_factor, order_factor=one.order_factor, cost=cost)
            for one, cost in zip(candidates, costs, strict=True)
        ),
    )


def replayed_cost(
    settings: ClusterSettings,
    policy: NodePolicy,
    forecasts: Forecasts,
    *,
    rho: float,
    until_seconds: float,
) -> float:
    """What a policy costs in a replay of recorded demand, in GPU-seconds.

    Args:
        settings: the pool and its recorded demand, from the first of the days on.
        forecasts: as they were made in those days, from nothing later.
    """
    cluster = Cluster(settings, policy=policy, forecasts=forecasts)
    cluster.run(until_seconds)
    idle = sum(sum(books.idle_gpu_seconds.values()) for books in cluster.books.values())
    waited = sum(sum(waits.seconds) for waits in cluster.waits.values())
    return idle + rho * (waited + sum(cluster.pending_waits_seconds()))


def choose_by_replay(
    constants: RuleConstants,
    settings: ClusterSettings,
    policy_of: PolicyOf,
    forecasts: Forecasts,
    *,
    rho: float,
    until_seconds: float,
) -> TuningRecord:
    """One night's choice by a replay of the last days; it takes effect at their end."""

    def cost_of(candidate: RuleConstants) -> float:
        rules = ShippedRules(policy_of, candidate)
        return replayed_cost(settings, rules, forecasts, rho=rho, until_seconds=until_seconds)

    return choose_again(constants, cost_of, at_seconds=until_seconds)


def _beside(grid: Sequence[float], value: float) -> list[float]:
    """The next smaller and the next larger value of a grid, where there are such."""
    below = [one for one in grid if one < value]
    above = [one for one in grid if one > value]
    return below[-1:] + above[:1]
