"""Idle capacity that Foresail holds or orders stays within the policy's ceilings in dollars.

Pools of one policy share its ceilings. Nodes ahead of demand that are on their way, and are not
called off in this round, count first. Then come holds, the youngest first, so that the oldest is
the first to go; then orders. What is held no more goes at once, so that it costs nothing more, but
nodes that present demand wants, and nodes without a known price: an unknown price is no high one,
and Karpenter decides. For the month, a hold is counted for its whole lease, and an order for
its boot too: what is granted is paid for even if Foresail ends. Work that runs, models that load
and reservations are no part of it.

Nodes that wait for a gang count first too. They are kept, and an order for a gang is granted, whole
or not at all: any tenant can make pods that a gate holds back, and no quota of GPUs counts them.
The round is then decided again without that gang, so that other rules have the nodes.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from fleet.cluster.nodes import CapacityType
from fleet.reasons import Reason
from policies.node_plan import NodeOrder, Step
from policies.rules.draft import SPECULATIVE, PoolDraft
from policies.rules.release import not_releasable
from policies.situation import PoolNode

_RULE: Final = "budget"
_HOUR: Final = 3600.0
_NOISE: Final = 1e-9


@dataclass(slots=True, kw_only=True)
class _Purse:
    """What is left of a policy's ceilings; None = there is no such ceiling."""

    usd_per_hour: float | None
    usd_of_month: float | None

    @property
    def limits(self) -> bool:
        return self.usd_per_hour is not None or self.usd_of_month is not None

    def takes(self, usd_per_hour: float | None, seconds: float) -> str | None:
        """Pay for a node, or say why it is not affordable."""
        if usd_per_hour is None:
            return "its price is unknown, and the policy has a ceiling"
        usd = usd_per_hour * seconds / _HOUR
        if self.usd_per_hour is not None and usd_per_hour > self.usd_per_hour + _NOISE:
            left = max(0.0, self.usd_per_hour)
            return f"${usd_per_hour:.2f} an hour, and ${left:.2f} is left of the hour's ceiling"
        if self.usd_of_month is not None and usd > self.usd_of_month + _NOISE:
            left = max(0.0, self.usd_of_month)
            return f"${usd:.2f} for its lease, and ${left:.2f} is left of the month's ceiling"
        self.spend(usd_per_hour, seconds)
        return None

    def spend(self, usd_per_hour: float, seconds: float) -> None:
        if self.usd_per_hour is not None:
            self.usd_per_hour -= usd_per_hour
        if self.usd_of_month is not None:
            self.usd_of_month -= usd_per_hour * seconds / _HOUR


def keep_within_ceilings(drafts: Sequence[PoolDraft]) -> None:
    """Drop holds and orders that are not affordable."""
    by_policy: dict[str, list[PoolDraft]] = defaultdict(list)
    for draft in drafts:
        by_policy[draft.policy.policy].append(draft)
    for name, group in by_policy.items():
        purse = _Purse(
            usd_per_hour=group[0].policy.idle_usd_per_hour_max,
            usd_of_month=_left_of_month(group[0], name),
        )
        if purse.limits:
            _commit(group, purse)
            _grant_holds(group, purse)
            for draft in group:
                draft.orders = list(_affordable(draft, purse))
                _let_go(draft)


def _left_of_month(draft: PoolDraft, policy: str) -> float | None:
    ceiling = draft.policy.idle_usd_per_month_max
    return None if ceiling is None else ceiling - draft.spending.of_policy(policy)


def _commit(group: Iterable[PoolDraft], purse: _Purse) -> None:
    for draft in group:
        coming = [node for node in draft.coming if node.uid not in draft.releases]
        called_off = len(draft.coming) - len(coming)
        ahead = len(draft.present) - called_off - max(len(draft.used), draft.demand_nodes)
        for node in coming[: max(0, ahead)]:
            purse.spend(_spent_per_hour(draft, node), _order_seconds(draft))
        waiting: dict[str, list[PoolNode]] = defaultdict(list)
        for node in draft.pool.nodes:
            if node.uid in draft.set_aside and not node.pods:
                hold = draft.holds.get(node.uid)
                if hold is None or hold.gang is None:
                    purse.spend(_spent_per_hour(draft, node), draft.policy.hold_lease_seconds)
                else:
                    waiting[hold.gang].append(node)
        for gang, nodes in waiting.items():
            _commit_gang(draft, gang, nodes, purse)


