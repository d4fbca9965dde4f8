"""A pod's record: what it belongs to, what it waits for and how far it has come."""

from typing import Any

import pytest

from fleet.cluster.owners import Workload
from fleet.cluster.pods import pod_of

Object = dict[str, Any]


def pod(*owners: tuple[str, str], labels: dict[str, str] | None = None, **more: Object) -> Object:
    references = [
        {"kind": kind, "name": name, "uid": f"uid-{name}", "controller": True}
        for kind, name in owners
    ]
    metadata = {
        "name": "p", "namespace": "llm", "uid": "u", "labels": labels or {},
        "ownerReferences": references,
    }  # fmt: skip
    return {"metadata": metadata, "spec": {"containers": []}, **more}


@pytest.mark.parametrize(
    ("owner", "labels", "workload"),
    [
        pytest.param(
            ("ReplicaSet", "qwen-6d4b8c9f7"),
            {"pod-template-hash": "6d4b8c9f7"},
            ("Deployment", "qwen"),
            id="deployment",
        ),
        pytest.param(
            ("ReplicaSet", "qwen-blue"), {}, ("ReplicaSet", "qwen-blue"), id="replica-set-alone"
        ),
        pytest.param(("StatefulSet", "qwen"), {}, ("StatefulSet", "qwen"), id="stateful-set"),
        pytest.param(
            ("StatefulSet", "llama-0"),
            {"leaderworkerset.sigs.k8s.io/name": "llama"},
            ("LeaderWorkerSet", "llama"),
            id="leader-worker-set",
        ),
        pytest.param(
            ("Job", "train-workers-0"),
            {"jobset.sigs.k8s.io/jobset-name": "train"},
            ("JobSet", "train"),
            id="job-set",
        ),
        pytest.param(
            ("RayCluster", "serve-x7kq2"),
            {"ray.io/cluster": "serve-x7kq2"},
            ("RayCluster", "serve-x7kq2"),
            id="ray-cluster",
        ),
        pytest.param(
            ("RayCluster", "serve-x7kq2"),
            {
                "ray.io/cluster": "serve-x7kq2",
                "ray.io/originated-from-crd": "RayService",
                "ray.io/originated-from-cr-name": "serve",
            },
            ("RayService", "serve"),
            id="ray-service",
        ),
    ],
)
def test_a_pod_belongs_to_the_object_that_lasts(
    owner: tuple[str, str], labels: dict[str, str], workload: tuple[str, str]
) -> None:
    kind, name = workload

    assert pod_of(pod(owner, labels=labels)).workload == Workload(
        kind=kind, namespace="llm", name=name
    )


def test_a_pod_that_nothing_owns_has_no_workload() -> None:
    assert pod_of(pod()).workload is None


def test_priority_and_protection_are_read() -> None:
    document = pod(spec={"containers": [], "priority": -10, "priorityClassName": "balloon"})
    document["metadata"]["annotations"] = {"karpenter.sh/do-not-disrupt": "30m"}

    made = pod_of(document)

    assert (made.priority, made.priority_class, made.do_not_disrupt) == (-10, "balloon", "30m")


def test_a_claim_of_a_template_is_waited_for_until_it_is_made() -> None:
    template = {"name": "gpu", "resourceClaimTemplateName": "t"}
    spec = {"containers": [], "resourceClaims": [template, {"name": "n", "resourceClaimName": "c"}]}
    waiting = pod_of(pod(spec=spec))
    made = pod_of(
        pod(
            spec=spec,
            status={"resourceClaimStatuses": [{"name": "gpu", "resourceClaimName": "p-gpu-x"}]},
        )
    )

    assert (waiting.claims, waiting.claims_to_come) == (("llm/c",), ("llm/t",))
    assert (made.claims, made.claims_to_come) == (("llm/p-gpu-x", "llm/c"), ())


def test_a_template_that_makes_no_claim_is_not_waited_for() -> None:
    spec = {"containers": [], "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "t"}]}
    made = pod_of(pod(spec=spec, status={"resourceClaimStatuses": [{"name": "gpu"}]}))

    assert (made.claims, made.claims_to_come) == ((), ())


@pytest.mark.parametrize(
    ("statuses", "started"),
    [
        pytest.param([("2026-11-28T08:00:10Z", 0), ("2026-11-28T08:00:20Z", 0)], 20, id="the-last"),
        pytest.param([("2026-11-28T08:00:10Z", 0)], None, id="one-has-not"),
        pytest.param([("2026-11-28T08:00:10Z", 0), (None, 0)], None, id="one-waits"),
        pytest.param(
            [("2026-11-28T08:00:10Z", 1), ("2026-11-28T08:00:20Z", 0)], None, id="one-came-back"
        ),
    ],
)
def test_containers_have_started_when_the_last_one_did(
    statuses: list[tuple[str | None, int]], started: float | None
) -> None:
    told = [
        {"restartCount": restarts, "state": {"running": {"startedAt": at}} if at else {}}
        for at, restarts in statuses
    ]
    document = pod(
        spec={"containers": [{"name": "a"}, {"name": "b"}]}, status={"containerStatuses": told}
    )
    eight = 1_795_852_800.0  # 2026-11-28T08:00:00Z

    found = pod_of(document).containers_started_seconds

    assert found == (None if started is None else eight + started)
