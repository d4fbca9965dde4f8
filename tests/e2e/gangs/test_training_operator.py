"""Jobs of Kubeflow's training operator, whose pods the real controller makes.

Four nodes have 8 GPUs each: a gang of 4 x 8 fits, and one of 5 starts in part.
"""

from copy import deepcopy
from typing import Any

import pytest

from tests.cluster.gang_documents import mpi_job, nemo_pytorch_job, template
from tests.e2e.gangs.gang_cluster import NAMESPACE, GangCluster

pytestmark = pytest.mark.looptime(False)  # processes live in real time
Json = dict[str, Any]


def of_operator(kind: str, replicas: str, container: str, roles: dict[str, int]) -> Json:
    """A job of another kind: so many pods a role, with two GPUs each."""
    made = template(gpus=2)
    made["spec"]["containers"][0]["name"] = container
    spec = {replicas: {role: {"replicas": pods, "template": made} for role, pods in roles.items()}}
    metadata = {"name": kind.lower(), "namespace": NAMESPACE}
    return {"apiVersion": "kubeflow.org/v1", "kind": kind, "metadata": metadata, "spec": spec}


def suspend(gangs: GangCluster, name: str, *, suspended: bool) -> None:
    path = f"/apis/kubeflow.org/v1/namespaces/{NAMESPACE}/pytorchjobs/{name}"
    gangs.bed.send("PATCH", path, {"spec": {"runPolicy": {"suspend": suspended}}})


def test_a_pytorch_job_is_one_demand_while_it_is_suspended_and_while_its_pods_run(
    gangs: GangCluster,
) -> None:
    job = nemo_pytorch_job("nemo")
    job["spec"]["runPolicy"] = {"suspend": True}
    gangs.make(job)
    suspended = "its owner, who has suspended it"
    found = gangs.until_it_waits_for("PyTorchJob nemo", suspended, gpus=32.0, placedGpus=0.0)
    assert (found["pods"], found["worldSize"]) == (4, 32)
    # A p5.48xlarge is $6.88 a GPU-hour.
    assert found["waitingUsdPerHour"] == pytest.approx(220.16)
    assert gangs.pods("") == []

    suspend(gangs, "nemo", suspended=False)
    found = gangs.until("PyTorchJob nemo", waitingPods=0, placedGpus=32.0, waitsFor=[])
    assert (found["pods"], found["worldSize"]) == (4, 32)
    assert list(gangs.jobs()) == ["PyTorchJob nemo"]
    roles = [
        one["metadata"]["labels"]["training.kubeflow.org/replica-type"] for one in gangs.pods("")
    ]
    assert sorted(roles) == ["master", "worker", "worker", "worker"]

    suspend(gangs, "nemo", suspended=True)
    gangs.until_it_waits_for("PyTorchJob nemo", suspended, placedGpus=0.0, waitingPods=4)


def test_the_pods_of_a_pytorch_job_are_one_demand_before_any_has_a_node(gangs: GangCluster) -> None:
    job = nemo_pytorch_job("nemo")
    for role in job["spec"]["pytorchReplicaSpecs"].values():
        role["template"]["spec"]["schedulerName"] = "away"
    gangs.make(job)
    # Foresail reads of the API server's cache, which may lag behind.
    found = gangs.until("PyTorchJob nemo", waitsFor=["nodes with 32 GPUs, for 4 of 4 pods"])
    gangs.until_pods(4)
    assert (found["pods"], found["waitingPods"], found["gpus"]) == (4, 4, 32.0)
    assert found["waitingUsdPerHour"] == pytest.approx(220.16)


def test_a_pytorch_job_that_starts_in_part_is_named_and_its_success_ends_the_demand(
    gangs: GangCluster,
) -> None:
    job = nemo_pytorch_job("large", nodes=5)
    job["spec"]["runPolicy"] = {"cleanPodPolicy": "All"}
    # The operator makes the pods of either role first, and the master is the one that shall end:
    # it takes a worker's place where it came last.
    roles = job["spec"]["pytorchReplicaSpecs"]
    roles["Master"] = deepcopy(roles["Master"])
    roles["Master"]["template"]["spec"]["priorityClassName"] = "system-node-critical"
    gangs.make(job)
    in_part = ["started in part, 4 of 5 pods have a node", "nodes with 8 GPUs, for 1 of 5 pods"]
    found = gangs.until("PyTorchJob large", waitsFor=in_part)
    assert (found["waitingPods"], found["placedGpus"]) == (1, 32.0)

    (master,) = gangs.pods("training.kubeflow.org/replica-type=master")
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{master['metadata']['name']}/status"
    gangs.bed.wait(lambda: gangs.bed.read(path)["status"]["phase"] == "Running", "the master")
    gangs.bed.send("PATCH", path, {"status": {"phase": "Succeeded"}})
    gangs.bed.wait(lambda: gangs.jobs() == {}, "the end of the demand")

    def has_succeeded() -> bool:
        return gangs.bed.conditions(gangs.bed.path_of(job)).get("Succeeded") == "True"

    gangs.bed.wait(has_succeeded, "the operator to say so")


def test_the_training_operator_refuses_a_name_that_is_no_host_name(gangs: GangCluster) -> None:
    with pytest.raises(RuntimeError, match=r"metadata\.name.*should match"):
        gangs.make(nemo_pytorch_job("4-nodes"))


def test_an_mpi_jobs_launcher_is_no_pod_with_gpus(gangs: GangCluster) -> None:
    gangs.make(mpi_job("mpi"))
    found = gangs.until("MPIJob mpi", waitingPods=0, placedGpus=32.0)
    assert (found["pods"], found["gpus"], found["worldSize"]) == (4, 32.0, 32)
    gangs.until_pods(5)


def test_jobs_of_the_operators_other_kinds_are_gangs_by_their_pods(gangs: GangCluster) -> None:
    for document in (
        of_operator("TFJob", "tfReplicaSpecs", "tensorflow", {"Chief": 1, "Worker": 1}),
        of_operator("XGBoostJob", "xgbReplicaSpecs", "xgboost", {"Master": 1, "Worker": 1}),
        of_operator("PaddleJob", "paddleReplicaSpecs", "paddle", {"Master": 1, "Worker": 1}),
        of_operator("JAXJob", "jaxReplicaSpecs", "jax", {"Worker": 2}),
    ):
        gangs.make(document)
    gangs.until_pods(8)
    names = {"TFJob tfjob", "XGBoostJob xgboostjob", "PaddleJob paddlejob", "JAXJob jaxjob"}
    for name in names:
        gangs.until(name, pods=2, gpus=4.0, waitingPods=0)
    assert set(gangs.jobs()) == names
