"""What the rules have said of one pool so far, within one round.

A rule reads the pool, its policy and what earlier rules said, and adds holds, orders and releases
with their steps. A draft lives inside `policies.decide` and is the only value there that changes.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Final, TypeAlias

from fleet.cluster.nodes import CapacityType
from fleet.reasons import Reason
from policies.node_plan import NodeOrder, Step
from policies.policy.pool_policy import Lever, PoolPolicy
from policies.rules.constants import RuleConstants
from policies.situation import NodeStage, PoolNode, PoolState, Spending

SPECULATIVE: Final = frozenset({Reason.FORECAST_HOLD, Reason.PRE_WARM, Reason.WARM_FLOOR})
"""Reasons for capacity that no pod asks for now: what the ceilings of a policy limit."""
ORDER_LEVERS: Final = frozenset({Lever.CAPACITY_BUFFER, Lever.PLACEHOLDER, Lever.STATIC_POOL})
_NOISE: Final = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """One node that is to stay."""

    reason: Reason
    until_seconds: float
    gang: str | None = None
    """That it waits for; None = it does not wait for a gang."""


@dataclass(slots=True, kw_only=True)
class PoolDraft:
    """The draft of one pool's plan."""

    now_seconds: float
    pool: PoolState
    policy: PoolPolicy
    policy_at: Callable[[float], PoolPolicy]
    """The policy as it will be at a time, by its schedule."""
    constants: RuleConstants
    spending: Spending
    started_seconds: float
    """When the first round of this state was; before it nothing is remembered."""
    remembered: Mapping[str, float] = field(default_factory=dict)
    """What the rules noted in the round before."""
    memory: dict[str, float] = field(default_factory=dict)
    """What they note for the next one; anything else is forgotten."""
    holds: dict[str, Hold] = field(default_factory=dict)
    """By UID of the node."""
    kept: set[str] = field(default_factory=set)
    """UIDs of nodes that a rule wants to stay, whether it may hold them or not."""
    refused_gangs: Mapping[str, Step] = field(default_factory=dict)
    """That an earlier pass of this round found too dear, by name, with why: they get no node."""
    too_dear_gangs: dict[str, Step] = field(default_factory=dict)
    """The same, as this pass finds it."""
    wanted_by_gangs: set[str] = field(default_factory=set)
    """UIDs of nodes that gangs without a node could use: they are not let go."""
    releases: dict[str, Reason] = field(default_factory=dict)
    """By UID of the node, with the reason why it is idle."""
    set_aside: set[str] = field(default_factory=set)
    """UIDs of nodes for gangs; no other rule counts on them."""
    orders: list[NodeOrder] = field(default_factory=list)
    deletion_costs: dict[str, int] = field(default_factory=dict)
    disruption_costs: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, Reason] = field(default_factory=dict)
    """Of nodes that are neither held nor released, where a rule knows it."""
    steps: list[Step] = field(default_factory=list)
    node_steps: dict[str, list[Step]] = field(default_factory=dict)
    nodes_wanted: int | None = None
    """That the present and the forecast want; None = no forecast tells."""
    nodes_kept: int = 0
    """That other rules want whatever the forecast says, ready or on their way, without those for
    gangs."""

    @property
    def present(self) -> list[PoolNode]:
        """Nodes that other rules than those for gangs count on, from their order to their end."""
        return [node for node in self.pool.nodes if node.lasts and node.uid not in self.set_aside]

    @property
    def used(self) -> list[PoolNode]:
        """With pods, or with GPUs that are given out; not what only stands there out of service."""
        return [
            node
            for node in self.present
            if node.stage is NodeStage.INITIALIZED
            and not is_empty(node)
            and (node.pods or not node.out_of_service)
        ]

    @property
    def empty(self) -> list[PoolNode]:
        """In the order in which they are kept: the last is the first to go.

        Nodes that cannot go come first. Then the cheapest, because a dearer one frees more, and
        among equals the one that was used last.
        """
        return sorted(filter(is_empty, self.present), key=self._keeping)

    @property
    def coming(self) -> list[PoolNode]:
        """On their way: pods cannot have their GPUs yet."""
        return [node for node in self.present if node.stage is not NodeStage.INITIALIZED]

    @property
    def demand_nodes(self) -> int:
        """Nodes that the present demand fills; Karpenter buys these by itself."""
        return self.filled_by(self.pool.demand_gpus)

    @property
    def demand_nodes_unused(self) -> int:
        """Those of them that have no pod yet."""
        return max(0, self.demand_nodes - len(self.used))

    def filled_by(self, gpus: float) -> int:
        """Nodes that so many GPUs of demand fill."""
        return math.ceil(gpus / self.pool.gpus_per_node - _NOISE)

    @property
    def _gpus_ending(self) -> float:
        """Of pods whose node ends: Karpenter buys none for them before it does."""
        gangs = {gang.workload for gang in self.pool.gangs}  # no part of the present demand
        ending = (node for node in self.pool.nodes if node.ending and not node.leaving)
        return sum(pod.gpus for node in ending for pod in node.pods if pod.workload not in gangs)

    @property
    def nodes_coming_or_here(self) -> int:
        """At least those that Karpenter buys for pods that wait."""
        bought = self.filled_by(self.pool.demand_gpus - self._gpus_ending)
        return max(len(self.present), bought)

    @property
    def nodes_to_be(self) -> int:
        """With those that are ordered in this round, without those for gangs."""
        orders = (order.nodes for order in self.orders if order.reason is not Reason.GANG)
        return self.nodes_coming_or_here + sum(orders)

    @property
    def room(self) -> int | None:
        """Nodes that may still be ordered; None = the pool has no limit."""
        if self.pool.nodes_max is None:
            return None
        wanted_now = self.demand_nodes + len(self.set_aside)
        ordered = sum(order.nodes for order in self.orders)
        return max(0, self.pool.nodes_max - max(len(self.pool.nodes), wanted_now) - ordered)

    @property
    def settling(self) -> bool:
        """Whether too little is remembered to undo what stands."""
        return self.now_seconds - self.started_seconds < self.constants.settle_seconds

    @property
    def lease_end_seconds(self) -> float:
        return self.now_seconds + self.policy.hold_lease_seconds

    def usd_per_hour(self, node: PoolNode) -> float | None:
        return node.usd_per_hour if node.usd_per_hour is not None else self.pool.usd_per_hour

    def frees(self, node: PoolNode) -> str:
        """What it is worth that a node goes."""
        usd = self.usd_per_hour(node)
        price = "an unknown price" if usd is None else f"${usd:.2f} an hour"
        return f"it frees {node.gpus} GPUs and {price}"

    def hold(
        self,
        node: PoolNode,
        reason: Reason,
        until_seconds: float,
        step: Step,
        gang: str | None = None,
    ) -> None:
        """Keep a node; the first rule that wants it names the reason."""
        self.remark(node, step)
        self.kept.add(node.uid)
        if Lever.NODE_HOLD not in self.policy.levers:
            self.say(Step(rule="levers", text="the policy does not allow holds of nodes"))
        elif not node.held_by_others:
            hold = Hold(reason=reason, until_seconds=until_seconds, gang=gang)
            self.holds.setdefault(node.uid, hold)

    def keep_at_least(self, nodes: int) -> None:
        """Want so many nodes whatever the forecast says."""
        self.nodes_kept = max(self.nodes_kept, nodes)

    def refuse(self, gang: str, why: Step) -> None:
        """Keep nothing for a gang that cannot be paid for."""
        self.say(why)
        self.too_dear_gangs[gang] = why
        for uid in [uid for uid, hold in self.holds.items() if hold.gang == gang]:
            del self.holds[uid]
            self.kept.discard(uid)

    def keep_standing(self, node: PoolNode, reason: Reason, step: Step) -> None:
        """Let a hold of ours run to its end, without renewing it.

        One of a node that a refused gang could use ends: it may have been for that gang.
        """
        if node.uid in self.wanted_by_gangs:
            return
        until = node.held_by_us_until_seconds
        if until is not None and until > self.now_seconds:
            self.hold(node, reason, min(until, self.lease_end_seconds), step)

    def release(self, node: PoolNode, reason: Reason, step: Step) -> None:
        """Let a node go that is empty, or still starts."""
        self.remark(node, step)
        self.releases[node.uid] = reason

    def order(self, order: NodeOrder) -> None:
        """Want more nodes, as far as the pool's limit goes."""
        nodes = order.nodes if self.room is None else min(order.nodes, self.room)
        if not ORDER_LEVERS & self.policy.levers:
            self.say(Step(rule="levers", text="the policy allows no lever that orders nodes"))
            return
        if nodes < order.nodes:
            text = f"{order.nodes} more nodes are wanted, and its limits allow {nodes}"
            self.say(Step(rule="limits", text=text))
        if nodes > 0:
            self.orders.append(replace(order, nodes=nodes))

    def remark(self, node: PoolNode, step: Step) -> None:
        self.node_steps.setdefault(node.uid, []).append(step)

    def say(self, step: Step) -> None:
        if step not in self.steps:
            self.steps.append(step)

    def since(self, key: str, at_most_seconds: float | None = None) -> float:
        """Since when a rule has noted `key` in every round; a clock that went back counts as now.

        Args:
            key: with the rule's name, and what it is about.
            at_most_seconds: the beginning, where it is known better than by the first round.
        """
        begin = self.remembered.get(key, at_most_seconds)
        noted = self.now_seconds if begin is None else min(begin, self.now_seconds)
        self.memory[key] = noted
        return noted

    def _keeping(self, node: PoolNode) -> tuple[bool, float, float, str]:
        return (
            not cannot_go(node),
            self.usd_per_hour(node) or 0.0,
            -(node.empty_since_seconds or 0.0),
            node.name,
        )


Rule: TypeAlias = Callable[[Sequence[PoolDraft]], None]
"""A rule sees the drafts of all pools, as the rules before it left them."""


def per_pool(rule: Callable[[PoolDraft], None]) -> Rule:
    """The rule for all pools of one that looks at a single pool."""

    @wraps(rule)
    def for_all(drafts: Sequence[PoolDraft]) -> None:
        for draft in drafts:
            rule(draft)

    return for_all


def cannot_go(node: PoolNode) -> bool:
    """Whether it stays whatever the rules say: others keep it, or its release saves nothing."""
    reserved = node.capacity_type is CapacityType.RESERVED
    return node.held_by_others or reserved or node.cpu_pod is not None


def is_empty(node: PoolNode) -> bool:
    """Whether it is known that no pod has a GPU of it."""
    return (
        node.stage is NodeStage.INITIALIZED
        and not node.pods
        and node.empty_since_seconds is not None
    )


def is_starting(node: PoolNode) -> bool:
    """Whether it is a machine on its way that can be called off, and no pod has a GPU of it."""
    return node.stage is not NodeStage.INITIALIZED and node.cancellable and not node.pods
