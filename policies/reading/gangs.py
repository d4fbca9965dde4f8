"""Which pods start together or not at all, and how many of a gang still wait.

A gang is a JobSet (a TrainJob makes one), a job of Kubeflow's training operator, a RayJob, a
RayCluster that Ray does not scale, one group of a LeaderWorkerSet, a PodGroup of kube-scheduler's
own, or a group of pods that Kueue admits as one. Kueue marks pods of its plain workloads too, also
of a Deployment and of a StatefulSet: their replicas serve one by one, and are no gang.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from fleet.annotations import CHECKPOINT_EVERY, CHECKPOINTED_AT, EXPECTED_END
from fleet.cluster.fields import go_duration_seconds, seconds
from fleet.cluster.groups import PodGroup
from fleet.cluster.owners import JOB_KINDS, LEADER_WORKER_SET, LWS_GROUP, Workload
from fleet.cluster.pods import Pod
from policies.reading.gang_objects import GangObjects, UnmadeGang
from policies.situation import Checkpoints, GangDemand

_POD_GROUP: Final = "PodGroup"
_KUEUE_GROUP: Final = "kueue.x-k8s.io/pod-group-name"
_KUEUE_TOTAL: Final = "kueue.x-k8s.io/pod-group-total-count"
_KUEUE_SERVING: Final = "kueue.x-k8s.io/pod-group-serving"
_KUEUE_POD_SET: Final = "kueue.x-k8s.io/podset"
_SERVING_KINDS: Final = frozenset({"Deployment", "ReplicaSet", "StatefulSet"})
_COUNT: Final = re.compile(r"[0-9]{1,9}")
"""A tenant writes it: a number of hundreds of digits is no float."""
_CHECKPOINT_SECONDS_MAX: Final = 12 * 3600.0
"""A tenant writes it, and nodes are held for that long beyond a gang's end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GangPod:
    """A pod of a gang that asks for GPUs."""

    pod: Pod
    gpus: float


def gang_of(pod: Pod) -> Workload | None:
    """The gang of a pod, as one workload; None = it starts by itself."""
    workload = pod.workload
    if pod.scheduling_group is not None:
        return Workload(kind=_POD_GROUP, namespace=pod.namespace, name=pod.scheduling_group)
    serves = workload is not None and workload.kind in _SERVING_KINDS
    is_serving_group = serves and pod.annotations.get(_KUEUE_SERVING) == "true"
    if _KUEUE_GROUP in pod.labels and not is_serving_group:
        name = pod.labels[_KUEUE_GROUP]
        return Workload(kind="Kueue pod group", namespace=pod.namespace, name=name)
    if workload is None:
        return None
    if workload.kind == LEADER_WORKER_SET:
        group = pod.labels.get(LWS_GROUP)
        return workload if group is None else replace(workload, name=f"{workload.name}/{group}")
    if workload.kind == "RayService" or pod.ray_autoscales:
        return None  # its workers come and go one by one
    is_static_ray = workload.kind == "RayCluster" and pod.ray_autoscales is False
    of_kueue = _KUEUE_POD_SET in pod.labels and not serves
    return workload if workload.kind in JOB_KINDS or is_static_ray or of_kueue else None


def gang_demand(
    workload: Workload,
    pods: Iterable[GangPod],
    missing: int,
    ends_at: Mapping[Workload, float],
    objects: GangObjects,
) -> GangDemand:
    """The demand of one gang.

    Args:
        workload: as `gang_of` names it.
        pods: of it, with GPUs; none has ended.
        missing: pods of it that are still to be made.
        ends_at: when gangs are expected to end, where that is known better than by annotations.
        objects: of the cluster's gangs.
    """
    members = list(pods)
    waiting = [one for one in members if one.pod.node is None]
    largest = max(one.gpus for one in members)
    ends = [
        end for one in members if (end := seconds(one.pod.annotations, EXPECTED_END)) is not None
    ]
    return GangDemand(
        workload=workload,
        pods=len(members) + missing,
        gpus_per_pod=largest,
        gpus=sum(one.gpus for one in members) + missing * largest,
        waiting_pods=len(waiting) + missing,
        seen_pods=sum(not one.pod.gated for one in waiting),
        missing_pods=missing,
        ends_at_seconds=ends_at.get(workload, max(ends, default=None)),
        held_back=objects.held_back(workload),
        admitted=objects.admitted_pods(workload) is not None,
        checkpoints=_checkpoints(one.pod for one in members),
    )


