"""What the objects of gangs add to their pods: sizes, queues, prices, and gangs without a pod."""

from typing import Any

import pytest

from fleet.cluster.kinds import Kind
from fleet.cluster.owners import Workload
from policies.node_plan import PoolPlan
from policies.policy.pool_policy import PoolPolicy
from policies.reading.assess import Assessment
from policies.situation import GangDemand
from tests.cluster.gang_documents import (
    NO_QUOTA,
    NO_ROOM,
    job_set,
    leader_worker_set,
    mpi_job,
    ray_cluster,
    ray_job,
    template,
    train_job,
    workload,
)
from tests.policies.pools import ordered, round_of, texts, verdicts
from tests.policies.test_assess import NOW, assessed, initialized, node, only, pod, pool

Json = dict[str, Any]
TUNE = Workload(kind="JobSet", namespace="ml", name="tune")
P5 = {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["p5.48xlarge"]}


def member(index: int, on: str | None = None, **labels: str) -> Json:
    of = {"jobset.sigs.k8s.io/jobset-name": "tune", **labels}
    return pod(f"tune-{index}", 8, on, labels=of, namespace="ml")


def ray_member(name: str, cluster: str, **labels: str) -> Json:
    return pod(name, 8, "a", labels={"ray.io/cluster": cluster, **labels}, namespace="ml")


def reading(objects: dict[Kind, list[Json]], **beside: Any) -> Assessment:
    """Of a pool of p5.48xlarge without a node, unless one is given."""
    return assessed({Kind.NODE_POOL: [pool("h100", requirements=[P5])]} | objects, **beside)


def gang(objects: dict[Kind, list[Json]]) -> GangDemand:
    (found,) = only(reading(objects)).gangs
    return found


def plan(objects: dict[Kind, list[Json]]) -> PoolPlan:
    return round_of(only(reading(objects)), policy=PoolPolicy(), now=NOW)[0].pools[0]


def queued(document: Json, **state: Any) -> dict[Kind, list[Json]]:
    return {Kind.JOB_SET: [document], Kind.KUEUE_WORKLOAD: [workload(document, **state)]}


SUSPENDED = job_set("tune", queue="research", suspend=True)


def test_what_waits_in_a_queue_of_kueue_is_demand_with_a_price_and_orders_nothing() -> None:
    found = plan(queued(SUSPENDED))
    # Four p5.48xlarge at $55.04.
    said = texts(found)
    assert f"JobSet ml/tune waits for Kueue's queue research ({NO_QUOTA})" in said
    assert "): 32 GPUs, $220.16/h, no node is kept for it" in said
    assert ordered(found) == []


def test_a_gang_that_kueue_would_admit_if_there_were_nodes_gets_all_of_them() -> None:
    # Kueue looks for room in its topology, and Karpenter for pods: neither begins.
    assert ordered(plan(queued(SUSPENDED, message=NO_ROOM))) == [(4, "gang")]


def test_the_price_of_a_gang_is_that_of_all_its_pods_where_they_differ() -> None:
    mixed = job_set("tune", queue="research", suspend=True, launcher=True)
    launcher = mixed["spec"]["replicatedJobs"][0]["template"]["spec"]
    launcher["template"] = template(1)
    # 4 x 8 GPUs and 1, at $6.88.
    assert "33 GPUs, $227.04/h, no node is kept for it" in texts(plan(queued(mixed)))


def test_of_the_gangs_of_a_queue_that_lack_nodes_the_first_gets_them() -> None:
    # The quota is free for each of them by itself, and not for all together.
    jobs = [job_set(name, queue="research", suspend=True) for name in ("a-newer", "tune")]
    waiting = [workload(one, message=NO_ROOM) for one in jobs]
    for one, hour in zip(waiting, (13, 12), strict=True):
        one["metadata"]["creationTimestamp"] = f"2026-12-01T{hour}:00:00Z"
    found = plan({Kind.JOB_SET: jobs, Kind.KUEUE_WORKLOAD: waiting})
    assert [(one.nodes, one.workload) for one in found.orders] == [(4, "JobSet ml/tune")]
    behind = "JobSet ml/a-newer waits for Kueue's queue research, behind ml/jobset-tune, for which"
    assert behind in texts(found)


def test_nodes_are_left_to_the_provisioning_request_of_an_admission_check() -> None:
    found = plan(queued(SUSPENDED, reserved=True, checks=("provisioning",)))
    assert ordered(found) == []
    assert "admission checks provisioning, which see to its nodes" in texts(found)


def test_pods_that_kueue_has_admitted_get_nodes_before_all_of_them_exist() -> None:
    objects = queued(job_set("tune", queue="research"), admitted=True)
    # Karpenter buys for the two that it sees.
    found = plan({**objects, Kind.POD: [member(0), member(1)]})
    assert ordered(found) == [(2, "gang")]


