"""`foresail fleet` and `foresail cost` beside kubectl, on nodes that Karpenter orders."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest
import yaml

from foresail.clock import wall_clock
from tests.e2e import kubernetes
from tests.e2e.bed import READY_SECONDS, ROOT, Bed
from tests.e2e.karpenter import EIGHT_GPUS, GPU
from tests.e2e.nodes.node_cluster import NodeCluster, holds
from tests.e2e.processes import done_unless_busy
from tests.e2e.wall_clock import WallClock

pytestmark = pytest.mark.looptime(False)  # processes live in real time

READER = "nodes-reader"
DRIVER_TAINT = "example.com/driver-not-ready"
LATE_SECONDS = 7200.0
"""Longer than anything is waited for, whatever was learned."""


@dataclass(frozen=True, kw_only=True)
class Pools:
    """One of each state that a machine can be in."""

    half_used: str
    """A node of eight GPUs with a pod that has four."""
    reserved: str
    """An empty node."""
    stuck: str
    """A node whose startup taint nobody removes."""
    launched: str
    """A machine that has no node yet."""


class Reader:
    """The verbs as processes, with the rights of the example and no more."""

    def __init__(self, bed: Bed) -> None:
        self._kubeconfig = bed.kubeconfig(READER)
        self._clock = WallClock(bed.folder / "later")
        self.fleet = self.document("fleet", "--lead-times")

    def document(self, verb: str, *arguments: str, ahead_seconds: float = 0.0) -> dict[str, Any]:
        """What a verb prints.

        Args:
            verb: of the command line.
            arguments: of the verb.
            ahead_seconds: by which the clock of its process is ahead.
        """
        self._clock.set(ahead_seconds)
        command = [sys.executable, "-m", "foresail.cli", verb, "-o", "json", "--kubeconfig"]
        done = done_unless_busy(
            lambda: subprocess.run(
                [*command, str(self._kubeconfig), *arguments],
                env={"PYTHONPATH": str(ROOT), **self._clock.environment},
                check=False,
                capture_output=True,
                text=True,
            ),
            f"foresail {verb}",
            # A busy API server may not have answered in time, which the verb says and no more.
            busy=lambda done: done.returncode != 0 and "Traceback" not in done.stderr,
            deadline_seconds=READY_SECONDS,
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found


@pytest.fixture(scope="module")
def nodes(node_bed: Bed) -> Iterator[NodeCluster]:
    cluster = NodeCluster(node_bed)
    cluster.wait_empty()
    yield cluster
    cluster.clear()


@pytest.fixture(scope="module")
def pools(nodes: NodeCluster) -> Pools:
    made = Pools(
        half_used=nodes.pool("eight", instance_type=EIGHT_GPUS),
        reserved=nodes.pool("reserved", capacity_types=("reserved",), replicas=1),
        stuck=nodes.pool("stuck", startup_taint=DRIVER_TAINT, replicas=1),
        launched=nodes.pool("launched", boots=False, replicas=1),
    )

    def is_so(pool: str, condition: str) -> bool:
        return any(holds(one, condition) for one in nodes.claims(pool))

    nodes.wait_running(nodes.deploy("chat", made.half_used, replicas=1, gpus=4), 1)
    nodes.wait_initialized(made.half_used, 1)
    nodes.wait_initialized(made.reserved, 1)
    nodes.wait(lambda: is_so(made.stuck, "Registered"), "the stuck node")
    nodes.wait(
        lambda: any(holds(one, "Ready") for one in nodes.nodes(made.stuck)),
        "the stuck node to be ready",
    )
    nodes.wait(lambda: is_so(made.launched, "Launched"), "the launched machine")
    return made


@pytest.fixture(scope="module")
def reader(node_bed: Bed, pools: Pools) -> Reader:
    del pools  # they are there first
    node_bed.apply(*yaml.safe_load_all((ROOT / "deploy/examples/fleet.yaml").read_text()))
    kubernetes.add_user(node_bed, READER, READER, group="foresail-fleet-readers")
    return Reader(node_bed)


def by_pool(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Nodes of a report; each pool has one."""
    return {one["pool"]: one for one in found}


