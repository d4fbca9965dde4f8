"""KubeRay's RayJobs and RayClusters.

With `enableInTreeAutoscaling` Ray's own autoscaler makes and removes workers one by one: such a
cluster is no gang, and its size is left to Ray.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from fleet.cluster.fields import Json, listed, part, text, whole_number
from fleet.cluster.jobs.gang_object import GangObject, PodSet, count, gang_object, pod_set
from fleet.cluster.pods import Pod

RAY_CLUSTER_LABEL: Final = "ray.io/cluster"
_ENDED: Final = frozenset({"SUCCEEDED", "FAILED", "STOPPED"})
_DEPLOYMENT_ENDED: Final = frozenset({"Complete", "Failed"})


def ray_job_of(document: Json) -> GangObject:
    """The gang of a `ray.io/v1` RayJob; one that runs on a cluster of others makes no pods.

    Raises:
        UnreadableObjectError: with the field that is not as the API has it.
    """
    spec, status = part(document, "spec"), part(document, "status")
    ended = (
        text(status, "jobStatus") in _ENDED
        or text(status, "jobDeploymentStatus") in _DEPLOYMENT_ENDED
    )
    return _gang(document, "RayJob", part(spec, "rayClusterSpec"), spec, ended=ended)


def ray_cluster_of(document: Json) -> GangObject:
    """The gang of a `ray.io/v1` RayCluster.

    Raises:
        UnreadableObjectError: with the field that is not as the API has it.
    """
    spec = part(document, "spec")
    return _gang(document, "RayCluster", spec, spec, ended=False)


def _gang(document: Json, kind: str, cluster: Json, spec: Json, *, ended: bool) -> GangObject:
    told_alike = gang_object(
        document,
        kind,
        _groups(document, cluster),
        suspended=spec.get("suspend") is True,
        ended=ended,
    )
    return replace(told_alike, autoscaled=cluster.get("enableInTreeAutoscaling") is True)


def _groups(document: Json, cluster: Json) -> Iterator[PodSet]:
    head = part(cluster, "headGroupSpec", "template")
    if head:
        yield pod_set("head", 1, document, head)
    for one in listed(cluster, "workerGroupSpecs"):
        replicas = 0 if one.get("suspend") is True else _replicas(one)
        pods = replicas * count(one, "numOfHosts")
        yield pod_set(text(one, "groupName") or "", pods, document, part(one, "template"))


def _replicas(group: Json) -> int:
    """As KubeRay counts: it makes `minReplicas` where fewer are asked for."""
    replicas, least = count(group, "replicas", 0), count(group, "minReplicas", 0)
    most = whole_number(group, "maxReplicas")
    if replicas < least or most is None:
        return max(replicas, least)
    return min(replicas, max(0, most))


def with_autoscaling(pods: Iterable[Pod], clusters: Iterable[GangObject]) -> tuple[Pod, ...]:
    """The pods, those of RayClusters with whether Ray scales their cluster."""
    autoscaled = {one.name: one.autoscaled for one in clusters}
    if not autoscaled:
        return tuple(pods)
    return tuple(
        replace(pod, ray_autoscales=autoscaled.get(f"{pod.namespace}/{name}"))
        if (name := pod.labels.get(RAY_CLUSTER_LABEL))
        else pod
        for pod in pods
    )
