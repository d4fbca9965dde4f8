"""The controller is killed at each of its writes, and the other replica goes on from there."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from bench._faults_row import Observe
from fleet.annotations import RELEASE_TAINT
from foresail.clock import steady_clock
from tests.e2e.bed import READY_SECONDS, ROOT
from tests.e2e.nodes.controller_run import (
    TERM_SECONDS,
    Policies,
    annotations,
    buffers,
    controller_run,
    placeholders,
    templates,
    wait_answered,
    write_past,
)
from tests.e2e.nodes.mortal_controller import ROUND_SECONDS, ROUNDS
from tests.e2e.nodes.node_cluster import HOLD, NodeCluster

pytestmark = pytest.mark.looptime(False)  # processes live in real time

ENDS_MAX = 40
"""Of processes, until the cluster must be as the policy has it."""
PROCESS_SECONDS_MAX = 300.0
"""Reached on failure only."""
LEASE_SECONDS = 900.0
"""`holdLease`, by default."""


@dataclass
class Crashes:
    """Controllers that die after their first write, each as another replica than the last."""

    nodes: NodeCluster
    kubeconfig: Path
    state: Path | None = None
    died_after: list[str] = field(default_factory=list)
    """Verb and resource of the writes, in their order."""
    _numbers: Iterator[int] = field(default_factory=count)

    async def one(self) -> bool:
        """Let one live and die; whether it died of a write."""
        await asyncio.to_thread(wait_answered, self.nodes)
        number = next(self._numbers)
        command = ["-m", "tests.e2e.nodes.mortal_controller", "--kubeconfig", str(self.kubeconfig)]
        command += ["--identity", f"replica-{number % 2}", "--writes", "1"]
        command += ["--ahead", str(self.ahead_seconds(number))]
        command += [] if self.state is None else ["--state", str(self.state)]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(PROCESS_SECONDS_MAX):
                output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        said = output.decode()
        if process.returncode == 0:
            return False
        assert process.returncode == -signal.SIGKILL, said
        (wrote,) = re.findall(r"^(PATCH|DELETE|POST|PUT) (\S+)$", said, re.MULTILINE)
        self.died_after.append(f"{wrote[0]} {wrote[1].split('/')[-2]}")
        return True

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Let one after the other live and die until it holds and nothing is left to write."""
        deadline, left = steady_clock() + READY_SECONDS, ENDS_MAX
        while left > 0 or steady_clock() < deadline:
            left -= 1
            died = await self.one()
            if not died and await asyncio.to_thread(condition):
                return
        raise AssertionError(f"{what}: not after {ENDS_MAX} processes; {self.died_after}")

    async def writes(self, number: int) -> None:
        """Let them live until so many have died of a write."""
        deadline = steady_clock() + READY_SECONDS
        while len(self.died_after) < number:
            assert steady_clock() < deadline, self.died_after
            await self.one()

    @staticmethod
    def ahead_seconds(number: int) -> float:
        """Each waits for the end of the Lease of the one before it, and makes its rounds."""
        return number * (TERM_SECONDS + (ROUNDS + 1) * ROUND_SECONDS)

    def next_ahead_seconds(self) -> float:
        """Of who comes after all of them."""
        return self.ahead_seconds(next(self._numbers))


def ours(nodes: NodeCluster, pool: str) -> list[str]:
    """What the controller has made and written for a pool, and not taken back."""
    made = [one["metadata"]["name"] for one in buffers(nodes) + templates(nodes)]
    made += [one["metadata"]["name"] for one in placeholders(nodes)]
    for node in nodes.nodes(pool):
        made += [HOLD] if HOLD in annotations(node) else []
        made += [
            one["key"] for one in node["spec"].get("taints", ()) if one["key"] == RELEASE_TAINT
        ]
    return made


async def test_killed_at_each_write_of_its_cycle_it_orders_nothing_twice_and_leaves_nothing(
    nodes: NodeCluster,
    controller_kubeconfig: Path,
    policies: Policies,
    tmp_path: Path,
    observed: Observe,
) -> None:
    pool = nodes.pool("killed")
    chat = nodes.deploy("chat", pool, replicas=1)
    nodes.wait_running(chat, 1)
    crashes = Crashes(nodes, controller_kubeconfig, tmp_path)
    # Demand has been as it is for long: what is above it goes.
    write_past(tmp_path, pool, [1.0] * 100)
    policies.set(pool, floor=2)

    await crashes.until(
        lambda: len(nodes.names(pool)) == 2 and ours(nodes, pool) == [HOLD], "a held second node"
    )
    policies.set(pool)
    await crashes.until(lambda: len(nodes.claims(pool)) == 1, "the second node to go")

    assert {
        "PATCH podtemplates",
        "PATCH capacitybuffers",
        "PATCH nodes",
        "DELETE capacitybuffers",
        "DELETE nodeclaims",
    } <= set(crashes.died_after)
    assert nodes.created(pool) == 2
    assert len(nodes.running(chat)) == 1
    nodes.wait(lambda: len(nodes.names(pool)) == 1, "its node to be gone")

    async with controller_run(
        controller_kubeconfig, ahead_seconds=crashes.next_ahead_seconds()
    ) as run:
        run.later(LEASE_SECONDS)
        await run.until(
            lambda: not ours(nodes, pool), "nothing of ours to be left", each_seconds=10
        )
    observed(
        f"killed after each of {len(crashes.died_after)} writes; {nodes.created(pool)} nodes made "
        f"of 2 wanted; {len(ours(nodes, pool))} objects left when the leases have ended",
        wrong_scale_downs=1 - len(nodes.running(chat)),
        lost=len(ours(nodes, pool)),
    )


@pytest.mark.parametrize("writes", [1, 2], ids=["of the template", "of the buffer"])
async def test_an_order_that_nobody_goes_on_with_ends_with_its_lease(
    nodes: NodeCluster,
    controller_kubeconfig: Path,
    policies: Policies,
    observed: Observe,
    writes: int,
) -> None:
    pool = nodes.pool("orphan")
    nodes.wait_running(nodes.deploy("chat", pool, replicas=1), 1)
    policies.set(pool, floor=2)
    crashes = Crashes(nodes, controller_kubeconfig)
    await crashes.writes(writes)
    policies.delete()
    assert len(ours(nodes, pool)) == writes

    async with controller_run(
        controller_kubeconfig, ahead_seconds=crashes.next_ahead_seconds()
    ) as run:
        await run.round()
        assert len(ours(nodes, pool)) == writes
        run.later(LEASE_SECONDS)
        await run.until(
            lambda: not ours(nodes, pool), "nothing of ours to be left", each_seconds=10
        )
    left = len(ours(nodes, pool))
    observed(
        f"{writes} objects of an order, {left} when its lease of {LEASE_SECONDS:.0f} s has ended",
        lost=left,
    )
    assert nodes.created(pool) <= 2
