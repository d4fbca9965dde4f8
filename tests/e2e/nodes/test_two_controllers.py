"""Two replicas of the controller on the bed: one is cut off, and the other goes on alone."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from kubernetes_asyncio.client import ApiClient

from bench._faults_row import Observe
from foresail.controller.election import Election
from tests.e2e.nodes.controller_run import (
    ControllerRun,
    Policies,
    buffers,
    controller_run,
)
from tests.e2e.nodes.node_cluster import NodeCluster
from tests.e2e.nodes.test_controller_killed import ours

pytestmark = pytest.mark.looptime(False)  # processes live in real time

STEP_SECONDS = 2.0
STEPS_MAX = 30


@dataclass
class Line:
    """A controller's way to the API server, which a test cuts."""

    cut: bool = False
    asked: list[str] = field(default_factory=list)
    """Writes since they are counted."""
    counting: bool = False

    def prepare(self, client: ApiClient) -> None:
        call_api = client.call_api

        async def called(path: str, method: str, *given: Any, **options: Any) -> Any:
            if self.cut:
                raise aiohttp.ClientConnectionError("cut")
            if self.counting and method != "GET" and "/leases" not in path:
                self.asked.append(f"{method} {path}")
            return await call_api(path, method, *given, **options)

        client.call_api = called


def election(run: ControllerRun) -> Election:
    assert run.parts.election is not None
    return run.parts.election


async def test_a_leader_that_is_cut_off_acts_no_more_once_the_other_leads(
    nodes: NodeCluster, controller_kubeconfig: Path, policies: Policies, observed: Observe
) -> None:
    pool, line = nodes.pool("split"), Line()
    chat = nodes.deploy("chat", pool, replicas=1)
    nodes.wait_running(chat, 1)
    policies.set(pool, floor=2)

    async with (
        controller_run(controller_kubeconfig, identity="one", prepare=line.prepare) as one,
        controller_run(controller_kubeconfig, identity="two") as two,
    ):
        await one.until(lambda: buffers(nodes), "an order")
        await election(two).attempt()
        line.cut = True
        stopped = led = None
        for step in range(1, STEPS_MAX):
            for run in (one, two):
                run.later(STEP_SECONDS)
                await election(run).attempt()
            assert not (election(one).leading and election(two).leading)
            if stopped is None and not election(one).leading:
                stopped = step * STEP_SECONDS
            if election(two).leading:
                led = step * STEP_SECONDS
                break
        assert stopped is not None
        assert led is not None

        await two.until(lambda: len(nodes.names(pool)) == 2, "the second node")
        line.cut, line.counting = False, True
        await election(one).attempt()
        # It may read again, and sees the same need.
        policies.set(pool, floor=3)
        for run in (one, two):
            await run.until_read(pool, floor=3)
        await one.parts.controller.round_now()
        assert not election(one).leading
        assert line.asked == []
        policies.set(pool, floor=2)
        await two.until_read(pool, floor=2)
        await two.until(lambda: ours(nodes, pool), "its hold")

    created, running = nodes.created(pool), len(nodes.running(chat))
    observed(
        f"the first stops acting {stopped:.0f} s after the cut, the other leads after {led:.0f} s; "
        f"{created} nodes made of 2 wanted, {len(line.asked)} writes of the first after that",
        wrong_scale_downs=1 - running,
        lost=created - 2 + len(line.asked),
        recovered_seconds=led,
    )
    assert (created, running) == (2, 1)
