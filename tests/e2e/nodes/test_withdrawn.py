"""After `foresail controller --withdraw` the real Karpenter gives idle nodes back."""

import asyncio
import sys
from pathlib import Path

import pytest

from tests.e2e.bed import ROOT
from tests.e2e.nodes.controller_run import (
    Policies,
    annotations,
    buffers,
    controller_run,
    templates,
)
from tests.e2e.nodes.node_cluster import HOLD, NodeCluster

pytestmark = pytest.mark.looptime(False)  # processes live in real time

WITHDRAW_SECONDS = 180.0
GONE_SECONDS = 180.0


@pytest.mark.parametrize("stage", ["ordered", "held"])
async def test_what_a_controller_ordered_or_held_keeps_no_node(
    nodes: NodeCluster, controller_kubeconfig: Path, policies: Policies, stage: str
) -> None:
    pool = nodes.pool(f"withdrawn-{stage}", consolidate_after="20s")
    chat = nodes.deploy("chat", pool, replicas=1)
    nodes.wait_running(chat, 1)
    policies.set(pool, floor=2)

    def held() -> list[str]:
        return [one["metadata"]["name"] for one in nodes.nodes(pool) if HOLD in annotations(one)]

    async with controller_run(controller_kubeconfig) as run:
        await run.until(lambda: buffers(nodes), "an order")
        await run.until(lambda: len(nodes.names(pool)) == 2, "a second node")
        if stage == "held":
            await run.until(lambda: held() and not buffers(nodes), "a hold in place of the order")
    # As after an uninstall: nobody makes rounds any more.
    policies.delete()

    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "foresail.cli", "controller", "--withdraw"),
        f"--kubeconfig={controller_kubeconfig}",
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(WITHDRAW_SECONDS):
        said, _ = await process.communicate()

    assert process.returncode == 0, said.decode()
    assert (buffers(nodes), templates(nodes), held()) == ([], [], [])
    nodes.bed.wait(lambda: len(nodes.names(pool)) == 1, "the idle node to go", seconds=GONE_SECONDS)
    assert len(nodes.running(chat)) == 1
