"""One policy on the demand of one pool: GPU-hours, idle ones by reason and waits, day by day."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from bench._nodes_demand import STEP_SECONDS, Demand, Floats, Ints
from fleet.cluster.owners import Workload
from fleet.reasons import Reason
from replay.cluster.cluster import Cluster
from replay.cluster.policy import Forecast, NodePolicy
from replay.cluster.settings import ClusterSettings, NodeStartUp, PodChoice, Pool, Service
from replay.traffic import DAY_SECONDS

POOL = "pool"
_LONG_DAYS = 3
"""Of a trace of so many days, with no past before it, the first one is not judged."""
_DAY_STEPS = round(DAY_SECONDS / STEP_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What all policies of one comparison share."""

    name: str
    demands: tuple[Demand, ...]
    """Of the services that share the pool, of one length."""
    gpus_per_node: int
    start_up: NodeStartUp = field(default_factory=NodeStartUp)
    pod_seconds: float = 120.0
    seed: int = 1

    @property
    def begin_seconds(self) -> float:
        return float(self.demands[0].seconds[0])

    @property
    def total(self) -> Ints:
        """Wanted GPUs each 15 s."""
        return _sum([demand.replicas for demand in self.demands])

    @property
    def past(self) -> Ints:
        """The same of the time before, which a forecaster may know."""
        return _sum([demand.past for demand in self.demands])

    @property
    def first_day(self) -> int:
        """The first one that is judged."""
        return int(self.demands[0].days >= _LONG_DAYS and not len(self.past))

    @property
    def judged(self) -> Ints:
        """Wanted GPUs of the judged days."""
        return self.total[self.first_day * _DAY_STEPS :]


def _sum(of_services: list[Ints]) -> Ints:
    total: Ints = np.sum(of_services, axis=0, dtype=np.int64)
    return total


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Day:
    """What came of one day. Sums of days are exact, as all nodes live on from day to day."""

    gpu_seconds: float
    demand_seconds: float
    """GPU-seconds that were wanted."""
    idle_gpu_seconds: Mapping[Reason, float]
    launches: int
    waits_seconds: Floats
    """Of each pod that was created on it."""

    def cost_seconds(self, rho: float) -> float:
        """GPU-seconds beyond the wanted ones, and what the waits are worth."""
        return self.gpu_seconds - self.demand_seconds + rho * float(self.waits_seconds.sum())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """What came of a policy. Totals are means over draws of start times, if it has several."""

    days: tuple[Day, ...]
    first_day: int = 0
    """The first one that is judged."""
    draws: int = 1

    @classmethod
    def over(cls, draws: Sequence["Run"]) -> "Run":
        """One run of the judged days of all draws."""
        return cls(days=tuple(day for run in draws for day in run.judged), draws=len(draws))

    @property
    def judged(self) -> tuple[Day, ...]:
        return self.days[self.first_day :]

    @property
    def gpu_seconds(self) -> float:
        return sum(day.gpu_seconds for day in self.judged) / self.draws

    @property
    def demand_seconds(self) -> float:
        return sum(day.demand_seconds for day in self.judged) / self.draws

    @property
    def launches(self) -> float:
        return sum(day.launches for day in self.judged) / self.draws

    @property
    def waits_seconds(self) -> Floats:
        """Of each pod, in all draws."""
        return np.concatenate([day.waits_seconds for day in self.judged])

    @property
    def idle_gpu_seconds(self) -> dict[Reason, float]:
        found: Counter[Reason] = Counter()
        for day in self.judged:
            found.update(day.idle_gpu_seconds)
        return {reason: seconds / self.draws for reason, seconds in found.items()}

    @property
    def idle_hours(self) -> float:
        """Up or booting, and not wanted at that moment."""
        return (self.gpu_seconds - self.demand_seconds) / 3600

    def cost(self, rho: float) -> float:
        """Overhead + rho x delayed pod-minutes, as a share of the GPU time that was wanted."""
        cost_seconds = sum(day.cost_seconds(rho) for day in self.judged)
        return cost_seconds / sum(day.demand_seconds for day in self.judged)


def run(
    place: Place,
    *,
    consolidate_after_seconds: float | None,
    pod_choice: PodChoice = PodChoice.EMPTIEST_NODE,
    policy: NodePolicy | None = None,
    forecast: Forecast | None = None,
    nodes_at_start: int = 0,
) -> Run:
    """Let a policy decide over the whole of the demand."""
    pool = Pool(
        name=POOL,
        gpus_per_node=place.gpus_per_node,
        start_up=place.start_up,
        consolidate_after_seconds=consolidate_after_seconds,
        nodes_at_start=nodes_at_start,
    )
    services = tuple(
        Service(
            workload=Workload(kind="Deployment", namespace="bench", name=demand.trace),
            replicas=demand.changes(),
            pools=(POOL,),
            pod_seconds=place.pod_seconds,
        )
        for demand in place.demands
    )
    settings = ClusterSettings(
        pools=(pool,),
        services=services,
        begin_seconds=place.begin_seconds,
        pod_choice=pod_choice,
        seed=place.seed,
    )
    cluster = Cluster(settings, policy=policy, forecasts={POOL: forecast} if forecast else {})
    return _by_day(place, cluster)


def _by_day(place: Place, cluster: Cluster) -> Run:
    begin, total = place.begin_seconds, place.total
    end = begin + len(total) * STEP_SECONDS
    marks = [*np.arange(begin, end, DAY_SECONDS).tolist(), end]
    books = cluster.books[POOL]
    gpus, idle, launches = [0.0], [dict(books.idle_gpu_seconds)], [books.launches]
    for mark in marks[1:]:
        cluster.run(mark)
        gpus.append(cluster.gpu_seconds(POOL))
        idle.append(dict(books.idle_gpu_seconds))
        launches.append(books.launches)
    waits = _waits_by_day(cluster, marks)
    days = tuple(
        Day(
            gpu_seconds=gpus[day + 1] - gpus[day],
            demand_seconds=float(total[day * _DAY_STEPS :][:_DAY_STEPS].sum()) * STEP_SECONDS,
            idle_gpu_seconds={
                reason: seconds - before.get(reason, 0.0) for reason, seconds in after.items()
            },
            launches=launches[day + 1] - launches[day],
            waits_seconds=waits[day],
        )
        for day, (before, after) in enumerate(pairwise(idle))
    )
    return Run(days=days, first_day=place.first_day)


def _waits_by_day(cluster: Cluster, marks: Sequence[float]) -> list[Floats]:
    pending = cluster.pending_waits_seconds()
    created = [at for one in cluster.waits.values() for at in one.created_seconds]
    waited = [seconds for one in cluster.waits.values() for seconds in one.seconds]
    at = np.array([*created, *(marks[-1] - seconds for seconds in pending)])
    seconds = np.array([*waited, *pending])
    day_of = np.searchsorted(np.array(marks), at, side="right") - 1
    return [seconds[day_of == day] for day in range(len(marks) - 1)]
