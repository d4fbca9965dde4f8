"""What the objects of gangs state: pods, GPUs, queues, processes and ends."""

from typing import Any

import pytest

from fleet.cluster.fields import Unreadable
from fleet.cluster.jobs.gang_object import GangObject
from fleet.cluster.jobs.kueue import Admission, KueueWorkload
from fleet.cluster.kinds import Kind, record_of
from tests.cluster.gang_documents import (
    NO_QUOTA,
    NO_ROOM,
    job_set,
    leader_worker_set,
    mpi_job,
    nemo_pytorch_job,
    nemo_train_job,
    ray_cluster,
    ray_job,
    train_job,
    workload,
)

Json = dict[str, Any]


def gang(kind: Kind, document: Json) -> GangObject:
    found = record_of(kind, document)
    assert isinstance(found, GangObject), found
    return found


@pytest.mark.parametrize(
    ("kind", "document", "sets", "world_size"),
    [
        pytest.param(
            Kind.JOB_SET,
            job_set("tune", launcher=True),
            {"launcher": (1, 0), "node": (4, 8)},
            None,
            id="JobSet",
        ),
        pytest.param(
            Kind.LEADER_WORKER_SET,
            leader_worker_set("big", groups=3, size=4),
            {"leader": (1, 8), "worker": (3, 8)},
            None,
            id="a group of a LeaderWorkerSet",
        ),
        pytest.param(Kind.TRAIN_JOB, train_job("tune"), {"node": (4, 8)}, 32, id="TrainJob"),
        pytest.param(
            Kind.PYTORCH_JOB,
            nemo_pytorch_job("nemo"),
            {"Master": (1, 8), "Worker": (3, 8)},
            32,
            id="NeMo-Run's PyTorchJob",
        ),
        pytest.param(
            Kind.TRAIN_JOB, nemo_train_job("nemo"), {"node": (4, 8)}, 32, id="NeMo-Run's TrainJob"
        ),
        pytest.param(
            Kind.MPI_JOB,
            mpi_job("allreduce"),
            {"Launcher": (1, 0), "Worker": (4, 8)},
            32,
            id="MPIJob",
        ),
        pytest.param(
            Kind.RAY_JOB, ray_job("fit"), {"head": (1, 0), "gpu": (4, 8)}, None, id="RayJob"
        ),
    ],
)
def test_a_gangs_spec_gives_its_pods_its_gpus_and_its_world_size(
    kind: Kind, document: Json, sets: dict[str, tuple[int, int]], world_size: int | None
) -> None:
    found = gang(kind, document)
    shown = {
        one.name: (one.pods, int(one.template.requests.get("nvidia.com/gpu", 0)))
        for one in found.pod_sets or ()
    }
    assert (shown, found.world_size) == (sets, world_size)


@pytest.mark.parametrize(
    ("bounds", "pods"),
    [
        pytest.param({"minReplicas": 2, "maxReplicas": 8}, 4, id="between its bounds"),
        pytest.param({"minReplicas": 6, "maxReplicas": 8}, 6, id="below its least"),
        pytest.param({"minReplicas": 0, "maxReplicas": 3}, 3, id="above its most"),
        pytest.param({"minReplicas": 6, "maxReplicas": 3}, 6, id="bounds that exclude each other"),
        pytest.param({"replicas": 0, "minReplicas": 5}, 5, id="by its least alone"),
        pytest.param({"minReplicas": 6, "numOfHosts": 2}, 12, id="of two hosts each"),
    ],
)
def test_a_ray_worker_group_is_as_large_as_kuberay_makes_it(
    bounds: dict[str, int], pods: int
) -> None:
    document = ray_cluster("r", workers=4)
    group = document["spec"]["workerGroupSpecs"][0]
    del group["minReplicas"], group["maxReplicas"]
    group.update(bounds)
    sets = gang(Kind.RAY_CLUSTER, document).pod_sets or ()
    assert [one.pods for one in sets if one.name == "gpu"] == [pods]


def test_an_elastic_pytorch_job_starts_with_its_least_workers() -> None:
    document = nemo_pytorch_job("elastic", nodes=9)
    document["spec"]["elasticPolicy"] = {"minReplicas": 3, "maxReplicas": 8}
    sets = gang(Kind.PYTORCH_JOB, document).pod_sets or ()
    assert {one.name: one.pods for one in sets} == {"Master": 1, "Worker": 3}


