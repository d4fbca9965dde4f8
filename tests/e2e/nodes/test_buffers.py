"""CapacityBuffers: the room that Karpenter keeps for pods to come, and how it is given back."""

import pytest

from tests.e2e.nodes.node_cluster import BUFFER_EMPTY, BUFFER_FITS, NodeCluster, holds

pytestmark = pytest.mark.looptime(False)  # processes live in real time

TRIES = 8
"""Of what depends on Karpenter's moment; one is mostly enough, and busy cores may need more."""


def test_a_buffer_orders_a_node_and_refills_it_when_pods_take_the_room(
    nodes: NodeCluster,
) -> None:
    pool = nodes.pool("one")
    buffer = nodes.buffer("room", pool, replicas=1)
    (ahead,) = nodes.wait_initialized(pool, 1)

    chat = nodes.deploy("chat", pool, replicas=1)
    (pod,) = nodes.wait_running(chat, 1)
    nodes.touch_buffer(buffer)
    nodes.wait_initialized(pool, 2)

    assert pod["spec"]["nodeName"] == ahead["metadata"]["name"]


def test_a_buffer_that_shrinks_as_pods_come_orders_nothing_more(nodes: NodeCluster) -> None:
    pool = nodes.pool("one")
    buffer = nodes.buffer("room", pool, replicas=1)
    nodes.wait_initialized(pool, 1)

    nodes.scale_buffer(buffer, 0)
    chat = nodes.deploy("chat", pool, replicas=1)
    nodes.wait_running(chat, 1)
    nodes.wait_buffer(buffer, BUFFER_EMPTY)

    assert len(nodes.claims(pool)) == 1


def test_a_buffer_with_gpus_under_limits_alone_fits_where_no_gpu_is_free(
    nodes: NodeCluster,
) -> None:
    pool = nodes.pool("one")
    nodes.wait_running(nodes.deploy("chat", pool, replicas=1), 1)

    buffer = nodes.buffer("room", pool, replicas=3, gpu_under="limits")
    nodes.wait_buffer(buffer, BUFFER_FITS)

    assert len(nodes.claims(pool)) == 1


def test_a_deleted_buffer_leaves_its_node_behind(nodes: NodeCluster) -> None:
    nodes.wait_empty()  # the end of any other node would free it
    pool = nodes.pool("one", consolidate_after="5s")

    def is_left() -> bool:
        nodes.wait(lambda: not nodes.claims(pool), f"no node of {pool}")
        buffer = nodes.buffer_with_room("room", pool)
        nodes.wait(
            lambda: any(holds(one, "Consolidatable") for one in nodes.claims(pool)),
            "the node to be idle",
        )
        nodes.delete_buffer(buffer)
        nodes.wait_emptiness_passes(1)
        return any(not node["spec"].get("taints") for node in nodes.nodes(pool))

    # Karpenter provisions for each buffer twice a minute, and where that falls together with the
    # deletion, the node goes.
    assert any(is_left() for _ in range(TRIES))
