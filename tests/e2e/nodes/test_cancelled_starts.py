"""A machine that is not wanted any more is called off while it boots, with the real Karpenter."""

from pathlib import Path

import pytest

from tests.e2e.nodes.controller_run import (
    ControllerRun,
    Policies,
    buffers,
    controller_run,
    placeholders,
    write_past,
)
from tests.e2e.nodes.node_cluster import NodeCluster

pytestmark = pytest.mark.looptime(False)  # processes live in real time

ROUND_SECONDS = 120.0


def slow_pool(nodes: NodeCluster) -> tuple[str, str]:
    """A pool with a node and a pod on it, where no further machine gets ready; pool and pod's."""
    pool = nodes.pool("booting", budget="0")
    chat = nodes.deploy("chat", pool, replicas=1)
    nodes.wait_running(chat, 1)
    nodes.stop_boots(pool)
    return pool, chat


def claims(nodes: NodeCluster, pool: str) -> set[str]:
    return {one["metadata"]["name"] for one in nodes.claims(pool)}


async def rounds(run: ControllerRun, count: int) -> None:
    for _ in range(count):
        run.later(ROUND_SECONDS)
        await run.round()


@pytest.mark.parametrize(
    "levers",
    [
        pytest.param({}, id="by a buffer"),
        pytest.param({"capacityBuffer": False}, id="by placeholder pods"),
    ],
)
async def test_what_was_ordered_ahead_is_called_off_and_not_bought_again(
    nodes: NodeCluster,
    controller_kubeconfig: Path,
    policies: Policies,
    tmp_path: Path,
    levers: dict[str, bool],
) -> None:
    pool, chat = slow_pool(nodes)
    first = claims(nodes, pool)
    policies.set(pool, floor=2, levers=levers)
    write_past(tmp_path, pool, [1.0] * 100)

    async with controller_run(controller_kubeconfig, state=tmp_path) as run:
        await run.until(lambda: len(claims(nodes, pool)) == 2, "the ordered machine")
        (ahead,) = claims(nodes, pool) - first
        await rounds(run, 2)
        assert ahead in claims(nodes, pool)

        policies.set(pool, floor=0, levers=levers)
        await run.until(
            lambda: ahead not in claims(nodes, pool),
            "the machine to be called off",
            each_seconds=ROUND_SECONDS,
        )
        await run.until(
            lambda: not buffers(nodes) and not placeholders(nodes),
            "the order to go",
            each_seconds=ROUND_SECONDS,
        )
        nodes.wait_emptiness_passes(2)
        await rounds(run, 3)
    assert claims(nodes, pool) == first
    assert len(nodes.running(chat)) == 1


async def test_a_machine_is_not_called_off_while_a_pod_waits_for_it(
    nodes: NodeCluster, controller_kubeconfig: Path, policies: Policies, tmp_path: Path
) -> None:
    pool, chat = slow_pool(nodes)
    first = claims(nodes, pool)
    policies.set(pool)
    write_past(tmp_path, pool, [1.0] * 100)

    async with controller_run(controller_kubeconfig, state=tmp_path) as run:
        nodes.scale(chat, 2)
        await run.until(lambda: len(claims(nodes, pool)) == 2, "a machine for the pod")
        (bought,) = claims(nodes, pool) - first
        await rounds(run, 4)
        assert bought in claims(nodes, pool)

        nodes.scale(chat, 1)
        await run.until(
            lambda: bought not in claims(nodes, pool),
            "the machine to be called off",
            each_seconds=ROUND_SECONDS,
        )
        nodes.wait_emptiness_passes(2)
        await rounds(run, 3)
    assert claims(nodes, pool) == first
    assert not buffers(nodes)
