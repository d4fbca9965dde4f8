"""One round of decisions on GPU nodes: the rules in their order.

`decide` is a function of the situation, the policies and what the rules remembered, so that
production, replay and a trial on a recorded cluster decide alike. With the state that it returned
and an unchanged situation it gives the same plan again. A new rule is a file of `policies.rules`
and a line of `RULES`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from fleet.reasons import Reason
from policies.node_plan import NodeDecision, NodePlan, PoolPlan, Step, Verdict
from policies.policy.pool_policy import PoolPolicy
from policies.rules.bought_again import leave_what_others_buy, note_orders
from policies.rules.budget import keep_within_ceilings
from policies.rules.cancel import cancel_starts
from policies.rules.constants import RuleConstants
from policies.rules.draft import PoolDraft, Rule, is_empty
from policies.rules.ending import replace_ending
from policies.rules.forecast import hold_and_order
from policies.rules.gangs import serve_gangs
from policies.rules.keep_new import keep_new_nodes
from policies.rules.no_flap import order_nothing_back
from policies.rules.pod_costs import rank_replicas
from policies.rules.release import release_surplus
from policies.rules.reserved import hold_reserved
from policies.rules.spot_hedge import hedge
from policies.rules.veto import hold_while_loading
from policies.rules.warm_floor import keep_floor
from policies.situation import NodeStage, PoolNode, PoolState, Situation

RULES: Final[tuple[Rule, ...]] = (
    serve_gangs,
    hold_while_loading,
    hold_reserved,
    keep_floor,
    replace_ending,
    hold_and_order,
    hedge,
    keep_new_nodes,
    leave_what_others_buy,
    release_surplus,
    cancel_starts,
    keep_within_ceilings,
    order_nothing_back,
    note_orders,
    rank_replicas,
)
"""In this order: what must stay, what is wanted, what may go, and last what is not affordable or
would undo an earlier round."""

_PASSES_MAX: Final = 3
"""Of one round: the next one is without the gangs that a ceiling refused in those before it."""
PolicyOf: TypeAlias = Callable[[PoolState, float], PoolPolicy | None]
"""The policy of a pool at a time; None = none covers it, and it is left alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionState:
    """What rules remember from one round to the next; losing it costs caution for a while."""

    started_seconds: float | None = None
    """Since when it is kept; None = from the next round on."""
    pools: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """By the pool's name, what each rule noted under a key of its own."""


SETTLED: Final = DecisionState(started_seconds=0.0)
"""Of a cluster where nothing was released lately: for a single decision, and for replay."""


def decide(
    situation: Situation,
    policy_of: PolicyOf,
    state: DecisionState,
    *,
    constants: Mapping[str, RuleConstants] | None = None,
    rules: tuple[Rule, ...] = RULES,
) -> tuple[NodePlan, DecisionState]:
    """The plan of one round, and the state for the next.

    Args:
        constants: by pool; of a pool that is missing, as they ship.

    Raises:
        ValueError: two pools have one name, or the nodes of one have no GPUs.
    """
    _check(situation)
    now = situation.now_seconds
    # A clock that went back must not lengthen what began before.
    started = now if state.started_seconds is None else min(state.started_seconds, now)

    def played(refused: Mapping[str, Mapping[str, Step]]) -> dict[str, PoolDraft]:
        drafts = {
            pool.name: PoolDraft(
                now_seconds=now,
                pool=pool,
                policy=policy,
                policy_at=_ahead(policy_of, pool, policy),
                constants=(constants or {}).get(pool.name) or RuleConstants(),
                spending=situation.spending,
                started_seconds=started,
                remembered=state.pools.get(pool.name, {}),
                refused_gangs=refused.get(pool.name, {}),
                steps=[
                    *(Step(rule="reading", text=text) for text in pool.remarks),
                    *(Step(rule="policy", text=text) for text in policy.notes),
                ],
            )
            for pool in situation.pools
            if (policy := policy_of(pool, now)) is not None
        }
        for rule in rules:
            rule(tuple(drafts.values()))
        return drafts

    drafts = _without_dear_gangs(played)
    plan = NodePlan(
        at_seconds=now,
        pools=tuple(
            _plan(drafts[pool.name]) if pool.name in drafts else _left_alone(pool)
            for pool in situation.pools
        ),
    )
    memory = {name: draft.memory for name, draft in drafts.items()}
    return plan, DecisionState(started_seconds=started, pools=memory)


