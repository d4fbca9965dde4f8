"""The other levers: placeholder pods, the end of one node, costs of pods; and pods with claims."""

import pytest
import requests

from tests.e2e.karpenter import EIGHT_GPUS
from tests.e2e.nodes.documents import POOL
from tests.e2e.nodes.node_cluster import NAMESPACE, NodeCluster

pytestmark = pytest.mark.looptime(False)  # processes live in real time

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"


def test_placeholder_pods_order_a_node_and_give_it_to_real_pods(nodes: NodeCluster) -> None:
    pool = nodes.pool("one")
    room = nodes.deploy("room", pool, replicas=1, placeholder=True)
    (placeholder,) = nodes.wait_running(room, 1)

    chat = nodes.deploy("chat", pool, replicas=1)
    (pod,) = nodes.wait_running(chat, 1)

    assert pod["spec"]["nodeName"] == placeholder["spec"]["nodeName"]
    gave_way = placeholder["metadata"]["name"]
    nodes.wait(
        lambda: any(line.startswith("Preempted") for line in nodes.events(gave_way)),
        f"{gave_way} to be preempted",
    )


def test_a_node_claim_is_deleted_only_while_it_is_the_one_that_was_meant(
    nodes: NodeCluster,
) -> None:
    pool = nodes.pool("static", replicas=1)
    nodes.wait_initialized(pool, 1)
    (claim,) = nodes.claims(pool)
    name, uid = claim["metadata"]["name"], claim["metadata"]["uid"]
    node = claim["status"]["nodeName"]

    with pytest.raises(requests.HTTPError) as refused:
        nodes.delete_claim(name, uid="another")
    assert refused.value.response.status_code == requests.codes.conflict
    (left,) = nodes.claims(pool)
    assert left["metadata"]["uid"] == uid
    assert "deletionTimestamp" not in left["metadata"]
    nodes.delete_claim(name, uid=uid)

    # The pool keeps its size: Karpenter orders another, of another name.
    nodes.wait(
        lambda: (
            node not in nodes.names(pool)
            and all(one["metadata"]["uid"] != uid for one in nodes.claims(pool))
        ),
        f"{node} to go",
    )


def test_a_deployment_that_shrinks_gives_up_the_pod_of_the_lowest_deletion_cost(
    nodes: NodeCluster,
) -> None:
    pool = nodes.pool("eight", instance_type=EIGHT_GPUS)
    chat = nodes.deploy("chat", pool, replicas=3)
    names = [pod["metadata"]["name"] for pod in nodes.wait_running(chat, 3)]
    for name, cost in zip(names, ("100", "-5", "7"), strict=True):
        nodes.annotate_pod(name, DELETION_COST, cost)
    # The controller that takes pods away has seen all that was before this pod was ready.
    after = nodes.deploy("after", pool, replicas=1)
    nodes.wait(lambda: nodes.ready(after) == 1, "the costs to be read")

    nodes.scale(chat, 2)

    left = {pod["metadata"]["name"] for pod in nodes.wait_running(chat, 2)}
    assert left == {names[0], names[2]}


def test_karpenter_orders_nothing_for_pods_with_resource_claims(nodes: NodeCluster) -> None:
    pool = nodes.pool("one")
    collection = f"/apis/resource.k8s.io/v1/namespaces/{NAMESPACE}/resourceclaims"
    exactly = {"deviceClassName": "gpu.nvidia.com", "count": 1}
    nodes.make(
        collection,
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaim",
            "metadata": {"name": "gpu"},
            "spec": {"devices": {"requests": [{"name": "gpu", "exactly": exactly}]}},
        },
    )
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "claimed"},
        "spec": {
            "nodeSelector": {POOL: pool},
            "containers": [{"name": "engine", "image": "engine"}],
            "resourceClaims": [{"name": "gpu", "resourceClaimName": "gpu"}],
        },
    }
    nodes.make(f"/api/v1/namespaces/{NAMESPACE}/pods", pod)

    refusal = "Dynamic Resource Allocation requirements that are not yet supported by Karpenter"
    nodes.wait(
        lambda: any(refusal in line for line in nodes.events("claimed")), "Karpenter's refusal"
    )
    assert not nodes.claims(pool)
