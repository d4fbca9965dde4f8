"""GPU-hours of `foresail cost` and of the controller's metrics, against the bed's own events."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from fleet.account.gpu_hours import GpuHours
from foresail.cost.state_file import kept
from tests.e2e.bed import ROOT, Bed
from tests.e2e.karpenter import EIGHT_GPUS
from tests.e2e.nodes.controller_run import ControllerRun, controller_run
from tests.e2e.nodes.node_cluster import NodeCluster
from tests.e2e.nodes.node_ledger import node_ledger
from tests.e2e.processes import Program

pytestmark = pytest.mark.looptime(False)  # processes live in real time

EVERY_SECONDS = 0.5
CLUSTER = "bed"
"""The context of the bed's kubeconfigs."""
AGREE = 0.01
PUNCTUAL_SECONDS = 1.0
"""Between two readings where the cores have time; between later ones a change is seen late."""


@asynccontextmanager
async def rounds_going_on(
    run: ControllerRun, state: Path, seen: list[float]
) -> AsyncIterator[None]:
    """Rounds while the context is open.

    Args:
        run: that makes them.
        state: of a `foresail cost`.
        seen: takes the times of its readings.
    """

    async def go_on() -> None:
        while True:
            await run.round()
            seen.append(kept(state, CLUSTER).gpu_hours.at_seconds or 0.0)
            await asyncio.sleep(EVERY_SECONDS / 2)

    task = asyncio.create_task(go_on())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def cost_watch(bed: Bed, state: Path) -> Program:
    """`foresail cost` that adds readings up, and keeps the totals in a file."""
    command = [sys.executable, "-m", "foresail.cli", "cost", "--watch", "1h"]
    command += ["--every", f"{EVERY_SECONDS}s", "--state", str(state), "-o", "json"]
    command += ["--kubeconfig", str(bed.kubeconfig("admin")), "--context", CLUSTER]
    return Program("foresail-cost", command, bed.folder, {"PYTHONPATH": str(ROOT)})


def play(nodes: NodeCluster, small: str, large: str) -> None:
    """Launches, idle times and ends, of five nodes."""
    of_one = nodes.deploy("of-one", small, replicas=2)
    of_four = nodes.deploy("of-four", large, replicas=2, gpus=4)
    nodes.wait_running(of_one, 2)
    nodes.wait_running(of_four, 2)
    nodes.scale(of_four, 1)
    nodes.scale(of_one, 1)
    nodes.wait(lambda: len(nodes.claims(small)) == 1, "an idle node to go")
    nodes.scale(of_one, 3)
    nodes.wait_running(of_one, 3)
    nodes.scale(of_one, 0)
    nodes.scale(of_four, 0)
    nodes.wait(lambda: not nodes.claims(small) and not nodes.claims(large), "all nodes to go")


def late_seconds(at_seconds: list[float]) -> float:
    """How late a change may have been seen by readings at these times."""
    longest = max((after - before for before, after in pairwise(at_seconds)), default=0.0)
    return max(0.0, longest - PUNCTUAL_SECONDS)


def gpu_hours_by_pool(hours: GpuHours, pools: dict[str, int]) -> dict[str, float]:
    found = dict.fromkeys(pools, 0.0)
    for series, cost in hours.totals.items():
        if series.pool in found:
            found[series.pool] += cost.gpu_hours
    return found


def metrics_by_pool(registry: CollectorRegistry, pools: dict[str, int]) -> dict[str, float]:
    found = dict.fromkeys(pools, 0.0)
    for family in registry.collect():
        for sample in family.samples:
            if sample.name == "foresail_gpu_hours_total" and sample.labels["pool"] in found:
                found[sample.labels["pool"]] += sample.value
    return found


async def test_gpu_hours_agree_with_the_events_of_the_bed_within_a_percent(
    nodes: NodeCluster, controller_kubeconfig: Path, tmp_path: Path
) -> None:
    small = nodes.pool("one", consolidate_after="2s")
    large = nodes.pool("eight", instance_type=EIGHT_GPUS, consolidate_after="2s")
    gpus = {small: 1, large: 8}
    state = tmp_path / "cost.json"
    watch = cost_watch(nodes.bed, state)
    seen: list[float] = []

    def has_read() -> bool:
        if not watch.runs:  # it ends where its first question has no answer in time
            watch.start()
        return state.exists()

    with node_ledger(nodes.bed) as ledger:
        try:
            nodes.wait(has_read, "the first reading")
            async with (
                controller_run(controller_kubeconfig) as run,
                rounds_going_on(run, state, seen),
            ):
                await asyncio.to_thread(play, nodes, small, large)
            at_seconds = run.rounds[-1].at_seconds
            nodes.wait(
                lambda: (kept(state, CLUSTER).gpu_hours.at_seconds or 0.0) > at_seconds,
                "a last reading",
            )
        finally:
            watch.stop()

    hours = kept(state, CLUSTER).gpu_hours
    assert hours.first_seconds is not None
    assert hours.at_seconds is not None
    rounds = [made.at_seconds for made in run.rounds]
    # What the controller was late, the ledger may have been, which is in the same process.
    own = late_seconds(rounds)
    of_cost = late_seconds([hours.first_seconds, *seen, hours.at_seconds])
    accounted = (
        (gpu_hours_by_pool(hours, gpus), hours.first_seconds, hours.at_seconds, of_cost),
        (metrics_by_pool(run.parts.registry, gpus), rounds[0], at_seconds, 0.0),
    )
    for found, begin, end, others in accounted:
        expected = ledger.gpu_hours(gpus, begin, end)
        for pool, gpu_hours in expected.items():
            late = (own + others) * ledger.changes(pool) * gpus[pool] / 3600
            assert gpu_hours > 0
            assert found[pool] == pytest.approx(gpu_hours, abs=AGREE * gpu_hours + late)
