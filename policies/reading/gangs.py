"""Which pods start together or not at all, and how many of a gang still wait.

A gang is a JobSet (a TrainJob makes one), a RayJob, one group of a LeaderWorkerSet, a PodGroup of
kube-scheduler's own, or a group of pods that Kueue admits as one. Kueue marks pods of its plain
workloads too.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from fleet.annotations import EXPECTED_END
from fleet.cluster.groups import PodGroup
from fleet.cluster.owners import Workload
from fleet.cluster.pods import Pod
from policies.situation import GangDemand

_WHOLE: Final = frozenset({"JobSet", "RayJob"})
_LWS_GROUP: Final = "leaderworkerset.sigs.k8s.io/group-index"
_KUEUE_GROUP: Final = "kueue.x-k8s.io/pod-group-name"
_KUEUE_TOTAL: Final = "kueue.x-k8s.io/pod-group-total-count"
_KUEUE_POD_SET: Final = "kueue.x-k8s.io/podset"
_COUNT: Final = re.compile(r"[0-9]{1,9}")
"""A tenant writes it: a number of hundreds of digits is no float."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GangPod:
    """A pod of a gang that asks for GPUs."""

    pod: Pod
    gpus: float


def gang_of(pod: Pod) -> Workload | None:
    """The gang of a pod, as one workload; None = it starts by itself."""
    workload = pod.workload
    if pod.scheduling_group is not None:
        return Workload(kind="PodGroup", namespace=pod.namespace, name=pod.scheduling_group)
    if _KUEUE_GROUP in pod.labels:
        name = pod.labels[_KUEUE_GROUP]
        return Workload(kind="Kueue pod group", namespace=pod.namespace, name=name)
    if workload is None:
        return None
    if workload.kind == "LeaderWorkerSet":
        group = pod.labels.get(_LWS_GROUP)
        return workload if group is None else replace(workload, name=f"{workload.name}/{group}")
    is_gang = workload.kind in _WHOLE or _KUEUE_POD_SET in pod.labels
    return workload if is_gang else None


def gang_demand(
    workload: Workload,
    pods: Iterable[GangPod],
    groups: Mapping[tuple[str, str], int],
    ends_at: Mapping[Workload, float],
) -> GangDemand:
    """The demand of one gang.

    Args:
        workload: as `gang_of` names it.
        pods: of it, with GPUs; none has ended.
        groups: the pods that a PodGroup needs, by namespace and name.
        ends_at: when gangs are expected to end, where that is known better than by annotations.
    """
    members = list(pods)
    waiting = [one for one in members if one.pod.node is None]
    stated = [_total(one.pod) for one in members]
    size = groups.get((workload.namespace, workload.name), 0)
    total = max([len(members), size, *stated])
    ends = [end for one in members if (end := _expected_end(one.pod)) is not None]
    return GangDemand(
        workload=workload,
        pods=total,
        gpus_per_pod=max(one.gpus for one in members),
        waiting_pods=total - (len(members) - len(waiting)),
        seen_pods=sum(not one.pod.gated for one in waiting),
        missing_pods=total - len(members),
        ends_at_seconds=ends_at.get(workload, max(ends, default=None)),
    )


def by_gang(pods: Iterable[GangPod]) -> dict[Workload, list[GangPod]]:
    """The pods of each gang; pods of none are left out."""
    found: dict[Workload, list[GangPod]] = defaultdict(list)
    for one in pods:
        gang = gang_of(one.pod)
        if gang is not None:
            found[gang].append(one)
    return found


def sizes_of(groups: Iterable[PodGroup]) -> dict[tuple[str, str], int]:
    """The pods that each PodGroup needs, by its namespace and name."""
    return {
        (namespace, name): one.size
        for one in groups
        if one.size is not None
        for namespace, _, name in [one.name.partition("/")]
    }


def _total(pod: Pod) -> int:
    stated = pod.annotations.get(_KUEUE_TOTAL, "")
    return int(stated) if _COUNT.fullmatch(stated) else 0


def _expected_end(pod: Pod) -> float | None:
    try:
        return datetime.fromisoformat(pod.annotations[EXPECTED_END]).timestamp()
    except (KeyError, OverflowError, ValueError):
        return None