def test_gpus_and_their_pods_are_those_that_kubectl_sees(reader: Reader, node_bed: Bed) -> None:
    on_nodes = {
        one["metadata"]["name"]: int(one["status"]["allocatable"][GPU])
        for one in node_bed.get("nodes")["items"]
    }
    asked = dict.fromkeys(on_nodes, 0)
    for pod in node_bed.get("pods", "-A")["items"]:
        for container in pod["spec"]["containers"]:
            asked[pod["spec"]["nodeName"]] += int(container["resources"]["requests"][GPU])
    without_node = [
        one["metadata"]["name"]
        for one in node_bed.get("nodeclaims")["items"]
        if "nodeName" not in one["status"]
    ]

    (cluster,) = reader.fleet["clusters"]

    assert {one["node"]: one["gpus"] for one in cluster["nodes"]} == on_nodes
    assert {one["node"]: one["allocated"] for one in cluster["nodes"]} == asked
    assert [one["claim"] for one in cluster["coming"]] == without_node
    assert sorted(on_nodes.values()) == [1, 1, 8]


def test_free_is_what_a_new_pod_can_have(reader: Reader, pools: Pools) -> None:
    (cluster,) = reader.fleet["clusters"]

    found = by_pool(cluster["nodes"] + cluster["coming"])
    counts = {name: (one["free"], one["out"], one["outReason"]) for name, one in found.items()}
    assert counts == {
        pools.half_used: (4, 0, None),
        pools.reserved: (1, 0, None),
        pools.stuck: (0, 1, "not initialized"),
        pools.launched: (0, 1, "not ready"),
    }


def test_each_machine_costs_for_the_reason_of_its_state(reader: Reader, pools: Pools) -> None:
    report = reader.document("cost")

    found = {
        name: {part["reason"]: part["gpus"] for part in one["reasons"]}
        for name, one in by_pool(report["nodes"]).items()
    }
    assert found == {
        pools.half_used: {"serving": 4, "fragmentation": 4},
        pools.reserved: {"reserved": 1},
        pools.stuck: {"uninitialized": 1},
        pools.launched: {"uninitialized": 1},
    }
    # A reserved machine has no list price; the others are 8 + 1 + 1 GPUs at $6.88.
    assert report["total"]["usd"] == pytest.approx(68.80)
    assert report["total"]["unpricedGpuHours"] == 1


def test_starts_are_counted_by_the_stages_that_their_claims_have_ended(
    reader: Reader, pools: Pools
) -> None:
    (learned,) = reader.fleet["leadTimes"]

    ended = {
        one["place"]["pool"]: {stage["stage"]: stage["ended"] for stage in one["stages"]}
        for one in learned["places"]
        if one["place"]["instanceType"] is None
    }
    launched_to_initialized = ("launched", "registered", "initialized")
    of = {
        pool: tuple(ended[pool][stage] for stage in launched_to_initialized)
        for pool in (pools.half_used, pools.reserved, pools.stuck)
    }
    assert of == {
        pools.half_used: (1, 1, 1),
        pools.reserved: (1, 1, 1),
        pools.stuck: (1, 1, 0),
    }


def test_the_watchdog_finds_the_machines_that_get_no_further(
    reader: Reader, nodes: NodeCluster, pools: Pools
) -> None:
    assert reader.fleet["lateMachines"] == []

    late = by_pool(reader.document("fleet", ahead_seconds=LATE_SECONDS)["lateMachines"])

    assert {name: (one["stage"], one["reason"]) for name, one in late.items()} == {
        pools.stuck: ("initialized", "StartupTaintsExist"),
        pools.launched: ("registered", "NodeNotFound"),
    }
    stuck = late[pools.stuck]
    assert {stuck["machine"]} == nodes.names(pools.stuck)
    assert stuck["karpenterEndsItInSeconds"] is None
    # For two hours and the time since it was launched.
    (claim,) = nodes.claims(pools.stuck)
    launched = datetime.fromisoformat(claim["metadata"]["creationTimestamp"]).timestamp()
    hours_max = (LATE_SECONDS + wall_clock() - launched) / 3600
    assert 6.88 * 2 - 0.01 <= stuck["usdSoFar"] <= 6.88 * hours_max + 0.01
