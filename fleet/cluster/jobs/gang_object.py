"""An object whose controller makes pods that start together, whatever its API."""

from collections.abc import Iterable
from dataclasses import dataclass

from fleet.cluster.fields import Json, listed, namespaced_name_of, part, text, whole_number
from fleet.cluster.owners import Owner, Workload, owners_of
from fleet.cluster.pods import Pod, pod_of

QUEUE_LABEL = "kueue.x-k8s.io/queue-name"


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSet:
    """Pods of one template."""

    name: str
    """Of the replica type, the replicated job or the worker group."""
    pods: int
    template: Pod
    """A pod as it would be made: no node, no phase."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GangObject:
    """A TrainJob, JobSet, PyTorchJob, MPIJob, LeaderWorkerSet, RayJob or RayCluster."""

    kind: str
    name: str
    """With its namespace."""
    uid: str
    owners: tuple[Owner, ...] = ()
    queue: str | None = None
    """Of Kueue, which then says when it starts; None = none."""
    suspended: bool = False
    ended: bool = False
    pod_sets: tuple[PodSet, ...] | None
    """Of one group of a LeaderWorkerSet, else of all its pods, in the order of their stages; None =
    another object tells, such as a training runtime."""
    autoscaled: bool = False
    """Ray's own autoscaler makes and removes its workers: it is no gang."""
    world_size: int | None = None
    """Processes of all its pods together; None = not told."""
    progress_percent: float | None = None
    """As it tells of itself."""
    ends_at_seconds: float | None = None
    """When it expects to end, as it told when it last wrote its status."""

    @property
    def workload(self) -> Workload:
        return workload_named(self.kind, self.name)


def workload_named(kind: str, name: str) -> Workload:
    """The workload of a kind, by its name with the namespace."""
    namespace, _, own = name.partition("/")
    return Workload(kind=kind, namespace=namespace, name=own)


def gang_object(
    document: Json,
    kind: str,
    pod_sets: Iterable[PodSet] | None,
    *,
    suspended: bool = False,
    ended: bool = False,
) -> GangObject:
    """What every such object tells alike, with what each tells in its own way."""
    metadata = part(document, "metadata")
    return GangObject(
        kind=kind,
        name=namespaced_name_of(document),
        uid=text(metadata, "uid") or "",
        owners=tuple(owners_of(metadata)),
        queue=text(part(metadata, "labels"), QUEUE_LABEL),
        suspended=suspended,
        ended=ended,
        pod_sets=None if pod_sets is None else tuple(pod_sets),
    )


def pod_set(name: str, pods: int, document: Json, template: Json) -> PodSet:
    """The pods of a template.

    Args:
        name: of the set.
        pods: that its object asks for.
        document: that object, for the namespace.
        template: a PodTemplateSpec.

    Raises:
        UnreadableObjectError: the template is none.
    """
    metadata = part(template, "metadata")
    namespace = text(part(document, "metadata"), "namespace") or "default"
    pod = {
        "metadata": {
            "namespace": namespace,
            "name": name,
            "labels": part(metadata, "labels"),
            "annotations": part(metadata, "annotations"),
        },
        "spec": part(template, "spec"),
    }
    return PodSet(name=name, pods=pods, template=pod_of(pod))


def count(of: Json, name: str, default: int = 1) -> int:
    """A number of pods or groups; below 0 it is none."""
    given = whole_number(of, name)
    return default if given is None else max(0, given)


def has_condition(document: Json, *types: str) -> bool:
    """Whether a condition of one of these types is True."""
    return any(
        text(one, "type") in types and text(one, "status") == "True"
        for one in listed(part(document, "status"), "conditions")
    )
