"""Each gang of a cluster as a job: its GPUs, what it has cost, when it ends, what it waits for.

What a job has cost is that of the pods that there are: pods that were replaced are gone, with all
that tells of them.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from fleet.cluster.asked_gpus import AskedGpus
from fleet.cluster.owners import Workload
from fleet.cluster.pods import Pod
from fleet.cluster.reading import Cluster
from fleet.snapshot import FleetSnapshot
from policies.reading.gang_objects import GangObjects, UnmadeGang, ends_of
from policies.reading.gangs import GangPod, gang_demand, gang_of, missing_pods, unmade_demand
from policies.situation import GangDemand

_HOUR: Final = 3600.0
_QUEUE: Final = "kueue.x-k8s.io/queue-name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """GPUs of a node that a pod of a job has."""

    pool: str | None
    gpus: float
    usd_per_gpu_hour: float | None
    """None = not known."""
    since_seconds: float | None
    """When the pod started; None = not told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One gang."""

    workload: Workload
    pods: int
    """Those to come among them."""
    waiting_pods: int
    """Without a node."""
    gpus: float | None
    """Of all its pods; None = how many a waiting pod asks for is not known."""
    placed: tuple[Placed, ...]
    ends_at_seconds: float | None
    """None = nothing tells it."""
    waits_for: tuple[str, ...]
    made_by: Workload | None = None
    """The outermost object that it was written as, such as a TrainJob; None = not known."""
    queue: str | None = None
    """Kueue's LocalQueue that it is in; None = none that is known."""
    admission: str | None = None
    """How far Kueue has let it in."""
    flavors: tuple[str, ...] = ()
    """Kueue's ResourceFlavors that its GPUs are of."""
    world_size: int | None = None
    """Processes that train together; None = not told."""
    stages: tuple[str, ...] = ()
    """Its sets of pods, in the order in which their object has them."""
    progress_percent: float | None = None
    """As it tells of itself."""
    usd_per_gpu_hour: float | None = None
    """Of a new GPU where it waits; None = not known, or nothing of it waits."""
    has_ended_pods: bool = False
    """Pods of it have ended, and what they cost is not in its figures."""

    @property
    def placed_gpus(self) -> float:
        return sum(one.gpus for one in self.placed)

    @property
    def usd_per_hour(self) -> float | None:
        """Of the GPUs that it has; None = the price of some is not known."""
        prices = [one.usd_per_gpu_hour for one in self.placed]
        if None in prices:
            return None
        return sum(one.gpus * (one.usd_per_gpu_hour or 0.0) for one in self.placed)

    @property
    def waiting_usd_per_hour(self) -> float | None:
        """Of the GPUs that it still waits for; None = not known."""
        if self.gpus is None or self.usd_per_gpu_hour is None:
            return None
        return (self.gpus - self.placed_gpus) * self.usd_per_gpu_hour

    def gpu_hours(self, now_seconds: float, since_seconds: float = 0.0) -> float | None:
        """Until now.

        Args:
            now_seconds: now.
            since_seconds: what was before does not count.
        """
        hours = [_hours(one, now_seconds, since_seconds) for one in self.placed]
        if None in hours:
            return None
        return sum(one.gpus * (h or 0.0) for one, h in zip(self.placed, hours, strict=True))

    def usd(self, now_seconds: float, since_seconds: float = 0.0) -> float | None:
        """Until now, as `gpu_hours` has it."""
        if self.usd_per_hour is None or self.gpu_hours(now_seconds, since_seconds) is None:
            return None
        return sum(
            one.gpus
            * (one.usd_per_gpu_hour or 0.0)
            * (_hours(one, now_seconds, since_seconds) or 0.0)
            for one in self.placed
        )

    def usd_to_come(self, now_seconds: float) -> float | None:
        """From now to its end; None = it has not started as a whole, or its end is not known.

        A job past its expected end has one that is not known.
        """
        if self.waiting_pods or self.usd_per_hour is None or self.ends_at_seconds is None:
            return None
        left = self.ends_at_seconds - now_seconds
        return self.usd_per_hour * left / _HOUR if left >= 0 else None


def jobs_of(
    cluster: Cluster,
    snapshot: FleetSnapshot,
    ends_at: Mapping[Workload, float],
    usd_per_gpu_hour: Mapping[Workload, float | None] | None = None,
) -> tuple[Job, ...]:
    """The gangs with GPUs, the most expensive first; those without a pod among them.

    Args:
        cluster: its records; without pods there are no jobs.
        snapshot: of the same reading.
        ends_at: when gangs are expected to end, where that is known better than by annotations.
        usd_per_gpu_hour: of the new GPUs that gangs wait for.
    """
    if cluster.pods is None:
        return ()
    objects, asked = GangObjects(cluster), AskedGpus(cluster)
    placed = _placed(snapshot)
    members, unknown = defaultdict[Workload, list[GangPod]](list), set[Workload]()
    ended = set[Workload]()
    for pod in cluster.pods or ():
        gang = gang_of(pod)
        if gang is None or pod.deleted_seconds is not None or not pod.may_take_gpus:
            continue
        if pod.ended:
            ended.add(gang)
            continue
        gpus = sum(one.gpus for one in placed.get(pod.name, ()))
        wanted = gpus or asked.of(pod)
        if wanted is None:
            unknown.add(gang)
        if wanted != 0:
            members[gang].append(GangPod(pod=pod, gpus=wanted or 0.0))
    every = [one for pods in members.values() for one in pods]
    missing = missing_pods(cluster.pods, cluster.pod_groups, objects, [every])
    unmade = list(objects.unmade({*members, *ended}))
    gangs = [*members, *(one.workload for one in unmade)]
    ends = ends_of(objects, gangs, ends_at)
    jobs = [
        _job(
            gang_demand(gang, pods, missing.get(gang, 0), ends, objects),
            pods,
            placed,
            is_known=gang not in unknown,
            has_ended_pods=gang in ended,
        )
        for gang, pods in members.items()
    ]
    jobs += [_unmade_job(one, ends, objects) for one in unmade]
    prices = usd_per_gpu_hour or {}
    told = [_with_objects(one, objects, prices.get(one.workload)) for one in jobs]
    return tuple(sorted(told, key=_costs_most))


