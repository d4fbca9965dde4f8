"""The real Kueue admits by quota and by topology, and Foresail reads what it decides."""

from functools import partial
from typing import Any

import pytest

from tests.cluster.gang_documents import (
    job_set,
    nemo_pytorch_job,
    queues,
    template,
    train_job,
)
from tests.e2e.gangs.controllers import is_taken
from tests.e2e.gangs.gang_cluster import NAMESPACE, GangCluster

pytestmark = pytest.mark.looptime(False)  # processes live in real time
NO_QUOTA = "insufficient unused quota for nvidia.com/gpu in flavor h100"
"""That Kueue says a moment after the workload waits."""
TOPOLOGY = {
    "apiVersion": "kueue.x-k8s.io/v1beta2",
    "kind": "Topology",
    "metadata": {"name": "hosts"},
    "spec": {"levels": [{"nodeLabel": "kubernetes.io/hostname"}]},
}


@pytest.fixture
def queued(gangs: GangCluster) -> GangCluster:
    """A queue `research` with a quota of 48 GPUs; the two nodes have 32."""
    flavor, cluster_queue, local_queue = queues("h100", gpus=48)
    flavor["spec"]["topologyName"] = "hosts"
    for one in (TOPOLOGY, flavor, cluster_queue, local_queue):
        taken = partial(is_taken, gangs.bed, one)
        gangs.bed.wait(taken, f"Kueue's webhook of {one['kind']}")
    return gangs


def writers(document: dict[str, Any]) -> set[str]:
    """The field managers of an object."""
    return {one["manager"] for one in document["metadata"]["managedFields"]}


def test_admitted_and_pending_and_flavours_of_the_real_kueue_are_read(queued: GangCluster) -> None:
    queued.make(job_set("first", queue="research"))
    first = queued.until("JobSet first", admission="admitted", waitingPods=0, placedGpus=32.0)
    assert (first["queue"], first["flavors"]) == ("research", ["h100"])

    queued.make(job_set("second", queue="research"))
    second = queued.until_it_waits_for("JobSet second", NO_QUOTA, admission="pending")
    # Four p5.48xlarge: 32 GPUs at $6.88.
    assert second["waitingUsdPerHour"] == pytest.approx(220.16)
    path = f"/apis/jobset.x-k8s.io/v1alpha2/namespaces/{NAMESPACE}/jobsets/second"
    found = queued.bed.read(path)
    assert found["spec"]["suspend"] is True
    assert not any("foresail" in one for one in writers(found))


def test_a_train_job_in_a_queue_is_one_demand_with_its_world_size(queued: GangCluster) -> None:
    queued.make(job_set("first", queue="research"))
    queued.until("JobSet first", admission="admitted")
    job = train_job("tune", suspend=True)
    job["metadata"]["labels"] = {"kueue.x-k8s.io/queue-name": "research"}
    queued.make(job)
    found = queued.until("JobSet tune", admission="pending", worldSize=32)
    assert (found["madeBy"], found["gpus"]) == ("TrainJob ml/tune", 32.0)


def test_pytorch_jobs_in_a_queue_start_whole_and_wait_whole(queued: GangCluster) -> None:
    queued.make(nemo_pytorch_job("first", queue="research"))
    first = queued.until("PyTorchJob first", admission="admitted", waitingPods=0, placedGpus=32.0)
    assert (first["queue"], first["flavors"]) == ("research", ["h100"])

    queued.make(nemo_pytorch_job("second", queue="research"))
    second = queued.until_it_waits_for("PyTorchJob second", NO_QUOTA, admission="pending")
    assert (second["pods"], second["gpus"], second["placedGpus"]) == (4, 32.0, 0.0)
    assert second["waitingUsdPerHour"] == pytest.approx(220.16)


def test_a_topology_without_room_is_told_from_a_quota_that_is_used_up(queued: GangCluster) -> None:
    # The quota is of 48 GPUs, and the nodes have 32.
    queued.make(job_set("large", pods=5, queue="research"))
    to_be_made = ["5 of 5 pods to be made"]
    queued.until("JobSet large", admission="lacks nodes", waitsFor=to_be_made)
    queued.clear()

    required = template()
    notes = required["metadata"]["annotations"]
    notes["kueue.x-k8s.io/podset-required-topology"] = "kubernetes.io/hostname"
    # One host has 8 GPUs, and more hosts do not change that.
    queued.make(job_set("tight", queue="research", template_of=required))
    queued.until_it_waits_for("JobSet tight", "topology", admission="pending")
