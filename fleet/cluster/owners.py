"""Which workload a pod belongs to, by its owners and the labels that controllers give it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from fleet.cluster.fields import Json, listed, text

_HASH: Final = "pod-template-hash"
_REPLICA_SET_OF: Final = re.compile(r"(?P<deployment>.+)-(?P<hash>[a-z0-9]{1,10})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """One entry of `metadata.ownerReferences`."""

    kind: str
    name: str
    uid: str
    controls: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """The object that a pod is a replica, or a part of a replica, of."""

    kind: str
    namespace: str
    name: str


JOB_KINDS: Final = frozenset(
    {
        "JobSet",
        "RayJob",
        # Of Kubeflow's training operator.
        *("PyTorchJob", "MPIJob", "TFJob", "JAXJob", "XGBoostJob", "PaddleJob"),
    }
)
"""Kinds whose pods start together or not at all."""
LEADER_WORKER_SET: Final = "LeaderWorkerSet"
LWS_GROUP: Final = "leaderworkerset.sigs.k8s.io/group-index"
"""The label of a LeaderWorkerSet's pods with the number of their group, which is one replica."""
_BY_LABEL: Final[Mapping[str, str]] = {
    # From the outside in: an LWS makes StatefulSets, a JobSet makes Jobs, KubeRay makes pods.
    "leaderworkerset.sigs.k8s.io/name": LEADER_WORKER_SET,
    "jobset.sigs.k8s.io/jobset-name": "JobSet",
}
_RAY_CLUSTER: Final = "ray.io/cluster"
_RAY_ORIGIN: Final = {"RayService": "RayService", "RayJob": "RayJob"}


def owners_of(metadata: Json) -> Iterator[Owner]:
    """The owners of an object."""
    for one in listed(metadata, "ownerReferences"):
        yield Owner(
            kind=text(one, "kind") or "",
            name=text(one, "name") or "",
            uid=text(one, "uid") or "",
            controls=one.get("controller") is True,
        )


def workload_of(
    namespace: str, labels: Mapping[str, str], owners: tuple[Owner, ...]
) -> Workload | None:
    """The workload of a pod; None = nothing owns it."""
    for label, kind in _BY_LABEL.items():
        if labels.get(label):
            return Workload(kind=kind, namespace=namespace, name=labels[label])
    if labels.get(_RAY_CLUSTER):
        return _of_ray(namespace, labels)
    owner = next((one for one in owners if one.controls), None)
    if owner is None:
        return None
    if owner.kind == "ReplicaSet":
        # A Deployment names its ReplicaSets after itself and the hash that is on the pods too.
        deployment = _REPLICA_SET_OF.fullmatch(owner.name)
        if deployment is not None and deployment["hash"] == labels.get(_HASH):
            return Workload(kind="Deployment", namespace=namespace, name=deployment["deployment"])
    return Workload(kind=owner.kind, namespace=namespace, name=owner.name)


def _of_ray(namespace: str, labels: Mapping[str, str]) -> Workload:
    """A RayService and a RayJob replace their clusters, so they are what lasts."""
    kind = _RAY_ORIGIN.get(labels.get("ray.io/originated-from-crd", ""), "RayCluster")
    origin = labels.get("ray.io/originated-from-cr-name")
    if kind == "RayCluster" or not origin:
        return Workload(kind="RayCluster", namespace=namespace, name=labels[_RAY_CLUSTER])
    return Workload(kind=kind, namespace=namespace, name=origin)
