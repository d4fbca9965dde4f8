"""Waiting pods with GPUs, and the pools that they get nodes of."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fleet.cluster.asked_gpus import AskedGpus
from fleet.cluster.pods import Pod
from fleet.cluster.reading import Cluster
from policies.reading.fitting import Candidate, not_ruled_out, pools_for
from policies.reading.gang_objects import GangObjects, UnmadeGang
from policies.reading.gangs import GangPod, gang_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """The pods that wait for a node."""

    by_pool: Mapping[str, Sequence[GangPod]]
    remarks_by_pool: Mapping[str, Sequence[str]]
    """Of pods that several pools may get, or that no pool is known to get and this one may."""
    remarks: tuple[str, ...]
    """Of pods that are in no pool."""
    anywhere: bool
    """Pods wait of which it is not known how many GPUs they want, so any pool may get them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmade:
    """The gangs of which no pod exists yet."""

    by_pool: Mapping[str, Sequence[UnmadeGang]]
    remarks_by_pool: Mapping[str, Sequence[str]]
    """Of gangs that several pools may get."""
    remarks: tuple[str, ...]
    """Of gangs that are in no pool."""


def waiting_gangs(
    objects: GangObjects, pods: Iterable[Pod], candidates: Iterable[Candidate]
) -> Unmade:
    """Give each gang without a pod to its pool, and name those that could be in several."""
    pools = list(candidates)
    by_pool: dict[str, list[UnmadeGang]] = {one.name: [] for one in pools}
    of_pool: dict[str, list[str]] = {one.name: [] for one in pools}
    remarks = []
    made = {gang for pod in pods if not _over(pod) and (gang := gang_of(pod)) is not None}
    for unmade in objects.unmade(made):
        each = [
            set(pools_for(one.template, gpus or 0.0, pools))
            for one, gpus in zip(unmade.pod_sets, unmade.gpus, strict=True)
        ]
        names = sorted(set.intersection(*each))
        workload = unmade.workload
        of = f"{workload.kind} {workload.namespace}/{workload.name}, without a pod yet,"
        if None in unmade.gpus:
            remarks.append(f"{of} asks for GPUs by claims, and how many is unknown")
        elif len(names) == 1:
            by_pool[names[0]].append(unmade)
        elif not names:
            remarks.append(f"{of} fits no pool")
        else:
            for name in names:
                of_pool[name].append(f"{of} is not counted: it may get {' or '.join(names)}")
    return Unmade(by_pool=by_pool, remarks_by_pool=of_pool, remarks=tuple(remarks))


def waiting_pods(cluster: Cluster, candidates: Iterable[Candidate]) -> Waiting:
    """Give each waiting pod to its pool, and name those that could be in several or in none."""
    pools = list(candidates)
    by_pool: dict[str, list[GangPod]] = {one.name: [] for one in pools}
    of_pool: dict[str, list[str]] = {one.name: [] for one in pools}
    asked = AskedGpus(cluster)
    remarks, anywhere = [], cluster.pods is None
    for pod in cluster.pods or ():
        # A placeholder is an order of ours, and no demand.
        waits = pod.node is None and not _over(pod) and not pod.placeholder
        gpus = asked.of(pod) if waits else 0
        if gpus is None:
            remarks.append(f"pod {pod.name} waits for GPUs, and how many is unknown")
            anywhere = True
        elif gpus and pod.gated and gang_of(pod) is None:
            remarks.append(f"pod {pod.name} is held back by a scheduling gate and not counted")
        elif gpus:
            names = pools_for(pod, gpus, pools)
            if len(names) == 1:
                by_pool[names[0]].append(GangPod(pod=pod, gpus=gpus))
                continue
            text, possible = _in_doubt(pod, gpus, names, pools)
            if not names:
                remarks.append(text)
            for name in possible:
                of_pool[name].append(text)
    return Waiting(
        by_pool=by_pool, remarks_by_pool=of_pool, remarks=tuple(remarks), anywhere=anywhere
    )


def _in_doubt(
    pod: Pod, gpus: float, names: Sequence[str], pools: Sequence[Candidate]
) -> tuple[str, Sequence[str]]:
    """What is said of a pod that is not counted, and the pools that it may get a node of."""
    text = f"pod {pod.name} waits for {gpus:g} GPUs"
    if names:
        return f"{text} and is not counted: it may get a node of {' or '.join(names)}", names
    possible = [one.name for one in pools if not_ruled_out(pod, gpus, one)]
    return f"{text}, and no pool {'is known to fit' if possible else 'fits'}", possible


def _over(pod: Pod) -> bool:
    return pod.ended or pod.deleted_seconds is not None
