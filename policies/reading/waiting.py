"""Waiting pods with GPUs, and the pools that they get nodes of."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fleet.cluster.gpu_resources import WHOLE
from fleet.cluster.gpus import dra_resources, gpus_wanted
from fleet.cluster.pods import Pod
from fleet.cluster.reading import Cluster
from policies.reading.fitting import Candidate, pools_for
from policies.reading.gangs import GangPod, gang_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """The pods that wait for a node."""

    by_pool: Mapping[str, Sequence[GangPod]]
    remarks_by_pool: Mapping[str, Sequence[str]]
    """Of pods that several pools may get."""
    remarks: tuple[str, ...]
    """Of pods that are in no pool."""


def waiting_pods(cluster: Cluster, candidates: Iterable[Candidate]) -> Waiting:
    """Give each waiting pod to its pool, and name those that could be in several or in none."""
    pools = list(candidates)
    by_pool: dict[str, list[GangPod]] = {one.name: [] for one in pools}
    of_pool: dict[str, list[str]] = {one.name: [] for one in pools}
    remarks = []
    for pod in cluster.pods or ():
        # A placeholder is an order of ours, and no demand.
        waits = pod.node is None and not _over(pod) and not pod.placeholder
        gpus = wanted_gpus(cluster, pod) if waits else 0
        if gpus is None:
            remarks.append(f"pod {pod.name} waits for GPUs, and how many is unknown")
        elif gpus and pod.gated and gang_of(pod) is None:
            remarks.append(f"pod {pod.name} is held back by a scheduling gate and not counted")
        elif gpus:
            names = pools_for(pod, gpus, pools)
            if not names:
                remarks.append(f"pod {pod.name} waits for {gpus:g} GPUs, and no pool fits")
            elif len(names) == 1:
                by_pool[names[0]].append(GangPod(pod=pod, gpus=gpus))
            else:
                text = (
                    f"pod {pod.name} waits for {gpus:g} GPUs and is not counted: it may get a "
                    f"node of {' or '.join(names)}"
                )
                for name in names:
                    of_pool[name].append(text)
    return Waiting(by_pool=by_pool, remarks_by_pool=of_pool, remarks=tuple(remarks))


def _over(pod: Pod) -> bool:
    return pod.ended or pod.deleted_seconds is not None


def wanted_gpus(cluster: Cluster, pod: Pod) -> float | None:
    """GPUs that a waiting pod asks for; None = it does, and how many is unknown."""
    if not pod.may_take_gpus:
        return 0
    classes = cluster.classes or ()
    whole = {*WHOLE, *dra_resources(classes)}
    plugged = sum(float(count) for name, count in pod.requests.items() if name in whole)
    parts = any(name.startswith("nvidia.com/") and name not in whole for name in pod.requests)
    if parts or pod.claims_to_come or (pod.claims and cluster.claims is None):
        return None
    of_gpus = frozenset(one.name for one in classes if one.of_gpus)
    claims = [one for one in cluster.claims or () if one.name in pod.claims]
    return plugged + sum(gpus_wanted(one, of_gpus) for one in claims)
