"""A gang of 4 x 8 GPUs gets all its nodes of the real Karpenter, or none."""

from pathlib import Path

import pytest

from tests.e2e.karpenter import EIGHT_GPUS
from tests.e2e.nodes import documents
from tests.e2e.nodes.controller_run import Policies, annotations, buffers, controller_run
from tests.e2e.nodes.node_cluster import HOLD, NAMESPACE, NodeCluster, holds

pytestmark = pytest.mark.looptime(False)  # processes live in real time

PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
SIZE = 4


def make_pod(nodes: NodeCluster, gang: str, pool: str, index: int) -> None:
    """A pod with a whole node that a queue holds back, of a group whose size it states."""
    labels = {"app": gang, "kueue.x-k8s.io/pod-group-name": gang}
    notes = {"kueue.x-k8s.io/pod-group-total-count": str(SIZE)}
    name = f"{gang}-{index}"
    spec = documents.pod_spec(pool, 8, "requests")
    spec["containers"][0]["resources"]["limits"] = spec["containers"][0]["resources"]["requests"]
    nodes.make(
        PODS,
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": labels, "annotations": notes},
        },
        spec={**spec, "schedulingGates": [{"name": "kueue.x-k8s.io/admission"}]},
    )


def all_held(nodes: NodeCluster, pool: str) -> bool:
    claims = nodes.claims(pool)
    ready = [one for one in claims if holds(one, "Initialized")]
    held = [one for one in nodes.nodes(pool) if HOLD in annotations(one)]
    return len(ready) == len(claims) == len(held) == SIZE


async def test_a_gang_gets_4_nodes_of_8_gpus_or_none_with_a_node_lost_and_a_new_controller(
    nodes: NodeCluster, controller_kubeconfig: Path, policies: Policies
) -> None:
    pool = nodes.pool("gang", instance_type=EIGHT_GPUS, consolidate_after="5s")
    policies.set(pool)
    gang = f"tune-{pool}"
    for index in range(SIZE - 1):
        make_pod(nodes, gang, pool, index)
    async with controller_run(controller_kubeconfig) as run:
        await run.until(lambda: "lacks 1 of 4 pods" in run.said(pool), "the gang to be seen")
        await run.round()
        assert (nodes.created(pool), buffers(nodes)) == (0, [])

        make_pod(nodes, gang, pool, SIZE - 1)
        await run.until(lambda: all_held(nodes, pool), "4 held nodes")
        lost = nodes.claims(pool)[0]["metadata"]
        nodes.delete_claim(lost["name"], uid=lost["uid"])
        await run.until(
            lambda: all_held(nodes, pool) and nodes.created(pool) == SIZE + 1, "a node in its place"
        )

    async with controller_run(controller_kubeconfig) as run:
        await run.until(lambda: all_held(nodes, pool) and not buffers(nodes), "nothing on order")
        for index in range(SIZE):
            nodes.bed.send("PATCH", f"{PODS}/{gang}-{index}", {"spec": {"schedulingGates": None}})
        nodes.wait_running(gang, SIZE)
        on_it = f"Kueue pod group {NAMESPACE}/{gang} runs on it"
        await run.until(lambda: on_it in str(run.plan(pool).nodes), "the gang on its nodes")
        assert nodes.created(pool) == SIZE + 1

    for index in range(SIZE):
        nodes.bed.send("DELETE", f"{PODS}/{gang}-{index}")
    async with controller_run(controller_kubeconfig) as run:
        await run.until(lambda: not nodes.claims(pool), "its nodes to go", each_seconds=60)
