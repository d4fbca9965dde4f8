"""When Karpenter orders a node, and when it does not."""

import pytest

from tests.e2e.karpenter import CAPACITY_TYPE, EIGHT_GPUS, GPU
from tests.e2e.nodes.documents import Document
from tests.e2e.nodes.node_cluster import NodeCluster

pytestmark = pytest.mark.looptime(False)  # processes live in real time


def gpus_of(node: Document) -> int:
    return int(node["status"]["allocatable"][GPU])


def test_pods_that_wait_for_gpus_get_nodes_that_hold_them(nodes: NodeCluster) -> None:
    small = nodes.pool("one")
    large = nodes.pool("eight", instance_type=EIGHT_GPUS)
    of_one = nodes.deploy("of-one", small, replicas=2)
    of_four = nodes.deploy("of-four", large, replicas=2, gpus=4)

    nodes.wait_running(of_one, 2)
    nodes.wait_running(of_four, 2)

    assert [gpus_of(node) for node in nodes.nodes(small)] == [1, 1]
    assert [gpus_of(node) for node in nodes.nodes(large)] == [8]


def test_the_cheapest_capacity_is_taken_first(nodes: NodeCluster) -> None:
    pools = {
        "reserved": nodes.pool("all", capacity_types=("on-demand", "spot", "reserved")),
        "spot": nodes.pool("two", capacity_types=("on-demand", "spot")),
    }
    for pool in pools.values():
        nodes.deploy("chat", pool, replicas=1)

    for expected, pool in pools.items():
        (node,) = nodes.wait_initialized(pool, 1)
        assert node["metadata"]["labels"][CAPACITY_TYPE] == expected


def test_a_static_pool_has_the_nodes_of_its_scale(nodes: NodeCluster) -> None:
    pool = nodes.pool("static", replicas=1)
    nodes.wait_initialized(pool, 1)

    nodes.scale_pool(pool, 3)
    nodes.wait_initialized(pool, 3)
    nodes.scale_pool(pool, 1)

    def staying() -> list[Document]:
        return [one for one in nodes.claims(pool) if "deletionTimestamp" not in one["metadata"]]

    nodes.wait(lambda: len(staying()) == 1, "two of three nodes to leave")