def unmade_demand(
    gang: UnmadeGang, ends_at: Mapping[Workload, float], objects: GangObjects
) -> GangDemand:
    """The demand of a gang without a pod, whose GPUs are known."""
    quota = objects.admitted_pods(gang.workload)
    return GangDemand(
        workload=gang.workload,
        pods=gang.pods,
        gpus_per_pod=max(gpus or 0.0 for gpus in gang.gpus),
        gpus=sum(
            one.pods * (gpus or 0.0) for one, gpus in zip(gang.pod_sets, gang.gpus, strict=True)
        ),
        waiting_pods=gang.pods,
        missing_pods=gang.pods,
        ends_at_seconds=ends_at.get(gang.workload),
        held_back=objects.held_back(gang.workload),
        admitted=quota is not None and gang.pods <= quota,
        labels=gang.labels,
    )


def by_gang(pods: Iterable[GangPod]) -> dict[Workload, list[GangPod]]:
    """The pods of each gang; pods of none are left out."""
    found: dict[Workload, list[GangPod]] = defaultdict(list)
    for one in pods:
        gang = gang_of(one.pod)
        if gang is not None:
            found[gang].append(one)
    return found


def missing_pods(
    pods: Iterable[Pod],
    groups: Iterable[PodGroup],
    objects: GangObjects,
    pools: Iterable[Iterable[GangPod]],
) -> dict[Workload, int]:
    """The pods of each gang that are still to be made, by what its objects state of its size.

    Pods that have ended and pods without GPUs, such as a launcher, are there: they count in the
    size, and need no node. A gang in several pools has none: no object tells the pool of the rest.

    Args:
        pods: all of the cluster.
        groups: PodGroups, which state a size.
        objects: of the cluster's gangs, whose templates state how many pods have GPUs.
        pools: of each pool, the pods that it has or gets.
    """
    stated: dict[Workload, int] = defaultdict(int)
    for group in groups:
        namespace, _, name = group.name.partition("/")
        stated[Workload(kind=_POD_GROUP, namespace=namespace, name=name)] = group.size or 0
    there: Counter[Workload] = Counter()
    for pod in pods:
        gang = gang_of(pod)
        if gang is not None:
            there[gang] += 1
            stated[gang] = max(stated[gang], _total(pod))
    for gang in there:
        stated[gang] = max(stated[gang], objects.stated_pods(gang) or 0)
        quota = objects.admitted_pods(gang)
        if quota is not None:
            stated[gang] = min(stated[gang], quota)
    in_pools = Counter(gang for members in pools for gang in by_gang(members))
    return {
        gang: max(0, stated[gang] - there[gang]) for gang, count in in_pools.items() if count == 1
    }


def _total(pod: Pod) -> int:
    stated = pod.annotations.get(_KUEUE_TOTAL, "")
    return int(stated) if _COUNT.fullmatch(stated) else 0


def _checkpoints(pods: Iterable[Pod]) -> Checkpoints | None:
    """By the annotations of the gang's pods; of several intervals the longest."""
    every, last = [], []
    for pod in pods:
        found = go_duration_seconds(pod.annotations.get(CHECKPOINT_EVERY))
        if found is not None and 0 < found <= _CHECKPOINT_SECONDS_MAX:
            every.append(found)
            last += [
                at for at in (seconds(pod.annotations, CHECKPOINTED_AT), pod.started_seconds) if at
            ]
    if not every or not last:
        return None
    return Checkpoints(last_seconds=max(last), every_seconds=max(every))
