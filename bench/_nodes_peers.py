"""Rules for empty nodes from elsewhere, as node policies: a reading of each, named so."""

from bisect import insort
from collections import defaultdict
from math import ceil

from fleet.reasons import Reason
from policies.node_plan import NodeDecision, NodeOrder, NodePlan, PoolPlan, Verdict
from policies.situation import NodeStage, PoolState, Situation
from replay.cluster.settings import NodeStartUp

_LEASE_SECONDS = 360.0


def ski_rental_seconds(start_up: NodeStartUp, gpus_per_node: int, rho: float) -> float:
    """The time after which an empty node has cost as much as a new one and a pod that waits.

    The deterministic rule of ski rental, at most twice as dear as the best schedule.
    """
    lead = start_up.lead_time()
    start_seconds = lead.boot_seconds + lead.pull_seconds
    return start_seconds * (gpus_per_node + rho) / gpus_per_node


class HybridHistogram:
    """Idle times of each node rank in a histogram (Shahrad et al., USENIX ATC 2020).

    A rank that becomes free is let go until shortly before its 5th percentile of past idle times,
    and kept from then up to the 99th. With fewer than 10 idle times it is kept for 10 minutes.
    """

    KEEP_SECONDS = 600.0
    ENOUGH = 10
    RANGE_SECONDS = 4 * 3600.0
    """Longer idle times are out of the histogram's bounds."""
    MARGIN = 0.1

    def __init__(self) -> None:
        self._idle: dict[int, list[float]] = defaultdict(list)
        self._since: dict[int, float] = {}
        self._needed = 0

    def decide(self, situation: Situation) -> NodePlan:
        now, (pool,) = situation.now_seconds, situation.pools
        needed = ceil(pool.demand_gpus / pool.gpus_per_node)
        for rank in range(self._needed, needed):
            if rank in self._since:
                insort(self._idle[rank], now - self._since.pop(rank))
        for rank in range(needed, self._needed):
            self._since[rank] = now
        self._needed = needed
        lead = pool.lead_time.boot_seconds + pool.lead_time.pull_seconds
        warm = sum(self._is_warm(rank, now, lead) for rank in self._since)
        return plan_for(pool, now, needed + warm, Reason.FORECAST_HOLD)

    def _is_warm(self, rank: int, now: float, lead_seconds: float) -> bool:
        idle_seconds = now - self._since[rank]
        past = [seconds for seconds in self._idle[rank] if seconds <= self.RANGE_SECONDS]
        if len(past) < self.ENOUGH:
            return idle_seconds <= self.KEEP_SECONDS
        early = past[int(0.05 * (len(past) - 1))] * (1 - self.MARGIN)
        late = past[ceil(0.99 * (len(past) - 1))] * (1 + self.MARGIN)
        return idle_seconds <= late and (
            early <= lead_seconds or idle_seconds >= early - lead_seconds
        )


def plan_for(pool: PoolState, now: float, wanted: int, reason: Reason) -> NodePlan:
    """Hold, release and order, so that `wanted` nodes are there; pods' own nodes come anyway."""
    here = [node for node in pool.nodes if not node.leaving]
    empty = sorted(
        (node for node in here if node.empty_since_seconds is not None and not node.pods),
        key=lambda node: -(node.empty_since_seconds or 0.0),
    )
    used = sum(node.stage is NodeStage.INITIALIZED for node in here) - len(empty)
    held = max(0, wanted - used)
    decisions = [
        NodeDecision(
            node=node.name,
            uid=node.uid,
            verdict=Verdict.HOLD if place < held else Verdict.RELEASE,
            reason=reason,
            until_seconds=now + _LEASE_SECONDS if place < held else None,
        )
        for place, node in enumerate(empty)
    ]
    karpenters = ceil(pool.demand_gpus / pool.gpus_per_node)
    missing = wanted - max(len(here), karpenters)
    orders = (NodeOrder(nodes=missing, reason=Reason.PRE_WARM),) if missing > 0 else ()
    plan = PoolPlan(pool=pool.name, act=True, nodes=tuple(decisions), orders=orders)
    return NodePlan(at_seconds=now, pools=(plan,))