def test_a_train_job_without_numbers_of_its_own_leaves_them_to_its_runtime() -> None:
    document = train_job("tune")
    del document["spec"]["trainer"]["numNodes"]
    found = gang(Kind.TRAIN_JOB, document)
    assert (found.pod_sets, found.world_size) == (None, None)


@pytest.mark.parametrize(
    ("told", "ends_at", "percent"),
    [
        pytest.param(
            {
                "progressPercentage": 97,
                "estimatedRemainingSeconds": 120,
                "lastUpdatedTime": "2026-12-01T12:00:00Z",
            },
            1_796_126_520.0,  # 12:02
            97.0,
            id="97 % with 120 s left",
        ),
        pytest.param({"progressPercentage": 3}, None, 3.0, id="no estimate"),
        pytest.param(
            {"estimatedRemainingSeconds": 10**12, "lastUpdatedTime": "2026-12-01T12:00:00Z"},
            None,
            None,
            id="an absurd one",
        ),
        pytest.param({}, None, None, id="the gate is off"),
    ],
)
def test_a_train_jobs_status_tells_when_it_ends(
    told: Json, ends_at: float | None, percent: float | None
) -> None:
    found = gang(Kind.TRAIN_JOB, train_job("t") | {"status": {"trainerStatus": told}})
    assert (found.ends_at_seconds, found.progress_percent) == (ends_at, percent)


def in_one_domain(document: Json) -> Json:
    """It asks for one host, which no number of hosts makes larger."""
    document["spec"]["podSets"][0]["topologyRequest"] = {"required": "kubernetes.io/hostname"}
    return document


@pytest.mark.parametrize(
    ("document", "admission", "why"),
    [
        pytest.param(workload(job_set("j")), Admission.PENDING, NO_QUOTA, id="pending"),
        pytest.param(
            workload(job_set("j"), reason="WaitingForQuota"),
            Admission.PENDING,
            "WaitingForQuota",
            id="pending, with a reason",
        ),
        pytest.param(
            workload(job_set("j"), message=NO_ROOM),
            Admission.LACKS_NODES,
            NO_ROOM,
            id="no topology has room",
        ),
        pytest.param(
            workload(job_set("j"), reason="TopologyPlacementFailed", message=""),
            Admission.LACKS_NODES,
            "TopologyPlacementFailed",
            id="no topology has room, with a reason",
        ),
        pytest.param(
            in_one_domain(workload(job_set("j"), message=NO_ROOM)),
            Admission.PENDING,
            NO_ROOM,
            id="no domain has room for all",
        ),
        pytest.param(
            workload(job_set("j"), reserved=True, checks=("provisioning",)),
            Admission.RESERVED,
            "",
            id="a ProvisioningRequest is under way",
        ),
        pytest.param(workload(job_set("j"), admitted=True), Admission.ADMITTED, "", id="admitted"),
        pytest.param(
            workload(job_set("j"), admitted=True, Finished="True"),
            Admission.FINISHED,
            "",
            id="finished",
        ),
    ],
)
def test_admission_reason_and_flavors_of_kueue_are_read(
    document: Json, admission: Admission, why: str
) -> None:
    found = record_of(Kind.KUEUE_WORKLOAD, document)
    assert isinstance(found, KueueWorkload), found
    assert (found.admission, found.why, found.queue) == (admission, why, "research")
    is_given = "admission" in document["status"]
    assert found.flavors == (("h100",) if is_given else ())


@pytest.mark.parametrize(
    ("kind", "document", "field"),
    [
        (Kind.JOB_SET, job_set("j") | {"spec": {"replicatedJobs": 4}}, "replicatedJobs"),
        (Kind.TRAIN_JOB, train_job("t") | {"spec": {"trainer": []}}, "trainer"),
        (Kind.RAY_CLUSTER, ray_cluster("r") | {"spec": {"workerGroupSpecs": {}}}, "workerGroup"),
    ],
)
def test_an_object_that_is_not_as_its_api_has_it_names_the_field(
    kind: Kind, document: Json, field: str
) -> None:
    found = record_of(kind, document)
    assert isinstance(found, Unreadable)
    assert field in found.why


def test_numbers_beyond_those_of_the_api_are_unknown() -> None:
    """A file may hold any integer, and one of 400 digits is no float."""
    document = train_job("x", nodes=10**400)
    document["status"] = {"trainerStatus": {"progressPercentage": 10**400}}
    found = gang(Kind.TRAIN_JOB, document)
    assert (found.pod_sets, found.world_size, found.progress_percent) == (None, None, None)
