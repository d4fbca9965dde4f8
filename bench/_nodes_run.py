"""One policy on the demand of one pool: GPU-hours, idle ones by reason, waits, by day too."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench._nodes_demand import STEP_SECONDS, Demand
from fleet.cluster.owners import Workload
from policies.node_plan import Reason
from replay.cluster.cluster import Cluster
from replay.cluster.policy import Forecast, NodePolicy
from replay.cluster.settings import ClusterSettings, NodeStartUp, PodChoice, Pool, Service
from replay.traffic import DAY_SECONDS

POOL = "pool"
JUDGED_FROM_DAYS = 1
"""Of traces that are long enough, the first day is only a past."""
_LONG_DAYS = 3

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What all policies of one comparison share."""

    demands: tuple[Demand, ...]
    """Of the services that share the pool, of one length."""
    gpus_per_node: int
    start_up: NodeStartUp = NodeStartUp()
    pod_seconds: float = 120.0
    seed: int = 1

    @property
    def name(self) -> str:
        return "+".join(demand.trace for demand in self.demands)

    @property
    def begin_seconds(self) -> float:
        return float(self.demands[0].seconds[0])

    @property
    def days(self) -> float:
        return self.demands[0].days

    @property
    def total(self) -> npt.NDArray[np.int64]:
        """Wanted GPUs each 15 s."""
        return np.sum([demand.replicas for demand in self.demands], axis=0, dtype=np.int64)

    @property
    def judged(self) -> npt.NDArray[np.int64]:
        """The same, of the judged time."""
        return self.total[self.judged_from :]

    @property
    def judged_from(self) -> int:
        """The first step that is judged."""
        day_steps = round(DAY_SECONDS / STEP_SECONDS)
        return JUDGED_FROM_DAYS * day_steps if self.days >= _LONG_DAYS else 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """What came of it in the judged time."""

    gpu_seconds: float
    idle_gpu_seconds: Mapping[Reason, float]
    launches: int
    waits_seconds: Floats
    """Of each pod."""
    demand_seconds: float
    """GPU-seconds that were wanted."""
    days: tuple[tuple[float, float, float], ...] = ()
    """Each day's GPU-seconds, delayed pod-seconds and wanted GPU-seconds, also days not judged."""

    @property
    def overhead(self) -> float:
        return self.gpu_seconds / self.demand_seconds - 1

    @property
    def delay(self) -> float:
        """Delayed pod-minutes for each wanted GPU-minute."""
        return float(self.waits_seconds.sum()) / self.demand_seconds

    def cost(self, rho: float) -> float:
        return self.overhead + rho * self.delay

    @property
    def idle_hours(self) -> float:
        return (self.gpu_seconds - self.demand_seconds) / 3600


def day_cost(day: tuple[float, float, float], rho: float) -> float:
    """GPU-seconds of a day, in excess and as waits are worth."""
    gpu_seconds, wait_seconds, demand_seconds = day
    return gpu_seconds - demand_seconds + rho * wait_seconds


def run(
    place: Place,
    *,
    consolidate_after_seconds: float | None,
    pod_choice: PodChoice = PodChoice.EMPTIEST_NODE,
    policy: NodePolicy | None = None,
    forecast: Forecast | None = None,
    nodes_at_start: int = 0,
) -> Run:
    """Let a policy decide over the whole of the demand, and judge it."""
    workloads = [
        Workload(kind="Deployment", namespace="bench", name=demand.trace)
        for demand in place.demands
    ]
    pool = Pool(
        name=POOL,
        gpus_per_node=place.gpus_per_node,
        start_up=place.start_up,
        consolidate_after_seconds=consolidate_after_seconds,
        nodes_at_start=nodes_at_start,
    )
    services = tuple(
        Service(
            workload=workload,
            replicas=demand.changes(),
            pools=(POOL,),
            pod_seconds=place.pod_seconds,
        )
        for workload, demand in zip(workloads, place.demands, strict=True)
    )
    settings = ClusterSettings(
        pools=(pool,),
        services=services,
        begin_seconds=place.begin_seconds,
        pod_choice=pod_choice,
        seed=place.seed,
    )
    cluster = Cluster(settings, policy=policy, forecasts={POOL: forecast} if forecast else {})
    return _judge(place, cluster)


def _judge(place: Place, cluster: Cluster) -> Run:
    begin, total = place.begin_seconds, place.total
    first = begin + place.judged_from * STEP_SECONDS
    end = begin + len(total) * STEP_SECONDS
    marks = [*np.arange(begin + DAY_SECONDS, end, DAY_SECONDS).tolist(), end]
    days, before, idle, launches, gpus = [], (0.0, 0.0), {}, 0, 0.0
    at = begin
    for mark in marks:
        if at == first and place.judged_from:
            books = cluster.books[POOL]
            idle, launches = dict(books.idle_gpu_seconds), books.launches
            gpus = cluster.gpu_seconds(POOL)
        cluster.run(mark)
        waited = sum(sum(waits.seconds) for waits in cluster.waits.values())
        now = cluster.gpu_seconds(POOL), waited
        low, high = (round((moment - begin) / STEP_SECONDS) for moment in (at, mark))
        wanted = float(total[low:high].sum()) * STEP_SECONDS
        days.append((now[0] - before[0], now[1] - before[1], wanted))
        before, at = now, mark
    books = cluster.books[POOL]
    waits = [
        seconds
        for one in cluster.waits.values()
        for created, seconds in zip(one.created_seconds, one.seconds, strict=True)
        if created >= first
    ]
    return Run(
        gpu_seconds=cluster.gpu_seconds(POOL) - gpus,
        idle_gpu_seconds={
            reason: seconds - idle.get(reason, 0.0)
            for reason, seconds in books.idle_gpu_seconds.items()
        },
        launches=books.launches - launches,
        waits_seconds=np.array([*waits, *cluster.pending_waits_seconds()]),
        demand_seconds=float(place.judged.sum()) * STEP_SECONDS,
        days=tuple(days),
    )