def _commit_gang(draft: PoolDraft, gang: str, nodes: Sequence[PoolNode], purse: _Purse) -> None:
    """Pay for all nodes that wait for a gang, or keep none of them."""
    prices = [_usd_per_hour(draft, node) for node in nodes]
    known = [usd for usd in prices if usd is not None]
    usd = sum(known) if len(known) == len(prices) else None
    why = purse.takes(usd, draft.policy.hold_lease_seconds)
    if why is not None:
        text = f"{gang} keeps none of its {len(nodes)} nodes: {why}"
        draft.refuse(gang, Step(rule=_RULE, text=text))
        draft.orders = [order for order in draft.orders if order.workload != gang]


def _spent_per_hour(draft: PoolDraft, node: PoolNode) -> float:
    """Of a node that is there or comes; without a known price it cannot be counted."""
    return _usd_per_hour(draft, node) or 0.0


def _usd_per_hour(draft: PoolDraft, node: PoolNode) -> float | None:
    """A reserved node costs nothing more; None = the price is not known."""
    return 0.0 if node.capacity_type is CapacityType.RESERVED else draft.usd_per_hour(node)


def _grant_holds(group: Iterable[PoolDraft], purse: _Purse) -> None:
    held = [
        (draft, node)
        for draft in group
        for node in draft.pool.nodes
        if node.uid in draft.holds and draft.holds[node.uid].reason in SPECULATIVE
    ]
    youngest_first = sorted(held, key=lambda one: (-_empty_since(*one), one[1].name))
    for draft, node in youngest_first:
        why = purse.takes(draft.usd_per_hour(node), draft.policy.hold_lease_seconds)
        if why is not None:
            del draft.holds[node.uid]
            draft.reasons[node.uid] = Reason.BUDGET
            draft.remark(node, Step(rule=_RULE, text=f"not held: {why}"))


def _empty_since(draft: PoolDraft, node: PoolNode) -> float:
    return draft.now_seconds if node.empty_since_seconds is None else node.empty_since_seconds


def _given_up(draft: PoolDraft) -> list[PoolNode]:
    """Nodes that are not held any more because their price is above what is left.

    Without those that present demand wants: these stay, in the order in which it is counted. A
    node's own price: the one of new nodes, by which it counted, is that on demand where the pool
    allows spot machines too.
    """
    return [
        node
        for node in draft.empty[draft.demand_nodes_unused :]
        if draft.reasons.get(node.uid) is Reason.BUDGET and node.usd_per_hour is not None
    ]


def _affordable(draft: PoolDraft, purse: _Purse) -> Iterable[NodeOrder]:
    cut = bool(_given_up(draft))
    usd = draft.pool.usd_per_hour_ordered
    gangs = _granted_gangs(draft, usd, purse)
    for order in draft.orders:
        if order.reason is Reason.GANG:
            if order.workload in gangs:
                yield order
            continue
        why = "a node of the pool is given up for its ceiling" if cut else None
        nodes = 0
        while order.reason in SPECULATIVE and nodes < order.nodes and why is None:
            why = purse.takes(usd, _order_seconds(draft))
            nodes += why is None
        if order.reason not in SPECULATIVE:
            yield order
            continue
        if nodes < order.nodes:
            text = f"{order.nodes - nodes} of {order.nodes} nodes are not ordered: {why}"
            draft.say(Step(rule=_RULE, text=text))
        if nodes:
            yield replace(order, nodes=nodes)


def _granted_gangs(draft: PoolDraft, usd: float | None, purse: _Purse) -> set[str | None]:
    """The gangs whose orders are all affordable; a spot hedge splits one gang's order in two."""
    wanted: Counter[str | None] = Counter()
    for order in draft.orders:
        if order.reason is Reason.GANG:
            wanted[order.workload] += order.nodes
    granted = set()
    for gang, nodes in wanted.items():
        why = purse.takes(None if usd is None else usd * nodes, _order_seconds(draft))
        if why is None:
            granted.add(gang)
            continue
        if gang is not None:
            text = f"{gang} gets none of its {nodes} nodes: {why}"
            draft.refuse(gang, Step(rule=_RULE, text=text))
    return granted


def _order_seconds(draft: PoolDraft) -> float:
    return draft.pool.lead_time.boot_seconds_p90 + draft.policy.hold_lease_seconds


def _let_go(draft: PoolDraft) -> None:
    """Release what is not affordable."""
    cut = _given_up(draft)
    refused = not_releasable(draft, cut)
    for node in cut:
        if refused.get(node.uid) is None:
            text = "let go, so that it costs nothing more"
            draft.release(node, Reason.BUDGET, Step(rule=_RULE, text=text))
