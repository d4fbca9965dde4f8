"""The cluster as a policy sees it: the records that production makes of real objects."""

from datetime import UTC, datetime

from fleet.cluster.owners import Workload
from policies.rules.draft import SPECULATIVE
from policies.situation import (
    GangDemand,
    LeadTime,
    NodePod,
    PoolNode,
    PoolState,
    Situation,
    Spending,
)
from replay.cluster.live import Live, LiveNode, LivePod, LivePool
from replay.cluster.policy import Forecasts
from replay.cluster.settings import ClusterSettings, GangRun


class Records:
    """Makes a `Situation`; the record of a node that did not change is kept."""

    def __init__(self, settings: ClusterSettings, live: Live, forecasts: Forecasts) -> None:
        self._live = live
        self._forecasts = forecasts
        self._gangs: dict[str, list[GangRun]] = {}
        self._workloads: dict[str, tuple[Workload, ...]] = {}
        self._gpus_per_pod: dict[str, int] = {}
        self._lead_times: dict[str, LeadTime] = {}
        for pool in settings.pools:
            mine = {one.workload: None for one in settings.asking if pool.name in one.pools}
            self._workloads[pool.name] = tuple(mine)
            own = [one.gpus_per_pod for one in settings.services if pool.name in one.pools]
            self._gpus_per_pod[pool.name] = max(own, default=1)
            self._lead_times[pool.name] = pool.start_up.lead_time()
            self._gangs[pool.name] = [g for g in settings.gangs if g.pools[0] == pool.name]
        self._month = 0
        self._usd_before_month = 0.0

    def situation(self, now_seconds: float) -> Situation:
        return Situation(
            now_seconds=now_seconds,
            pools=tuple(self._pool(pool, now_seconds) for pool in self._live.pools.values()),
            spending=self._spending(now_seconds),
        )

    def _spending(self, now_seconds: float) -> Spending:
        """Of all pools together, in months of UTC, from books that a round brings up to date."""
        month = datetime.fromtimestamp(now_seconds, UTC).month
        usd = sum(_speculative_usd(pool) for pool in self._live.pools.values())
        if month != self._month:
            self._month, self._usd_before_month = month, usd
        return Spending(month_usd=usd - self._usd_before_month)

    def _pool(self, pool: LivePool, now_seconds: float) -> PoolState:
        settings, name = pool.settings, pool.settings.name
        forecast = self._forecasts.get(name)
        waiting = sum(
            pod.gpus for pod in self._live.pending if pod.gang is None and pod.pools[0] == name
        )
        return PoolState(
            name=name,
            gpus_per_node=settings.gpus_per_node,
            gpus_per_pod=self._gpus_per_pod[name],
            usd_per_hour=settings.usd_per_node_hour,
            capacity_type=settings.capacity_type,
            nodes=tuple(_node(node, now_seconds) for node in pool.nodes),
            demand_gpus=float(pool.service_gpus + waiting),
            forecast=forecast(now_seconds) if forecast else None,
            gangs=tuple(self._gangs_now(name, now_seconds)),
            lead_time=self._lead_times[name],
            nodes_max=settings.nodes_max,
            consolidate_after_seconds=settings.consolidate_after_seconds,
            static=settings.static,
            workloads=self._workloads[name],
            pods_wait=any(name in pod.pools for pod in self._live.pending),
        )

    def _gangs_now(self, pool: str, now_seconds: float) -> list[GangDemand]:
        found: list[GangDemand] = []
        for gang in self._gangs[pool]:
            waiting = sum(pod.gang is gang for pod in self._live.pending)
            running = [
                pod
                for name in gang.pools
                for node in self._live.pools[name].nodes
                for pod in node.pods
                if pod.gang is gang
            ]
            if waiting or running:
                ends = max((p.ready_seconds for p in running), default=0.0) + gang.run_seconds
                found.append(
                    GangDemand(
                        workload=gang.workload,
                        pods=gang.pods,
                        gpus_per_pod=float(gang.gpus_per_pod),
                        waiting_pods=waiting,
                        ends_at_seconds=ends if running else None,
                    )
                )
        return found


def _speculative_usd(pool: LivePool) -> float:
    """What was paid so far for capacity that the policy kept or ordered ahead of demand."""
    usd_per_hour = pool.settings.usd_per_node_hour or 0.0
    idle = pool.books.idle_gpu_seconds
    gpu_seconds = sum(idle.get(reason, 0.0) for reason in SPECULATIVE)
    return gpu_seconds / 3600 * usd_per_hour / pool.settings.gpus_per_node


def _node(node: LiveNode, now_seconds: float) -> PoolNode:
    kept = node.record
    if kept is not None:
        return kept
    settings = node.pool.settings
    held = node.held_until_seconds
    node.record = PoolNode(
        name=node.name,
        uid=node.name,
        capacity_type=settings.capacity_type,
        gpus=node.gpus,
        usd_per_hour=settings.usd_per_node_hour,
        stage=node.stage,
        stage_since_seconds=node.stage_since_seconds,
        ordered_seconds=node.ordered_seconds,
        cancellable=True,
        pods=tuple(_pod(pod, now_seconds) for pod in node.pods),
        empty_since_seconds=node.empty_since_seconds,
        replaced_until_seconds=node.replaced_until_seconds if not node.pods else None,
        held_by_us_until_seconds=held if held > now_seconds else None,
        leaving=node.leaving,
    )
    record = node.record
    if any(pod.ready_seconds > now_seconds for pod in node.pods):
        node.record = None  # a pod becomes ready without an event
    return record


def _pod(pod: LivePod, now_seconds: float) -> NodePod:
    return NodePod(
        uid=pod.uid,
        name=f"{pod.workload.namespace}/{pod.uid}",
        workload=pod.workload,
        gpus=float(pod.gpus),
        ready=pod.ready_seconds <= now_seconds,
        created_seconds=pod.created_seconds,
    )