def owned(document: Json, kind: str, name: str) -> Json:
    owner = {"kind": kind, "name": name, "uid": "any", "controller": True}
    return {**document, "metadata": {**document["metadata"], "ownerReferences": [owner]}}


def test_no_more_pods_get_nodes_than_the_quota_of_kueue_counts() -> None:
    """Sizes and owners are the tenant's words: only Kueue's Workload has the number it admitted."""
    admits_4 = {Kind.KUEUE_WORKLOAD: [workload(job_set("tune"), admitted=True)]}
    said_more = member(0)
    said_more["metadata"]["annotations"] = {"kueue.x-k8s.io/pod-group-total-count": "1000"}
    small = {**admits_4, Kind.JOB_SET: [job_set("tune", queue="research")]}
    assert ordered(plan({**small, Kind.POD: [said_more]})) == [(3, "gang")]
    big = {**admits_4, Kind.JOB_SET: [job_set("tune", pods=1000, queue="research")]}
    assert ordered(plan(big)) == []
    assert ordered(plan({**big, Kind.POD: [member(0)]})) == [(3, "gang")]


def test_the_quota_of_an_owner_is_not_that_of_every_gang_that_names_it() -> None:
    of_small = job_set("small")
    forged = [owned(job_set(f"more-{one}"), "TrainJob", "small") for one in range(3)]
    objects = {
        Kind.TRAIN_JOB: [train_job("small")],
        Kind.JOB_SET: [owned(of_small, "TrainJob", "small"), *forged],
        Kind.KUEUE_WORKLOAD: [workload(of_small | {"kind": "TrainJob"}, admitted=True)],
    }
    assert ordered(plan(objects)) == [(4, "gang")]


def test_a_gang_that_kueue_has_evicted_holds_no_node() -> None:
    objects = queued(SUSPENDED, Evicted="True")
    nodes = {Kind.NODE: [node("a")], Kind.NODE_CLAIM: [initialized("h100-a", "a")]}
    found = plan({**objects, **nodes, Kind.POD: [member(0, "a")]})
    assert verdicts(found) == {"h100-a": "leave: serves"}
    assert f"({NO_QUOTA}, evicted)" in texts(found)


def test_the_labels_of_its_flavor_say_which_pool_an_admitted_gang_gets() -> None:
    pools = [pool(name, requirements=[P5], labels={"flavor": name}) for name in ("h100", "spot")]
    flavor = {"metadata": {"name": "h100"}, "spec": {"nodeLabels": {"flavor": "h100"}}}
    objects = queued(job_set("tune", queue="research"), admitted=True)
    found = assessed({Kind.NODE_POOL: pools, Kind.RESOURCE_FLAVOR: [flavor], **objects})
    assert {one.name: len(one.gangs) for one in found.pools} == {"h100": 1, "spot": 0}
    without = assessed({Kind.NODE_POOL: pools, **objects})
    assert [one.gangs for one in without.pools] == [(), ()]
    assert "is not counted: it may get h100 or spot" in without.pools[0].remarks[0]


@pytest.mark.parametrize(
    ("objects", "held_back", "kind", "pods"),
    [
        pytest.param(
            {Kind.TRAIN_JOB: [train_job("tune", suspend=True)]},
            "its owner, who has suspended it",
            "JobSet",
            4,
            id="TrainJob",
        ),
        pytest.param(
            {Kind.RAY_JOB: [ray_job("tune", suspend=True)]},
            "its owner, who has suspended it",
            "RayJob",
            4,
            id="RayJob",
        ),
        pytest.param(
            # Kueue's own objects may not be read.
            {Kind.JOB_SET: [SUSPENDED]},
            "Kueue's queue research",
            "JobSet",
            4,
            id="a queue that is not read",
        ),
        pytest.param({Kind.MPI_JOB: [mpi_job("tune")]}, None, "MPIJob", 4, id="just created"),
    ],
)
def test_a_job_without_a_pod_is_one_demand_and_orders_nothing(
    objects: dict[Kind, list[Json]], held_back: str | None, kind: str, pods: int
) -> None:
    found = gang(objects)
    assert (found.workload.kind, found.pods, found.missing_pods) == (kind, pods, pods)
    assert (found.held_back, found.gpus_per_pod) == (held_back, 8)
    assert ordered(plan(objects)) == []


def test_a_pod_that_names_a_pool_without_a_node_waits_for_it_and_tells_what_to_order() -> None:
    spec = {"nodeSelector": {"karpenter.sh/nodepool": "h100"}}
    state = only(reading({Kind.POD: [pod("chat", 8, spec=spec)]}))
    assert (state.demand_gpus, state.waiting_pod) == (8.0, ("uid-chat", "llm/chat"))
    of_gang = pod("a", 8, spec={**spec, "schedulingGroup": {"podGroupName": "g"}})
    state = only(reading({Kind.POD: [of_gang, pod("chat", 8, spec=spec)]}))
    assert state.waiting_pod == ("uid-chat", "llm/chat")


