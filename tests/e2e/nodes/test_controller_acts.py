"""`foresail controller` in mode act, with the rights that we ship, and the real Karpenter."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fleet.annotations import KEPT_BECAUSE, KEPT_UNTIL
from foresail.controller.options import ControllerOptions
from foresail.controller.process import running
from tests.e2e.clients import api_client
from tests.e2e.nodes.controller_run import Policies, annotations, buffers
from tests.e2e.nodes.node_cluster import HOLD, NodeCluster

pytestmark = pytest.mark.looptime(False)  # processes live in real time


def on_order(nodes: NodeCluster) -> int:
    """Nodes that buffers of the controller ask for."""
    return sum(one["spec"].get("replicas", 0) for one in buffers(nodes))


@asynccontextmanager
async def controller(kubeconfig: Path) -> AsyncIterator[None]:
    options = ControllerOptions(http="127.0.0.1:0", identity="e2e", kubeconfig=kubeconfig)
    async with api_client(kubeconfig) as client, running(options, client):
        yield


async def test_a_node_is_there_before_the_pods_that_take_it(
    nodes: NodeCluster, controller_kubeconfig: Path, policies: Policies
) -> None:
    pool = nodes.pool("warm")
    # The first pod shows what a node's GPUs are called, and what to order further nodes for.
    chat = nodes.deploy("chat", pool, replicas=1)
    nodes.wait_running(chat, 1)
    policies.set(pool, floor=2)

    async with controller(controller_kubeconfig):
        await asyncio.to_thread(nodes.wait, lambda: buffers(nodes), "an order")
        (order,) = buffers(nodes)
        assert KEPT_UNTIL in annotations(order)
        await asyncio.to_thread(nodes.wait_initialized, pool, 2)
        before = nodes.names(pool)
        # A pod that waits makes the controller look again: a hold takes the place of the order,
        # which Karpenter would fill again as soon as a pod takes its room.
        nodes.deploy("waits", "no-such-pool", replicas=1)
        await asyncio.to_thread(nodes.wait, lambda: not on_order(nodes), "nothing on order")

        nodes.scale(chat, 2)
        pods = await asyncio.to_thread(nodes.wait_running, chat, 2)

    assert {pod["spec"]["nodeName"] for pod in pods} == before == nodes.names(pool)


async def test_an_empty_node_outlasts_consolidation_while_it_is_held_and_no_longer(
    nodes: NodeCluster, controller_kubeconfig: Path, policies: Policies
) -> None:
    pool = nodes.pool("held")
    chat = nodes.deploy("chat", pool, replicas=1)
    nodes.wait_running(chat, 1)
    nodes.scale(chat, 0)
    (node,) = nodes.names(pool)
    policies.set(pool, floor=1)

    def on_node() -> dict[str, str]:
        return annotations(nodes.nodes(pool)[0])

    async with controller(controller_kubeconfig):
        await asyncio.to_thread(nodes.wait, lambda: on_node().get(HOLD) == "true", "a hold")
    assert on_node()[KEPT_BECAUSE] == "warm floor"

    path = f"/apis/karpenter.sh/v1/nodepools/{pool}"
    nodes.bed.send("PATCH", path, {"spec": {"disruption": {"consolidateAfter": "1s"}}})
    nodes.wait_emptiness_passes(2)
    assert nodes.names(pool) == {node}
    nodes.annotate_node(node, HOLD, None)
    nodes.wait(lambda: not nodes.nodes(pool), "the node to go")
