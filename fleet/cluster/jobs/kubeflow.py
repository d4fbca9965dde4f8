"""Kubeflow's training jobs: TrainJob of Trainer v2, PyTorchJob and MPIJob of the training operator.

A TrainJob's pods are those of the JobSet that Trainer makes of its runtime. While there is none,
its own numbers tell, as far as it has them; the rest stands in the runtime that it names.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from fleet.cluster.fields import Json, part, seconds, whole_number
from fleet.cluster.jobs.gang_object import (
    GangObject,
    PodSet,
    count,
    gang_object,
    has_condition,
    pod_set,
)

_DIGITS_MAX: Final = 6
_REMAINING_SECONDS_MAX: Final = 366 * 86_400.0
"""A longer one is no estimate."""


def train_job_of(document: Json) -> GangObject:
    """The gang of a `trainer.kubeflow.org/v1alpha1` TrainJob.

    Raises:
        UnreadableObjectError: with the field that is not as the API has it.
    """
    spec = part(document, "spec")
    trainer, told = part(spec, "trainer"), part(document, "status", "trainerStatus")
    nodes, processes = (whole_number(trainer, name) for name in ("numNodes", "numProcPerNode"))
    resources = part(trainer, "resourcesPerNode")
    sets = None
    if nodes is not None and resources:
        node = {"spec": {"containers": [{"name": "node", "resources": resources}]}}
        sets = (pod_set("node", max(0, nodes), document, node),)
    percent = whole_number(told, "progressPercentage")
    told_alike = gang_object(
        document,
        "TrainJob",
        sets,
        suspended=spec.get("suspend") is True,
        ended=has_condition(document, "Complete", "Failed"),
    )
    return replace(
        told_alike,
        world_size=nodes * processes if nodes and processes else None,
        progress_percent=None if percent is None else float(percent),
        ends_at_seconds=_end(told),
    )


def _end(told: Json) -> float | None:
    """By the estimate of what remained when the trainer last told."""
    at, left = seconds(told, "lastUpdatedTime"), whole_number(told, "estimatedRemainingSeconds")
    if at is None or left is None or not 0 <= left <= _REMAINING_SECONDS_MAX:
        return None
    return at + left


def pytorch_job_of(document: Json) -> GangObject:
    """The gang of a `kubeflow.org/v1` PyTorchJob; of an elastic one, its least workers.

    Raises:
        UnreadableObjectError: with the field that is not as the API has it.
    """
    spec = part(document, "spec")
    least = whole_number(part(spec, "elasticPolicy"), "minReplicas")
    return _of_training_operator(
        document, "PyTorchJob", "pytorchReplicaSpecs", _number(spec.get("nprocPerNode")), least
    )


def mpi_job_of(document: Json) -> GangObject:
    """The gang of a `kubeflow.org/v1` MPIJob.

    Raises:
        UnreadableObjectError: with the field that is not as the API has it.
    """
    slots = _number(part(document, "spec").get("slotsPerWorker"))
    return _of_training_operator(document, "MPIJob", "mpiReplicaSpecs", slots, None)


def _of_training_operator(
    document: Json, kind: str, replicas: str, processes: int | None, workers: int | None
) -> GangObject:
    spec = part(document, "spec")
    sets = tuple(_replica_sets(document, part(spec, replicas), workers))
    # An MPI launcher runs no process of the training.
    pods = sum(one.pods for one in sets if one.name != "Launcher")
    told_alike = gang_object(
        document,
        kind,
        sets,
        suspended=part(spec, "runPolicy").get("suspend") is True,
        ended=has_condition(document, "Succeeded", "Failed"),
    )
    return replace(told_alike, world_size=pods * processes if pods and processes else None)


def _replica_sets(document: Json, specs: Json, workers: int | None) -> Iterator[PodSet]:
    for name in sorted(specs):
        one = part(specs, name)
        pods = count(one, "replicas")
        if name == "Worker" and workers is not None:
            pods = min(pods, max(0, workers))
        yield pod_set(name, pods, document, part(one, "template"))


def _number(given: object) -> int | None:
    """A number of processes, which PyTorchJobs write as a text; `auto` and the like are none."""
    digits = str(given)
    is_number = digits.isascii() and digits.isdigit() and len(digits) <= _DIGITS_MAX
    return int(digits) if is_number else None
