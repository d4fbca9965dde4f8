"""What the controller orders of the real Karpenter, and what it does not order twice."""

import asyncio
from pathlib import Path

import pytest

from fleet.annotations import KEPT_BECAUSE, KEPT_UNTIL, PLACEHOLDER
from fleet.reasons import Reason
from policies.levers.marks import MANAGED_BY, POLICY, POOL
from tests.e2e.karpenter import CAPACITY_TYPE, ZONE
from tests.e2e.nodes.controller_run import (
    OURS,
    Policies,
    annotations,
    buffers,
    controller_run,
    placeholders,
    wait_answered,
)
from tests.e2e.nodes.documents import Document
from tests.e2e.nodes.node_cluster import HOLD, NodeCluster

pytestmark = pytest.mark.looptime(False)  # processes live in real time

BY_PLACEHOLDER = {"capacityBuffer": False}


def with_a_pod(nodes: NodeCluster, pool: str) -> str:
    """A workload with one pod: it shows what a node's GPUs are called; its name."""
    chat = nodes.deploy("chat", pool, replicas=1)
    nodes.wait_running(chat, 1)
    return chat


def is_marked(order: Document, pool: str, because: Reason) -> bool:
    """Whether an object tells whose it is, what for, and until when."""
    labels = order["metadata"]["labels"]
    ours = (labels[MANAGED_BY], labels[POOL], labels[POLICY]) == (OURS, pool, pool)
    marks = annotations(order)
    return ours and marks[KEPT_BECAUSE] == because.value and KEPT_UNTIL in marks


async def test_placeholder_pods_order_a_node_pull_its_image_and_give_way(
    nodes: NodeCluster, controller_kubeconfig: Path, policies: Policies
) -> None:
    pool = nodes.pool("placed")
    chat = with_a_pod(nodes, pool)
    policies.set(pool, floor=2, levers=BY_PLACEHOLDER)

    async with controller_run(controller_kubeconfig) as run:
        await run.until(lambda: placeholders(nodes), "an order")
        (order,) = placeholders(nodes)
        assert is_marked(order, pool, Reason.WARM_FLOOR)
        assert order["spec"]["replicas"] == 1
        template = order["spec"]["template"]
        assert template["metadata"]["labels"][PLACEHOLDER] == pool
        assert template["spec"]["priorityClassName"] == "foresail-placeholder"
        assert [one["image"] for one in template["spec"]["containers"]] == ["engine"]
        await run.until(lambda: len(nodes.names(pool)) == 2, "a second node")
        before = nodes.names(pool)

        nodes.scale(chat, 2)
        await run.until(lambda: len(nodes.running(chat)) == 2, "the real pod")
        await run.until(lambda: not placeholders(nodes), "the placeholders to go")

    assert {pod["spec"]["nodeName"] for pod in nodes.running(chat)} == before
    assert nodes.names(pool) == before
    assert not buffers(nodes)


async def test_no_node_is_ordered_above_the_ceiling_of_the_policy(
    nodes: NodeCluster, controller_kubeconfig: Path, policies: Policies
) -> None:
    pool = nodes.pool("capped")
    with_a_pod(nodes, pool)
    # A node costs $6.88 an hour: of three more, one is affordable.
    policies.set(pool, floor=4, idleCeiling={"usdPerHour": 10})

    async with controller_run(controller_kubeconfig) as run:
        await run.until(lambda: buffers(nodes), "an order")
        assert "2 of 3 nodes are not ordered: $6.88 an hour, and $3.12 is left" in run.said(pool)
        (order,) = buffers(nodes)
        assert is_marked(order, pool, Reason.WARM_FLOOR)
        assert order["spec"]["replicas"] == 1
        assert not any(HOLD in annotations(one) for one in nodes.nodes(pool))
        await run.until(
            lambda: any(HOLD in annotations(one) for one in nodes.nodes(pool)), "a hold of it"
        )
        for _ in range(3):
            run.later(120)
            await run.round()
        assert len(nodes.claims(pool)) == 2


async def test_a_reservation_is_used_first_and_kept_without_a_price(
    nodes: NodeCluster, controller_kubeconfig: Path, policies: Policies
) -> None:
    pool = nodes.pool("reserved", capacity_types=("on-demand", "reserved"))
    chat = with_a_pod(nodes, pool)
    (first,) = nodes.nodes(pool)
    assert first["metadata"]["labels"][CAPACITY_TYPE] == "reserved"
    nodes.scale(chat, 0)
    policies.set(pool, idleCeiling={"usdPerHour": 0.01})

    async with controller_run(controller_kubeconfig) as run:
        await run.until(lambda: HOLD in annotations(nodes.nodes(pool)[0]), "a hold")
        marks = annotations(nodes.nodes(pool)[0])
        assert marks[KEPT_BECAUSE] == Reason.RESERVED.value
        assert KEPT_UNTIL in marks


async def test_capacity_that_cannot_be_had_is_asked_for_once_and_comes_when_it_is_there(
    nodes: NodeCluster, controller_kubeconfig: Path, policies: Policies
) -> None:
    pool = nodes.pool("scarce")
    with_a_pod(nodes, pool)
    nodes.move_pool(pool, "zone-that-is-full")
    policies.set(pool, floor=2)

    async with controller_run(controller_kubeconfig) as run:
        await run.until(lambda: buffers(nodes), "an order")
        (order,) = buffers(nodes)
        assert is_marked(order, pool, Reason.WARM_FLOOR)
        name = order["metadata"]["name"]
        await asyncio.to_thread(wait_answered, nodes)
        for _ in range(10):
            run.later(120)
            await run.round()
        assert [one["spec"]["replicas"] for one in buffers(nodes)] == [1]
        assert len(nodes.claims(pool)) == 1

        nodes.move_pool(pool, ZONE)
        await run.until(lambda: len(nodes.names(pool)) == 2, "the node")
        assert {one["metadata"]["name"] for one in buffers(nodes)} <= {name}


async def test_a_node_that_never_initializes_is_named_and_not_ordered_again(
    nodes: NodeCluster, controller_kubeconfig: Path, policies: Policies
) -> None:
    pool = nodes.pool("stuck", startup_taint="driver.example/not-ready")
    chat = nodes.deploy("chat", pool, replicas=1)
    nodes.wait(lambda: nodes.nodes(pool), "a node")
    (first,) = nodes.names(pool)
    policies.set(pool, floor=2)

    async with controller_run(controller_kubeconfig) as run:
        await run.until(lambda: len(nodes.claims(pool)) == 2, "the ordered node")
        (order,) = buffers(nodes)
        assert is_marked(order, pool, Reason.WARM_FLOOR)
        await run.until(
            lambda: first in {one.machine for one in run.rounds[-1].late if one.pool == pool},
            "a late machine",
            each_seconds=120,
        )
        for _ in range(5):
            run.later(120)
            await run.round()
        assert len(nodes.claims(pool)) == 2
        assert not [one for one in nodes.nodes(pool) if HOLD in annotations(one)]
    assert not nodes.running(chat)
