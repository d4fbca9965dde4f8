"""The rounds of a node policy: when they are made, and how a plan is carried out.

Both are as in production: the times of rounds are `policies.rounds`', and an empty node that is
let go gets a taint first, which keeps pods off, and goes if a later round still lets it go. A start
that is called off goes at once; so does a node with pods, if a policy wants that.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from policies.node_plan import NodeDecision, PoolPlan, Verdict
from policies.rounds import SEEN_SECONDS, SETTLE_SECONDS, RoundTimes
from replay.cluster.agenda import Turn
from replay.cluster.disruption import Disruption
from replay.cluster.live import Live, LiveNode
from replay.cluster.policy import NodePolicy
from replay.cluster.provisioning import Provisioning
from replay.cluster.records import Records


@dataclass(frozen=True, slots=True, kw_only=True)
class Doing:
    """What a round may do to the cluster."""

    let_go: Callable[[LiveNode, float], None]
    bind_pending: Callable[[float], None]
    disruption: Disruption
    provisioning: Provisioning


class Rounds:
    """Has the policy decide, and carries out what it decides."""

    def __init__(
        self,
        policy: NodePolicy,
        *,
        live: Live,
        records: Records,
        doing: Doing,
        begin_seconds: float,
        round_seconds: float,
    ) -> None:
        self._policy = policy
        self._live = live
        self._records = records
        self._doing = doing
        self._begin_seconds = begin_seconds
        self._times = RoundTimes(round_seconds)
        self._planned_seconds = inf

    def ask(self, at_seconds: float, now_seconds: float) -> None:
        """Have a round at that moment, or soon after it."""
        self._times.ask(at_seconds, now_seconds)
        self._plan_next()

    def pods_wait(self, now_seconds: float) -> None:
        """Pods begin to wait."""
        self.ask(now_seconds + SEEN_SECONDS, now_seconds)

    def ranking_changed(self, now_seconds: float) -> None:
        """A pod of a service has left a node to others of services."""
        self._times.ranking_changed(now_seconds + SEEN_SECONDS)
        self._plan_next()

    def make(self, now_seconds: float) -> None:
        """Make a round, unless it was moved."""
        if self._times.left_seconds(now_seconds):
            return
        self._times.begun(now_seconds, now_seconds - self._begin_seconds)
        self._planned_seconds = inf
        for plan in self._policy.decide(self._records.situation(now_seconds)).pools:
            if plan.act:
                self._carry_out(plan, now_seconds)
        self._plan_next()

    def _plan_next(self) -> None:
        due = self._times.due_seconds
        if due < self._planned_seconds:
            self._planned_seconds = due
            self._live.agenda.add(due, Turn.ROUND, self.make)

    def _carry_out(self, plan: PoolPlan, now: float) -> None:
        pool = self._live.pools[plan.pool]
        nodes = {node.name: node for node in pool.nodes}
        tainted = [node for node in pool.nodes if node.tainted_since_seconds is not None]
        for decision in plan.nodes:
            if not nodes[decision.node].leaving:
                self._decided(nodes[decision.node], decision, now)
        for pod in (pod for node in pool.nodes for pod in node.pods):
            pod.deletion_cost = plan.deletion_costs.get(pod.uid, 0)
        for order in plan.orders:
            for _ in range(order.nodes):
                self._doing.provisioning.order(pool, now, order.reason)
        if any(node.open for node in tainted):
            self._doing.bind_pending(now)

    def _decided(self, node: LiveNode, decision: NodeDecision, now: float) -> None:
        released = decision.verdict is Verdict.RELEASE
        if released and node.empty_since_seconds is None:
            self._doing.let_go(node, now)
            return
        tainted, node.tainted_since_seconds = node.tainted_since_seconds, None
        if node.empty_since_seconds is None:
            return
        node.account(now)
        held = decision.verdict is Verdict.HOLD
        until = inf if decision.until_seconds is None else decision.until_seconds
        node.held_until_seconds = until if held else now
        if held and decision.reason is not None:
            node.hold_reason = decision.reason
        if released:
            self._next_step(node, tainted, now)
        else:
            self._doing.disruption.may_be_empty(node)

    def _next_step(self, node: LiveNode, tainted: float | None, now: float) -> None:
        if tainted is None:
            if now < node.taint_due_seconds:
                self.ask(node.taint_due_seconds, now)
                return
            tainted = now
        node.tainted_since_seconds = tainted
        settled = tainted + SETTLE_SECONDS
        if now < settled:
            self.ask(settled, now)
        else:
            self._doing.let_go(node, now)