def _check(situation: Situation) -> None:
    names: set[str] = set()
    for pool in situation.pools:
        if pool.name in names:
            raise ValueError(f"two pools are called {pool.name!r}: decide for each cluster alone")
        names.add(pool.name)
        if pool.gpus_per_node < 1:
            raise ValueError(
                f"pool {pool.name!r} has {pool.gpus_per_node} GPUs a node: leave out pools without"
            )


def _without_dear_gangs(
    played: Callable[[Mapping[str, Mapping[str, Step]]], dict[str, PoolDraft]],
) -> dict[str, PoolDraft]:
    """The drafts of the first pass in which no ceiling refuses a gang, or of the last one.

    Args:
        played: makes a pass without these gangs, by pool and by name, with why.
    """
    refused: dict[str, dict[str, Step]] = {}
    drafts = played(refused)
    for _ in range(_PASSES_MAX - 1):
        dear = {name: one.too_dear_gangs for name, one in drafts.items() if one.too_dear_gangs}
        if not dear:
            break
        refused |= {name: {**refused.get(name, {}), **gangs} for name, gangs in dear.items()}
        drafts = played(refused)
    return drafts


def _ahead(
    policy_of: PolicyOf, pool: PoolState, now_policy: PoolPolicy
) -> Callable[[float], PoolPolicy]:
    return lambda at_seconds: policy_of(pool, at_seconds) or now_policy


def _plan(draft: PoolDraft) -> PoolPlan:
    return PoolPlan(
        pool=draft.pool.name,
        act=draft.policy.act,
        nodes=tuple(_decision(draft, node) for node in draft.pool.nodes),
        orders=tuple(draft.orders),
        deletion_costs=draft.deletion_costs,
        disruption_costs=draft.disruption_costs,
        set_aside=frozenset(draft.set_aside),
        steps=tuple(draft.steps),
    )


def _left_alone(pool: PoolState) -> PoolPlan:
    return PoolPlan(
        pool=pool.name,
        act=False,
        nodes=tuple(
            NodeDecision(
                node=node.name, uid=node.uid, verdict=Verdict.LEAVE, reason=_why_idle(node)
            )
            for node in pool.nodes
        ),
        steps=(Step(rule="policy", text="no policy covers this pool"),),
    )


def _decision(draft: PoolDraft, node: PoolNode) -> NodeDecision:
    steps = tuple(draft.node_steps.get(node.uid, ()))
    verdict, until = Verdict.LEAVE, None
    reason = draft.reasons.get(node.uid) or _why_idle(node)
    if node.uid in draft.releases:
        verdict, reason = Verdict.RELEASE, draft.releases[node.uid]
    elif node.uid in draft.holds:
        hold = draft.holds[node.uid]
        verdict, reason, until = Verdict.HOLD, hold.reason, hold.until_seconds
    return NodeDecision(
        node=node.name,
        uid=node.uid,
        verdict=verdict,
        reason=reason,
        until_seconds=until,
        steps=steps,
    )


def _why_idle(node: PoolNode) -> Reason | None:
    """Why a node that no rule holds is there without serving."""
    if node.stage is not NodeStage.INITIALIZED:
        return Reason.UNINITIALIZED
    if not is_empty(node):
        if not node.pods:
            return Reason.OUT
        return Reason.FRAGMENTATION if node.free_gpus > 0 else None
    return Reason.HELD_BY_OTHERS if node.held_by_others else Reason.NONE
