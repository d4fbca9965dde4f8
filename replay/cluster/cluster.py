"""A cluster over time: services shrink and grow, gangs run, nodes come and go, a policy decides.

Times are Unix times in seconds. The cluster is driven by events and not by steps, so a quiet hour
costs nothing.
"""

from collections.abc import Mapping
from functools import partial
from itertools import pairwise

import numpy as np

from fleet.cluster.owners import Workload
from policies.situation import NodeStage
from replay.cluster import karpenter
from replay.cluster.agenda import Agenda, Turn
from replay.cluster.books import Books, Waits
from replay.cluster.disruption import Disruption
from replay.cluster.live import Live, LiveNode, LivePod, LivePool
from replay.cluster.policy import Forecasts, NodePolicy
from replay.cluster.provisioning import Provisioning, remove
from replay.cluster.records import Records
from replay.cluster.rounds import Doing, Rounds
from replay.cluster.scale_down import first_to_go
from replay.cluster.scheduling import Scheduling
from replay.cluster.settings import ClusterSettings, GangRun, Service

_TIES = 0
_POOLS = 1


class Cluster:
    """One run of `settings`; `run` may be called again with a later moment."""

    def __init__(
        self,
        settings: ClusterSettings,
        *,
        policy: NodePolicy | None = None,
        forecasts: Forecasts | None = None,
    ) -> None:
        self.settings = settings
        self.waits = {one.workload: Waits() for one in settings.asking}
        seed = settings.seed
        self._live = Live(
            agenda=Agenda(),
            pools={
                pool.name: LivePool(
                    settings=pool, generator=np.random.default_rng((seed, _POOLS, place))
                )
                for place, pool in enumerate(settings.pools)
            },
        )
        self._scheduling = Scheduling(self._live)
        self._disruption = Disruption(self._live, let_go=self._let_go)
        self._provisioning = Provisioning(self._live, initialized=self._initialized)
        self._rounds = self._rounds_of(policy, forecasts or {}) if policy is not None else None
        self._ties = np.random.default_rng((seed, _TIES))
        self._pods: dict[Workload, list[LivePod]] = {s.workload: [] for s in settings.services}
        self._count = 0
        self._now = settings.begin_seconds
        self._start()

    @property
    def books(self) -> Mapping[str, Books]:
        """By pool, up to the end of the last run."""
        return {name: pool.books for name, pool in self._live.pools.items()}

    def gpu_seconds(self, pool: str) -> float:
        """Of all nodes of a pool, from order to end or to the end of the last run."""
        return self._live.pools[pool].gpu_seconds(self._now)

    def nodes(self, pool: str) -> int:
        """That are ordered and not gone."""
        return len(self._live.pools[pool].nodes)

    def run(self, until_seconds: float) -> None:
        """Let everything before a moment happen, and bring the books up to it."""
        self._live.agenda.run(until_seconds)
        self._now = until_seconds
        for pool in self._live.pools.values():
            pool.account(until_seconds)

    def pending_waits_seconds(self) -> list[float]:
        """Of each pod that waits at the end of the last run, so far."""
        return [self._now - pod.created_seconds for pod in self._live.pending]

    def _start(self) -> None:
        now, add = self._now, self._live.agenda.add
        for service in self.settings.services:
            for _, replicas in service.replicas[:1]:
                for _ in range(replicas):
                    self._create(service, now)
            for (_, before), (at_seconds, replicas) in pairwise(service.replicas):
                if before != replicas:
                    change = partial(self._scale, service, replicas)
                    add(at_seconds, Turn.DEMAND, change)
        for gang in self.settings.gangs:
            add(gang.created_seconds, Turn.DEMAND, partial(self._create_gang, gang))
        self._make_ready(now)
        if self._rounds is not None:
            self._rounds.ask(now, now)

    def _make_ready(self, now: float) -> None:
        """The pods of the beginning run, each pool's nodes of the beginning are empty or used."""
        for pool in self._live.pools.values():
            for _ in range(pool.settings.nodes_at_start):
                self._ready_node(pool, now)
        self._scheduling.bind_pending(now)
        while self._live.pending:
            self._ready_node(self._live.pools[self._live.pending[0].pools[0]], now)
            self._scheduling.bind_pending(now)
        for pool in self._live.pools.values():
            for pod in (pod for node in pool.nodes for pod in node.pods):
                pod.ready_seconds = now
        for waits in self.waits.values():
            waits.created_seconds.clear()
            waits.seconds.clear()

    def _ready_node(self, pool: LivePool, now: float) -> None:
        pool.books.launches += 1
        node = LiveNode(
            name=f"{pool.settings.name}-{pool.books.launches}",
            pool=pool,
            gpus=pool.settings.gpus_per_node,
            ordered_seconds=now,
            order_reason=None,
            stage=NodeStage.INITIALIZED,
            stage_since_seconds=now,
            pulled_seconds=now,
            empty_since_seconds=now,
            accounted_seconds=now,
        )
        pool.nodes.append(node)
        self._disruption.may_be_empty(node)

    def _rounds_of(self, policy: NodePolicy, forecasts: Forecasts) -> Rounds:
        return Rounds(
            policy,
            live=self._live,
            records=Records(self.settings, self._live, forecasts),
            doing=Doing(
                let_go=self._let_go,
                bind_pending=self._bind_pending,
                disruption=self._disruption,
                provisioning=self._provisioning,
            ),
            begin_seconds=self.settings.begin_seconds,
            round_seconds=self.settings.round_seconds,
        )

    def _create(self, one: Service | GangRun, now: float) -> LivePod:
        self._count += 1
        pod = LivePod(
            uid=f"{one.workload.name}-{self._count}",
            workload=one.workload,
            pools=one.pools,
            gpus=one.gpus_per_pod,
            start_seconds=one.pod_seconds,
            created_seconds=now,
            waits=self.waits[one.workload],
            tie=float(self._ties.random()),
            gang=one if isinstance(one, GangRun) else None,
        )
        self._live.pending.append(pod)
        if isinstance(one, Service):
            self._pods[one.workload].append(pod)
        return pod

    def _scale(self, service: Service, replicas: int, now: float) -> None:
        pods = self._pods[service.workload]
        for _ in range(replicas - len(pods)):
            self._create(service, now)
        for pod in first_to_go(pods, len(pods) - replicas, self.settings.pod_choice, now):
            pods.remove(pod)
            self._unbind(pod, now)
        self._bind_pending(now)

    def _unbind(self, pod: LivePod, now: float) -> None:
        node = pod.node
        emptied = self._scheduling.unbind(pod, now)
        if emptied is not None:
            self._disruption.may_be_empty(emptied)
        if self._rounds is None:
            return
        if node is None:
            self._rounds.ask(now + pod.replaced_seconds, now)
        elif emptied is not None:
            self._rounds.ask(emptied.taint_due_seconds, now)
        elif pod.gang is None and any(one.gang is None for one in node.pods):
            self._rounds.ranking_changed(now)

    def _bind_pending(self, now: float) -> None:
        if not self._live.pending:
            return
        waited = {id(pod) for pod in self._live.pending if pod.gang is not None}
        self._scheduling.bind_pending(now)
        if waited:
            self._gangs_begin(waited, now)
        if self._live.pending:
            self._provisioning.pods_wait(now)
            newest = self._live.pending[-1]
            if self._rounds is not None and newest.created_seconds == now:
                self._rounds.pods_wait(now)
        else:
            self._disruption.pods_bound()

    def _create_gang(self, gang: GangRun, now: float) -> None:
        for _ in range(gang.pods):
            self._create(gang, now)
        self._bind_pending(now)

    def _gangs_begin(self, waited: set[int], now: float) -> None:
        """Each gang that was bound now ends when it has run for its time."""
        begun: dict[int, list[LivePod]] = {}
        for pool in self._live.pools.values():
            for pod in (pod for node in pool.nodes for pod in node.pods if id(pod) in waited):
                begun.setdefault(id(pod.gang), []).append(pod)
        for pods in begun.values():
            gang = pods[0].gang
            assert gang is not None
            ends = max(pod.ready_seconds for pod in pods) + gang.run_seconds
            self._live.agenda.add(ends, Turn.DEMAND, partial(self._end_gang, pods))

    def _end_gang(self, pods: list[LivePod], now: float) -> None:
        if any(pod.node is None for pod in pods):
            return  # a node of it was lost, and it was made again
        for pod in pods:
            self._unbind(pod, now)
        self._bind_pending(now)

    def _initialized(self, node: LiveNode, now: float) -> None:
        per_hour = node.pool.settings.reclaims_per_hour
        if per_hour > 0:
            lives = float(round(node.pool.generator.exponential(3600 / per_hour)))
            self._live.agenda.add(now + lives, Turn.NODE, partial(self._reclaim, node))
        self._bind_pending(now)
        if node.empty_since_seconds is not None:
            self._disruption.may_be_empty(node)

    def _reclaim(self, node: LiveNode, now: float) -> None:
        if node.leaving or node.gone:
            return
        node.pool.books.reclaimed += 1
        self._let_go(node, now)

    def _let_go(self, node: LiveNode, now: float) -> None:
        """Drain a node and end it; its pods are made again, a gang as a whole."""
        node.account(now)
        node.leaving = True
        node.held_until_seconds = min(node.held_until_seconds, now)
        lost = list(node.pods)
        for gang in {id(pod.gang): pod.gang for pod in lost if pod.gang is not None}.values():
            nodes = (node for name in gang.pools for node in self._live.pools[name].nodes)
            rest = [pod for node in nodes for pod in node.pods if pod.gang is gang]
            lost += [pod for pod in rest if pod not in lost]
        by_workload = {service.workload: service for service in self.settings.services}
        for pod in lost:
            self._unbind(pod, now)
            if pod.gang is None:
                self._pods[pod.workload].remove(pod)
            self._create(pod.gang or by_workload[pod.workload], now)
        self._live.agenda.add(now + karpenter.DRAIN_SECONDS, Turn.NODE, partial(_end, node))
        if lost:
            self._bind_pending(now)


def _end(node: LiveNode, now: float) -> None:
    if not node.gone:
        remove(node, now)
