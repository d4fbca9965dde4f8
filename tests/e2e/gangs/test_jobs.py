"""Jobs and groups as their users write them, made by the real controllers and read by Foresail.

Four nodes have 8 GPUs each: a gang of 4 x 8 fits, and one of 5 starts in part.
"""

import pytest

from tests.cluster.gang_documents import (
    job_set,
    leader_worker_set,
    nemo_train_job,
    ray_cluster,
    ray_job,
    train_job,
)
from tests.e2e.gangs.gang_cluster import GangCluster

pytestmark = pytest.mark.looptime(False)  # processes live in real time


def test_a_job_set_that_fits_is_one_gang_and_one_that_does_not_is_started_in_part(
    gangs: GangCluster,
) -> None:
    gangs.make(job_set("fits", launcher=True))
    fits = gangs.until("JobSet fits", waitingPods=0, placedGpus=32.0, waitsFor=[])
    assert (fits["pods"], fits["gpus"], fits["stages"]) == (4, 32.0, ["launcher", "node"])
    gangs.clear()

    gangs.make(job_set("large", pods=5))
    in_part = ["started in part, 4 of 5 pods have a node", "nodes with 8 GPUs, for 1 of 5 pods"]
    large = gangs.until("JobSet large", waitingPods=1, waitsFor=in_part)
    # A p5.48xlarge is $6.88 a GPU-hour.
    assert large["waitingUsdPerHour"] == pytest.approx(55.04)


def test_each_group_of_a_leader_worker_set_is_a_gang(gangs: GangCluster) -> None:
    gangs.make(leader_worker_set("big", groups=2, size=3))
    for group in range(2):
        gangs.until(f"LeaderWorkerSet big/{group}", pods=3, gpus=24.0)

    # Four of the six pods have room. The controller makes workers when it has made their leader.
    def placed() -> float:
        jobs = gangs.jobs()
        return sum(jobs[f"LeaderWorkerSet big/{group}"]["placedGpus"] for group in range(2))

    gangs.bed.wait(lambda: placed() == 32.0, "four of six pods placed")


def test_a_suspended_train_job_is_demand_with_a_price_and_gets_its_pods_when_it_goes_on(
    gangs: GangCluster,
) -> None:
    gangs.make(train_job("tune", suspend=True))
    found = gangs.until_it_waits_for(
        "JobSet tune",
        "its owner, who has suspended it",
        madeBy="TrainJob ml/tune",
        worldSize=32,
    )
    assert (found["pods"], found["gpus"], found["placedGpus"]) == (4, 32.0, 0.0)
    assert found["waitingUsdPerHour"] == pytest.approx(220.16)

    gangs.bed.kubectl(
        *("patch", "trainjob", "tune", "-n", "ml", "--type=merge"),
        *("-p", '{"spec": {"suspend": false}}'),
    )
    gangs.until("JobSet tune", waitingPods=0, placedGpus=32.0)
    status = '{"status": {"trainerStatus": {"progressPercentage": 97, '
    status += '"estimatedRemainingSeconds": 120, "lastUpdatedTime": "2026-12-01T12:00:00Z"}}}'
    gangs.bed.kubectl(
        *("patch", "trainjob", "tune", "-n", "ml", "--subresource=status", "--type=merge"),
        *("-p", status),
    )
    found = gangs.until("JobSet tune", progressPercent=97.0)
    assert found["endsAt"] == "2026-12-01T12:02:00+00:00"


def test_trainer_drops_the_pod_settings_that_nemo_run_writes(gangs: GangCluster) -> None:
    document = nemo_train_job("nemo")
    # Who applies it as kubectl does is told what would be dropped; NeMo-Run's client does not ask.
    with pytest.raises(RuntimeError, match="podTemplateOverrides"):
        gangs.make(document)
    path = "/apis/trainer.kubeflow.org/v1alpha1/namespaces/ml/trainjobs"
    gangs.bed.send("POST", path, document)
    gangs.remember(document)
    assert "podTemplateOverrides" not in gangs.bed.read(f"{path}/nemo")["spec"]
    found = gangs.until("JobSet nemo", waitingPods=0)
    assert (found["worldSize"], found["gpus"]) == (32, 32.0)


@pytest.mark.parametrize(
    ("document", "name"),
    [
        pytest.param(ray_job("fit"), "RayJob fit", id="RayJob"),
        pytest.param(ray_cluster("ray"), "RayCluster ray", id="RayCluster"),
    ],
)
def test_a_gang_whose_controller_has_made_no_pod_is_read_of_its_object(
    gangs: GangCluster, document: dict[str, object], name: str
) -> None:
    gangs.make(document)
    found = gangs.until(name, gpus=32.0)
    assert (found["pods"], found["worldSize"]) == (4, None)
    assert found["waitsFor"] == ["4 of 4 pods to be made"]


def test_an_autoscaling_ray_cluster_is_no_gang(gangs: GangCluster) -> None:
    gangs.make(ray_cluster("ray", autoscaling=True))
    assert gangs.jobs() == {}
