"""JobSets and LeaderWorkerSets."""

from collections.abc import Iterator

from fleet.cluster.fields import Json, listed, part, text, whole_number
from fleet.cluster.jobs.gang_object import (
    GangObject,
    PodSet,
    count,
    gang_object,
    has_condition,
    pod_set,
)


def job_set_of(document: Json) -> GangObject:
    """The gang of a `jobset.x-k8s.io/v1alpha2` JobSet.

    Raises:
        UnreadableObjectError: with the field that is not as the API has it.
    """
    spec = part(document, "spec")
    return gang_object(
        document,
        "JobSet",
        _replicated(document, spec),
        suspended=spec.get("suspend") is True,
        ended=has_condition(document, "Completed", "Failed"),
    )


def _replicated(document: Json, spec: Json) -> Iterator[PodSet]:
    for one in listed(spec, "replicatedJobs"):
        job = part(one, "template", "spec")
        at_once = count(job, "parallelism")
        completions = whole_number(job, "completions")
        if completions is not None:
            at_once = min(at_once, max(0, completions))
        pods = count(one, "replicas") * at_once
        yield pod_set(text(one, "name") or "", pods, document, part(job, "template"))


def leader_worker_set_of(document: Json) -> GangObject:
    """The gang that one group of a `leaderworkerset.x-k8s.io/v1` LeaderWorkerSet is.

    Raises:
        UnreadableObjectError: with the field that is not as the API has it.
    """
    spec = part(document, "spec")
    group = part(spec, "leaderWorkerTemplate")
    worker = part(group, "workerTemplate")
    leader = part(group, "leaderTemplate") or worker
    size = count(group, "size")
    sets = (
        pod_set("leader", min(1, size), document, leader),
        pod_set("worker", max(0, size - 1), document, worker),
    )
    return gang_object(document, "LeaderWorkerSet", sets)