def _costs_most(job: Job) -> tuple[float, str]:
    return -(job.usd_per_hour or 0.0), str(job.workload)


def _unmade_job(gang: UnmadeGang, ends: Mapping[Workload, float], objects: GangObjects) -> Job:
    demand = unmade_demand(gang, ends, objects)
    is_known = None not in gang.gpus
    return Job(
        workload=gang.workload,
        pods=gang.pods,
        waiting_pods=gang.pods,
        gpus=demand.all_gpus if is_known else None,
        placed=(),
        ends_at_seconds=demand.ends_at_seconds,
        waits_for=tuple(_waits_for(demand, [])),
    )


def _with_objects(job: Job, objects: GangObjects, usd_per_gpu_hour: float | None) -> Job:
    makers, admission = objects.makers_of(job.workload), objects.admission_of(job.workload)
    sets = next((one.pod_sets for one in makers if one.pod_sets), ())
    if not sets and admission is not None:
        sets = admission.pod_sets
    return replace(
        job,
        made_by=makers[-1].workload if makers else None,
        queue=admission.queue if admission is not None else None,
        admission=admission.admission.value if admission is not None else None,
        flavors=admission.flavors if admission is not None else (),
        world_size=next((one.world_size for one in makers if one.world_size is not None), None),
        stages=tuple(one.name for one in sets or ()),
        progress_percent=next(
            (one.progress_percent for one in makers if one.progress_percent is not None), None
        ),
        usd_per_gpu_hour=usd_per_gpu_hour if job.waiting_pods else None,
    )


def _job(
    demand: GangDemand,
    pods: list[GangPod],
    placed: Mapping[str, list[Placed]],
    *,
    is_known: bool,
    has_ended_pods: bool,
) -> Job:
    return Job(
        workload=demand.workload,
        pods=demand.pods,
        waiting_pods=demand.waiting_pods,
        gpus=demand.all_gpus if is_known else None,
        placed=tuple(each for one in pods for each in _of_pod(one, placed)),
        ends_at_seconds=demand.ends_at_seconds,
        waits_for=tuple(_waits_for(demand, [one.pod for one in pods])),
        has_ended_pods=has_ended_pods,
    )


def _of_pod(one: GangPod, placed: Mapping[str, list[Placed]]) -> list[Placed]:
    if one.pod.node is None:
        return []
    unseen = Placed(pool=None, gpus=one.gpus, usd_per_gpu_hour=None, since_seconds=None)
    return placed.get(one.pod.name) or [unseen]


def _placed(snapshot: FleetSnapshot) -> dict[str, list[Placed]]:
    found: dict[str, list[Placed]] = defaultdict(list)
    for node in snapshot.nodes:
        price = node.usd_per_gpu_hour
        for use in node.uses:
            found[f"{use.namespace}/{use.pod}"].append(
                Placed(
                    pool=node.pool,
                    gpus=use.gpus,
                    usd_per_gpu_hour=None if price is None else price * node.scale,
                    since_seconds=use.started_seconds,
                )
            )
    return found


def _waits_for(demand: GangDemand, pods: list[Pod]) -> Iterator[str]:
    """What keeps the gang from running as a whole, nearest to its start last."""
    if demand.started_in_part:
        placed = demand.pods - demand.waiting_pods
        yield f"started in part, {placed} of {demand.pods} pods have a node"
    if demand.held_back is not None:
        yield demand.held_back
    if demand.missing_pods:
        yield f"{demand.missing_pods} of {demand.pods} pods to be made"
    waiting = [pod for pod in pods if pod.node is None]
    gated = [pod for pod in waiting if pod.gated]
    if gated and demand.held_back is None:
        queues = {queue for pod in gated if (queue := pod.labels.get(_QUEUE))}
        of = f"Kueue's queue {', '.join(sorted(queues))}" if queues else "a scheduling gate"
        yield f"{of}, with {len(gated)} of {demand.pods} pods"
    if len(waiting) > len(gated) and demand.held_back is None:
        count = len(waiting) - len(gated)
        gpus = f"{count * demand.gpus_per_pod:g} GPUs"
        yield f"nodes with {gpus}, for {count} of {demand.pods} pods"
    for reason, count in sorted(_reasons(pods).items()):
        yield f"{reason} of {count} pods" if count > 1 else f"{reason} of a pod"


def _reasons(pods: Iterable[Pod]) -> Counter[str]:
    """Why pods that have a node do not run."""
    return Counter(pod.waits_for[0] for pod in pods if pod.node is not None and pod.waits_for)


def _hours(one: Placed, now_seconds: float, since_seconds: float) -> float | None:
    if one.since_seconds is None:
        return None
    return max(0.0, now_seconds - max(one.since_seconds, since_seconds)) / _HOUR
