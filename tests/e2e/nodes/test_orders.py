"""When Karpenter orders a node, and when it does not."""

from collections import Counter
from collections.abc import Sequence

import pytest

from fleet.cluster.owners import Workload
from policies.node_plan import NodePlan
from policies.situation import Situation
from replay.cluster.cluster import Cluster
from replay.cluster.settings import ClusterSettings, NodeStartUp, Pool, Service
from tests.e2e.karpenter import BOOT_SECONDS, CAPACITY_TYPE, EIGHT_GPUS, GPU
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


class Onlooker:
    """A node policy that decides nothing and counts the pods of each node, by the second."""

    def __init__(self) -> None:
        self.pods: dict[float, list[int]] = {}

    def decide(self, situation: Situation) -> NodePlan:
        (pool,) = situation.pools
        self.pods[situation.now_seconds] = sorted(len(node.pods) for node in pool.nodes)
        return NodePlan(at_seconds=situation.now_seconds, pools=())


def modelled(replicas: Sequence[int], gpus_per_pod: int, gpus_per_node: int) -> list[list[int]]:
    """Pods of each node in the replay's model, after each of these numbers of replicas."""
    step_seconds = 20.0
    boot_seconds = (BOOT_SECONDS + 1.0,) * 2
    pool = Pool(
        name="pool",
        gpus_per_node=gpus_per_node,
        start_up=NodeStartUp(boot_seconds=boot_seconds, failure_share=0.0, pull_seconds=0.0),
        consolidate_after_seconds=None,
    )
    steps = tuple((step * step_seconds, count) for step, count in enumerate(replicas))
    service = Service(
        workload=Workload(kind="Deployment", namespace="default", name="chat"),
        replicas=((-1.0, 0), *steps),
        pools=(pool.name,),
        gpus_per_pod=gpus_per_pod,
    )
    onlooker = Onlooker()
    settings = ClusterSettings(
        pools=(pool,), services=(service,), begin_seconds=-1.0, round_seconds=1.0
    )
    Cluster(settings, policy=onlooker).run(len(replicas) * step_seconds)
    return [onlooker.pods[(step + 1) * step_seconds - 1] for step in range(len(replicas))]


def test_the_model_of_the_replay_packs_a_burst_on_as_many_nodes(nodes: NodeCluster) -> None:
    pool = nodes.pool("burst", instance_type=EIGHT_GPUS)
    chat = nodes.deploy("chat", pool, gpus=3)
    replicas, seen = (3, 5, 7), []
    for count in replicas:
        nodes.scale(chat, count)
        pods = nodes.wait_running(chat, count)
        on_nodes = Counter(pod["spec"]["nodeName"] for pod in pods)
        seen.append(sorted(on_nodes[name] for name in nodes.names(pool)))

    assert seen == [[1, 2], [1, 2, 2], [1, 2, 2, 2]]
    assert seen == modelled(replicas, gpus_per_pod=3, gpus_per_node=8)
