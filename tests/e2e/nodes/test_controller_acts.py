"""`foresail controller` in mode act, with the rights that we ship, and the real Karpenter."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleet.cluster.follow.clients import connected
from foresail.controller.options import ControllerOptions
from foresail.controller.process import running
from tests.e2e import bed as beds
from tests.e2e import kubernetes
from tests.e2e.nodes.node_cluster import HOLD, NodeCluster

pytestmark = pytest.mark.looptime(False)  # processes live in real time

ACCOUNT = "system:serviceaccount:foresail:foresail-controller"
EXAMPLES = beds.ROOT / "deploy" / "examples"
POLICIES = "/apis/foresail.io/v1alpha1/capacitypolicies"


@pytest.fixture(scope="module")
def kubeconfig(node_bed: beds.Bed) -> Path:
    """Of the controller's account, with the rights of mode act."""
    crd = (beds.ROOT / "deploy" / "crds" / "capacitypolicies.yaml").read_text()
    node_bed.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "foresail"}},
        *yaml.safe_load_all(crd),
    )
    established = "crd/capacitypolicies.foresail.io"
    node_bed.kubectl("wait", "--for=condition=Established", established, "--timeout=60s")
    for name in ("controller.yaml", "controller-act.yaml"):
        documents = yaml.safe_load_all((EXAMPLES / name).read_text())
        node_bed.apply(
            *(one for one in documents if "Role" in one["kind"] or one["kind"] == "ServiceAccount")
        )
    kubernetes.add_user(node_bed, "controller", ACCOUNT)
    return node_bed.kubeconfig("controller")


@pytest.fixture
def warm_floor(nodes: NodeCluster) -> Iterator[Callable[[str, int], None]]:
    """Makes a policy that wants so many nodes of a pool at all hours."""
    made: list[str] = []

    def make(pool: str, count: int) -> None:
        days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
        floor = {"days": days, "from": "00:00", "to": "24:00", "nodes": count}
        policy = {
            "apiVersion": "foresail.io/v1alpha1",
            "kind": "CapacityPolicy",
            "metadata": {"name": pool},
            "spec": {
                "mode": "act",
                "pools": {"names": [pool]},
                "idleCeiling": {"usdPerHour": 1000},
                "warmFloors": [floor],
            },
        }
        nodes.bed.send("POST", POLICIES, policy)
        made.append(pool)

    yield make
    for name in made:
        nodes.bed.send("DELETE", f"{POLICIES}/{name}")


@asynccontextmanager
async def controller(kubeconfig: Path) -> AsyncIterator[None]:
    options = ControllerOptions(http="127.0.0.1:0", identity="e2e", kubeconfig=kubeconfig)
    async with await connected("bed", kubeconfig) as client, running(options, client):
        yield


def made_by_us(nodes: NodeCluster) -> list[Any]:
    """What stands in Foresail's namespace to have nodes ordered."""
    found: list[Any] = []
    for path in ("autoscaling.x-k8s.io/v1beta1", "apps/v1"):
        kind = "capacitybuffers" if "autoscaling" in path else "deployments"
        found += nodes.bed.read(f"/apis/{path}/namespaces/foresail/{kind}")["items"]
    return found


async def test_a_node_is_there_before_the_pods_that_take_it(
    nodes: NodeCluster, kubeconfig: Path, warm_floor: Callable[[str, int], None]
) -> None:
    pool = nodes.pool("warm")
    # The first pod shows what a node's GPUs are called, and what to order further nodes for.
    chat = nodes.deploy("chat", pool, replicas=1)
    nodes.wait_running(chat, 1)
    warm_floor(pool, 2)

    async with controller(kubeconfig):
        await asyncio.to_thread(nodes.wait_initialized, pool, 2)
        (order,) = made_by_us(nodes)
        assert "foresail.io/kept-until" in order["metadata"]["annotations"]
        before = nodes.names(pool)

        nodes.scale(chat, 2)
        pods = await asyncio.to_thread(nodes.wait_running, chat, 2)

    assert {pod["spec"]["nodeName"] for pod in pods} == before == nodes.names(pool)


async def test_an_empty_node_outlasts_consolidation_while_it_is_held_and_no_longer(
    nodes: NodeCluster, kubeconfig: Path, warm_floor: Callable[[str, int], None]
) -> None:
    pool = nodes.pool("held")
    chat = nodes.deploy("chat", pool, replicas=1)
    nodes.wait_running(chat, 1)
    nodes.scale(chat, 0)
    (node,) = nodes.names(pool)
    warm_floor(pool, 1)

    def annotations() -> dict[str, str]:
        found: dict[str, str] = nodes.nodes(pool)[0]["metadata"].get("annotations", {})
        return found

    async with controller(kubeconfig):
        await asyncio.to_thread(nodes.wait, lambda: annotations().get(HOLD) == "true", "a hold")
    assert annotations()["foresail.io/kept-because"] == "warm floor"

    path = f"/apis/karpenter.sh/v1/nodepools/{pool}"
    nodes.bed.send("PATCH", path, {"spec": {"disruption": {"consolidateAfter": "1s"}}})
    nodes.wait_emptiness_passes(2)
    assert nodes.names(pool) == {node}
    nodes.annotate_node(node, HOLD, None)
    nodes.wait(lambda: not nodes.nodes(pool), "the node to go")
