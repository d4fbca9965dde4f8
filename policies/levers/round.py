"""What a lever sees of one pool in one round."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from fleet.cluster.fields import Json
from fleet.cluster.karpenter import NodePool
from fleet.cluster.nodes import KARPENTER_POOL, POOL_LABELS
from policies.levers.discovery import Discovery
from policies.levers.objects import Objects
from policies.node_plan import NodeDecision, PoolPlan, Step, Verdict
from policies.policy.pool_policy import Lever, PoolPolicy
from policies.situation import PoolNode, PoolState


@dataclass(frozen=True, kw_only=True)  # a cached property needs a __dict__
class PoolRound:
    """One pool's plan, and what it is carried out with."""

    plan: PoolPlan
    pool: PoolState
    """That the plan was made from."""
    policy: PoolPolicy
    discovery: Discovery
    objects: Objects
    pod_spec: Json | None = None
    """Of a real pod of the pool, as its workload's template has it; None = none is known."""
    namespace: str
    """Foresail's own, where its objects are made."""
    now_seconds: float

    @property
    def record(self) -> NodePool | None:
        """None = it is no NodePool of Karpenter's."""
        return self.objects.pools.get(self.pool.name)

    @property
    def lease_end_seconds(self) -> float:
        return self.now_seconds + self.policy.hold_lease_seconds

    @cached_property
    def decisions(self) -> Mapping[str, NodeDecision]:
        """By the node's UID."""
        return {one.uid: one for one in self.plan.nodes}

    @cached_property
    def selector(self) -> Mapping[str, str] | None:
        """The label of the pool's nodes; None = nothing tells it."""
        if self.record is not None:
            return {KARPENTER_POOL: self.pool.name}
        for node in self.pool.nodes:
            found = self.objects.node_named(node.name)
            for key in POOL_LABELS if found is not None else ():
                if found is not None and found.labels.get(key) == self.pool.name:
                    return {key: self.pool.name}
        return None

    def may(self, lever: Lever) -> bool:
        """Whether the policy allows it; whether it acts at all is another question."""
        return lever in self.policy.levers

    def verdict(self, node: PoolNode) -> Verdict:
        decision = self.decisions.get(node.uid)
        return decision.verdict if decision is not None else Verdict.LEAVE


def said(lever: str, text: str) -> tuple[Step, ...]:
    """One step of a lever."""
    return (Step(rule=lever, text=text),)