@pytest.mark.parametrize(("kind", "gangs"), [("Job", 1), ("StatefulSet", 0)])
def test_a_workload_of_kueue_stands_for_a_job_without_a_pod_and_for_no_other_kind(
    kind: str, gangs: int
) -> None:
    # The pods of a StatefulSet are there, behind a gate.
    admitted = workload(job_set("sweep") | {"kind": kind})
    assert len(only(reading({Kind.KUEUE_WORKLOAD: [admitted]})).gangs) == gangs


def test_a_partial_start_is_seen_and_named() -> None:
    nodes = {Kind.NODE: [node("a")], Kind.NODE_CLAIM: [initialized("h100-a", "a")]}
    objects = {Kind.JOB_SET: [job_set("tune", launcher=True)], **nodes}
    objects[Kind.POD] = [member(0, "a"), member(1), member(2)]
    found = gang(objects)
    # The launcher has no GPU, and of the four nodes' pods one was not made.
    assert (found.pods, found.waiting_pods, found.missing_pods) == (4, 3, 1)
    said = texts(plan(objects))
    assert "JobSet ml/tune is started in part: 1 of 4 pods have a node" in said
    assert "lacks 1 of 4 pods" in said


def test_each_group_of_a_leader_worker_set_lacks_what_its_size_says() -> None:
    labels = {
        "leaderworkerset.sigs.k8s.io/name": "big",
        "leaderworkerset.sigs.k8s.io/group-index": "1",
    }
    leader = pod("big-1", 8, labels=labels, namespace="ml")
    objects = {
        Kind.LEADER_WORKER_SET: [leader_worker_set("big", groups=2, size=3)],
        Kind.POD: [leader],
    }
    found = gang(objects)
    assert (found.workload.name, found.pods, found.missing_pods) == ("big/1", 3, 2)


def test_an_autoscaling_ray_cluster_is_left_to_ray_and_a_static_one_is_a_gang() -> None:
    def read(*, autoscaling: bool) -> tuple[float, list[str]]:
        state = only(
            reading(
                {
                    Kind.NODE: [node("a")],
                    Kind.NODE_CLAIM: [initialized("h100-a", "a")],
                    Kind.RAY_CLUSTER: [ray_cluster("r", workers=1, autoscaling=autoscaling)],
                    Kind.POD: [ray_member("worker", "r")],
                }
            )
        )
        return state.demand_gpus, [one.workload.kind for one in state.gangs]

    assert read(autoscaling=True) == (8.0, [])
    assert read(autoscaling=False) == (0.0, ["RayCluster"])


def test_the_pods_of_a_training_operators_job_are_one_gang() -> None:
    owner = {"kind": "PyTorchJob", "name": "nemo", "uid": "o", "controller": True}
    pods = [pod(f"nemo-{i}", 8, ownerReferences=[owner], namespace="ml") for i in range(2)]
    found = gang({Kind.POD: pods})
    assert (found.workload.kind, found.pods, found.waiting_pods) == ("PyTorchJob", 2, 2)


def test_a_train_job_tells_the_end_of_the_gang_that_its_job_set_is() -> None:
    told = {"estimatedRemainingSeconds": 120, "lastUpdatedTime": "2026-12-01T12:00:00Z"}
    owner = {"kind": "TrainJob", "name": "tune", "uid": "t", "controller": True}
    made = job_set("tune")
    made["metadata"]["ownerReferences"] = [owner]
    objects = {
        Kind.TRAIN_JOB: [train_job("tune") | {"status": {"trainerStatus": told}}],
        Kind.JOB_SET: [made],
        Kind.POD: [member(0)],
    }
    assert gang(objects).ends_at_seconds == 1_796_126_520.0
    # Its run of MLflow tells it better.
    known = only(reading(objects, gang_ends_at={TUNE: 5.0}))
    assert known.gangs[0].ends_at_seconds == 5.0


def test_a_job_that_asks_by_claims_is_named_and_not_counted() -> None:
    claims = {"resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "gpu"}]}
    found = reading({Kind.JOB_SET: [job_set("tune", template_of=template(0, **claims))]})
    assert "without a pod yet, asks for GPUs by claims, and how many is unknown" in str(
        found.remarks
    )


def test_checkpoints_are_read_of_the_pods_and_absurd_intervals_are_none() -> None:
    def read(every: str) -> tuple[float, float] | None:
        notes = {
            "foresail.io/checkpoint-every": every,
            "foresail.io/checkpointed-at": "2026-12-01T12:00:00Z",
        }
        one = member(0, "a") | {}
        one["metadata"]["annotations"] = notes
        nodes = {Kind.NODE: [node("a")], Kind.NODE_CLAIM: [initialized("h100-a", "a")]}
        found = gang({**nodes, Kind.POD: [one]}).checkpoints
        return None if found is None else (found.last_seconds, found.every_seconds)

    assert read("30m") == (1_796_126_400.0, 1800.0)
    assert [read(one) for one in ("often", "-5m", "100h", "0s")] == [None] * 4
