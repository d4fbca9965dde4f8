"""From pools, with their demand and forecasts, to decisions: the controller's and replay's alike.

Each pool gets its policy, and the constants that its last night chose where the policy has them
chosen; then the rules decide.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from policies.decide import DecisionState, PolicyOf, decide
from policies.node_plan import NodePlan
from policies.planning.tuning import TunedPools, tuning_step
from policies.policy.pool_policy import PoolPolicy, Tuning
from policies.rules.constants import RuleConstants
from policies.situation import Situation


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolDecisions:
    """What was decided, and by what."""

    plan: NodePlan
    policies: Mapping[str, PoolPolicy]
    """By pool; of pools that a policy covers."""
    constants: Mapping[str, RuleConstants]
    """In force, of the same pools."""
    tuned: TunedPools
    """Of those whose policy has their constants chosen again each night."""


def decide_pools(
    situation: Situation,
    policy_of: PolicyOf,
    before: DecisionState,
    tuned: TunedPools,
    *,
    untuned: RuleConstants | None = None,
) -> tuple[PoolDecisions, DecisionState]:
    """The decisions of one round, and the state for the next.

    Args:
        situation: the pools.
        policy_of: a pool's policy.
        before: the state that the round before returned.
        tuned: the last nights' choices.
        untuned: the constants of pools whose policy has none chosen; None = as they ship.
    """
    found = ((pool.name, policy_of(pool, situation.now_seconds)) for pool in situation.pools)
    policies = {name: policy for name, policy in found if policy is not None}
    nightly = {name for name, one in policies.items() if one.tuning is Tuning.NIGHTLY}
    constants = {
        name: tuned.constants_of(name) if name in nightly else untuned or RuleConstants()
        for name in policies
    }
    plan, after = decide(situation, policy_of, before, constants=constants)
    decisions = PoolDecisions(
        plan=_with_tuning(plan, tuned, nightly),
        policies=policies,
        constants=constants,
        tuned=tuned.only(nightly),
    )
    return decisions, after


def _with_tuning(plan: NodePlan, tuned: TunedPools, pools: Collection[str]) -> NodePlan:
    return replace(
        plan,
        pools=tuple(
            replace(one, steps=(tuning_step(tuned, one.pool), *one.steps))
            if one.pool in pools
            else one
            for one in plan.pools
        ),
    )
