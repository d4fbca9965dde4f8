"""The nodes under the replicas that a rule asked for: one run of the cluster, counted and priced.

The replicas come from a replay of traffic, or from anywhere else, and the nodes do not change them.
Each GPU is in use or idle for one reason, so the hours by reason add up to the bill.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from fleet.cluster.owners import Workload
from fleet.reasons import Reason
from policies.decide import PolicyOf
from policies.policy.pool_policy import Mode, PoolPolicy
from policies.policy.resolve import policy_for
from policies.policy.schema import CapacityPolicy
from policies.rounds import ROUND_SECONDS
from policies.situation import PoolState
from replay.cluster.cluster import Cluster
from replay.cluster.policy import NodePolicy
from replay.cluster.settings import ClusterSettings, Pool, Service
from replay.pool_forecast import forecast_of
from replay.traffic import Floats

BEGIN_SECONDS = 1_767_657_600.0
"""2026-01-06, 00:00 UTC, a Tuesday as the first generated day: where a trace is moved to."""
MINUTE_SECONDS = 60
_HOUR = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReplicaDemand:
    """The replicas that a rule asked for; second 0 is where its run began."""

    rule: str
    changes: tuple[tuple[int, int], ...]
    """(second, replicas) in the order of time; the first one is at second 0."""
    past: Floats
    """Replicas each round before second 0, which a forecaster may know."""
    seconds: int
    judged_from_seconds: int = 0
    begin_seconds: float = BEGIN_SECONDS
    """Unix time of second 0."""

    def each_round(self) -> Floats:
        """Replicas at the moment of each decision on nodes."""
        seconds, replicas = zip(*self.changes, strict=True)
        moments = np.arange(0, self.seconds + ROUND_SECONDS, ROUND_SECONDS)
        found: Floats = np.array(replicas, dtype=np.float64)[
            np.searchsorted(np.array(seconds), moments, side="right") - 1
        ]
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSite:
    """The pool, and what a replica takes of it."""

    pool: Pool
    """With the price of its nodes."""
    gpus_per_pod: int = 1
    pod_seconds: float = 120.0
    """From a ready node with its images until the replica serves."""

    @property
    def usd_per_gpu_hour(self) -> float:
        assert self.pool.usd_per_node_hour is not None
        return self.pool.usd_per_node_hour / self.pool.gpus_per_node


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeMinute:
    """One minute of a run; GPUs are means over it."""

    at_seconds: int
    """Its end."""
    used_gpus: float
    """Of pods, also while these load."""
    idle_gpus: Mapping[Reason, float]
    ordered: int
    """Nodes."""
    gone: int
    wanted_gpus: float
    """At its end."""

    @property
    def gpus(self) -> float:
        return self.used_gpus + sum(self.idle_gpus.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOutcome:
    """What came of a run, from where judging begins."""

    used_gpu_hours: float
    idle_gpu_hours: Mapping[Reason, float]
    usd: float
    nodes_launched: int
    pods: int
    """Created."""
    delayed_pods: int
    """Those that waited for a node or its images."""
    delayed_minutes: float
    """Of all of them."""
    longest_wait_seconds: float
    minutes: tuple[NodeMinute, ...]

    @property
    def idle_hours(self) -> float:
        return sum(self.idle_gpu_hours.values())

    @property
    def gpu_hours(self) -> float:
        return self.used_gpu_hours + self.idle_hours


def acting(policies: Sequence[CapacityPolicy]) -> PolicyOf:
    """The policies as if each had `mode: act`: a replay shows what they would do."""

    def of(pool: PoolState, now_seconds: float) -> PoolPolicy | None:
        found = policy_for(policies, pool, now_seconds)
        return None if found is None else replace(found, mode=Mode.ACT)

    return of


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRuns:
    """Runs of one demand on one site, under Karpenter alone or a policy."""

    demand: ReplicaDemand
    site: NodeSite
    seed: int = 1

    def of(
        self,
        policies: Mapping[str, NodePolicy | None],
        progress: Callable[[], None] = lambda: None,
    ) -> dict[str, NodeOutcome]:
        """One run each, by name; None = Karpenter alone. The forecasts are made once.

        Args:
            progress: called for each forecast.
        """
        forecast = None
        if any(policy is not None for policy in policies.values()):
            gpus = self.site.gpus_per_pod
            forecast = forecast_of(
                self.demand.past * gpus,
                self.demand.each_round() * gpus,
                begin_seconds=self.demand.begin_seconds,
                progress=progress,
            )
        pool = self.site.pool.name
        return {
            name: self._played(
                Cluster(
                    self._settings(),
                    policy=policy,
                    forecasts={pool: forecast} if policy and forecast else {},
                )
            )
            for name, policy in policies.items()
        }

    def _settings(self) -> ClusterSettings:
        begin = self.demand.begin_seconds
        service = Service(
            workload=Workload(kind="Deployment", namespace="replay", name=self.demand.rule),
            replicas=tuple((begin + at, count) for at, count in self.demand.changes),
            pools=(self.site.pool.name,),
            gpus_per_pod=self.site.gpus_per_pod,
            pod_seconds=self.site.pod_seconds,
        )
        return ClusterSettings(
            pools=(self.site.pool,), services=(service,), begin_seconds=begin, seed=self.seed
        )

    def _played(self, cluster: Cluster) -> NodeOutcome:
        demand = self.demand
        ends = range(demand.judged_from_seconds, demand.seconds + 1, MINUTE_SECONDS)
        totals = [self._totals(cluster, end) for end in ends]
        first, last = totals[0], totals[-1]
        judged_from = demand.begin_seconds + first.at_seconds
        waits = _waits_seconds(cluster, judged_from, last.at_seconds - first.at_seconds)
        idle = {
            reason: (seconds - first.idle_gpu_seconds.get(reason, 0.0)) / _HOUR
            for reason, seconds in last.idle_gpu_seconds.items()
        }
        used = (last.used_gpu_seconds - first.used_gpu_seconds) / _HOUR
        return NodeOutcome(
            used_gpu_hours=used,
            idle_gpu_hours={reason: hours for reason, hours in idle.items() if hours > 0},
            usd=(used + sum(idle.values())) * self.site.usd_per_gpu_hour,
            nodes_launched=last.launches - first.launches,
            pods=len(waits),
            delayed_pods=int((waits > 0).sum()),
            delayed_minutes=float(waits.sum()) / MINUTE_SECONDS,
            longest_wait_seconds=float(waits.max(initial=0.0)),
            minutes=tuple(self._minute(*pair) for pair in pairwise(totals)),
        )

    def _totals(self, cluster: Cluster, at_seconds: int) -> "_Totals":
        cluster.run(self.demand.begin_seconds + at_seconds)
        pool = self.site.pool.name
        books = cluster.books[pool]
        return _Totals(
            at_seconds=at_seconds,
            used_gpu_seconds=books.used_gpu_seconds,
            idle_gpu_seconds=dict(books.idle_gpu_seconds),
            launches=books.launches,
            nodes=cluster.nodes(pool),
        )

    def _minute(self, before: "_Totals", after: "_Totals") -> NodeMinute:
        ordered = after.launches - before.launches
        wanted = [count for at, count in self.demand.changes if at < after.at_seconds]
        return NodeMinute(
            at_seconds=after.at_seconds,
            used_gpus=(after.used_gpu_seconds - before.used_gpu_seconds) / MINUTE_SECONDS,
            idle_gpus={
                reason: (seconds - before.idle_gpu_seconds.get(reason, 0.0)) / MINUTE_SECONDS
                for reason, seconds in after.idle_gpu_seconds.items()
            },
            ordered=ordered,
            gone=ordered - (after.nodes - before.nodes),
            wanted_gpus=float(wanted[-1] * self.site.gpus_per_pod),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Totals:
    """The books at one moment."""

    at_seconds: int
    used_gpu_seconds: float
    idle_gpu_seconds: Mapping[Reason, float]
    launches: int
    nodes: int


def _waits_seconds(cluster: Cluster, from_seconds: float, judged_seconds: float) -> Floats:
    """Of each pod that was created while it is judged; those that wait at the end, so far."""
    found = [
        seconds
        for one in cluster.waits.values()
        for at, seconds in zip(one.created_seconds, one.seconds, strict=True)
        if at >= from_seconds
    ]
    still = [seconds for seconds in cluster.pending_waits_seconds() if seconds <= judged_seconds]
    return np.array([*found, *still], dtype=np.float64)
