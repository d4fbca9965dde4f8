"""From a plan for nodes to changes of API objects: each lever in its turn, and why it was taken.

Nodes are ordered by the first lever that can, and every better one says why it cannot: a
CapacityBuffer, placeholder pods, the size of a static pool, nothing. Holds come before buffers are
drained, so that a node that has just come is never without either. What an earlier choice left is
given up in the same round. Nothing here writes below a NodePool's `spec.template`, which would
replace its nodes.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from fleet.cluster.fields import Json
from policies.levers import capacity_buffer, placeholder, static_pool
from policies.levers.cancel import cancel_nodes
from policies.levers.capacity_buffer import buffer_refused, give_up_buffers, order_by_buffer
from policies.levers.change import Address, Change, LeverResult
from policies.levers.deletion_cost import rank_pods
from policies.levers.discovery import Discovery
from policies.levers.garbage import collect
from policies.levers.hold import hold_nodes
from policies.levers.objects import Objects, node_address
from policies.levers.placeholder import (
    give_up_placeholders,
    order_by_placeholder,
    placeholder_refused,
)
from policies.levers.pod_shape import uses_claims
from policies.levers.quiet_hours import keep_quiet
from policies.levers.release import release_nodes
from policies.levers.round import PoolRound, said
from policies.levers.static_pool import scale_refused, set_size
from policies.node_plan import NodePlan, Step
from policies.policy.pool_policy import PoolPolicy
from policies.situation import PoolState

RULE: Final = "levers"


@dataclass(frozen=True, slots=True, kw_only=True)
class _OrderLever:
    """A lever that orders nodes."""

    name: str
    refused: Callable[[PoolRound], str | None]
    order: Callable[[PoolRound], LeverResult]
    give_up: Callable[[PoolRound], LeverResult]


_ORDER_LEVERS: Final = (
    _OrderLever(
        name=capacity_buffer.LEVER,
        refused=buffer_refused,
        order=order_by_buffer,
        give_up=give_up_buffers,
    ),
    _OrderLever(
        name=placeholder.LEVER,
        refused=placeholder_refused,
        order=order_by_placeholder,
        give_up=give_up_placeholders,
    ),
    _OrderLever(
        name=static_pool.LEVER,
        refused=scale_refused,
        order=set_size,
        give_up=lambda _: LeverResult(),
    ),
)
"""The best first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeverInput:
    """What one round of all levers is made from."""

    plan: NodePlan
    pools: Mapping[str, PoolState]
    """That the plan was made from."""
    policies: Mapping[str, PoolPolicy]
    """By pool; a pool that is missing has none, and only its garbage is collected."""
    discovery: Discovery
    objects: Objects
    pod_specs: Mapping[str, Json] = field(default_factory=dict)
    """By pool, of a real pod of it."""
    namespace: str
    """Foresail's own, where its objects are made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Actions:
    """What is to be done in a round."""

    changes: tuple[Change, ...]
    """In this order."""
    steps: Mapping[str, tuple[Step, ...]]
    """By pool: which lever, and why not a better one."""


def actions(given: LeverInput) -> Actions:
    """The changes that carry a plan out; with objects as the plan wants them there is none."""
    changes: list[Change] = []
    steps: dict[str, tuple[Step, ...]] = {}
    kept: set[Address] = set()
    now = given.plan.at_seconds
    for plan in given.plan.pools:
        pool, policy = given.pools.get(plan.pool), given.policies.get(plan.pool)
        if pool is None or policy is None:
            continue
        round_ = PoolRound(
            plan=plan,
            pool=pool,
            policy=policy,
            discovery=given.discovery,
            objects=given.objects,
            pod_spec=given.pod_specs.get(plan.pool),
            namespace=given.namespace,
            now_seconds=now,
        )
        result = _carried_out(round_)
        steps[plan.pool] = result.steps
        if plan.act:
            kept |= {change.address for change in result.changes}
            # A node that goes keeps its taint until it is gone.
            kept |= {node_address(one.empty_node) for one in result.changes if one.empty_node}
            changes += result.changes
        else:
            changes += (replace(change, execute=False) for change in result.changes)
    changes += collect(given.objects, now, kept)
    return Actions(changes=_once(changes), steps=steps)


def _carried_out(round_: PoolRound) -> LeverResult:
    # A pool that was static may have objects of ours from before, and they are given up below.
    ordered = _ordered(round_)
    result = hold_nodes(round_) + ordered + cancel_nodes(round_, ordered.changes)
    return result + release_nodes(round_) + rank_pods(round_) + keep_quiet(round_)


def _ordered(round_: PoolRound) -> LeverResult:
    """Order by the first lever that can; the others give up what they still ask for."""
    result, chosen = LeverResult(), False
    for lever in _ORDER_LEVERS:
        why = lever.refused(round_)
        if why is None and not chosen:
            chosen = True
            result += lever.order(round_)
            continue
        result += lever.give_up(round_)
        if not chosen and round_.plan.orders:
            result += LeverResult(steps=said(RULE, f"not by {lever.name}: {why}"))
    wanted = sum(order.nodes for order in round_.plan.orders)
    if wanted and not chosen:
        text = f"{wanted} nodes are wanted, and no lever can order them: nothing is done"
        result += LeverResult(steps=said(RULE, text))
    if round_.plan.orders and uses_claims(round_):
        result += LeverResult(steps=said(RULE, _of_claims(round_.discovery)))
    return result


def _of_claims(discovery: Discovery) -> str:
    """What is known of nodes for pods that ask by ResourceClaims."""
    if discovery.auto_mode:
        return "its pods ask by ResourceClaims, and EKS Auto Mode supports no DRA driver for GPUs"
    match discovery.orders_for_claims:
        case True:
            return "its pods ask by ResourceClaims, and Karpenter has bought nodes for such"
        case False:
            return "its pods ask by ResourceClaims, and Karpenter buys no nodes for such"
        case _:
            return (
                "its pods ask by ResourceClaims; nothing has shown that Karpenter buys nodes for "
                "such, so room is asked for by extended resource"
            )


def _once(changes: Iterable[Change]) -> tuple[Change, ...]:
    """Without those that say the same of the same object, as of a class that pools share."""
    found: dict[tuple[object, ...], Change] = {}
    for one in changes:
        operations = repr(one.body) if one.address.kind != "PriorityClass" else ""
        found.setdefault((one.verb, one.address, one.subresource, one.execute, operations), one)
    return tuple(found.values())
