"""Pods that get GPUs of the device plugin, and by claims a channel, a NIC, or another GPU."""

from typing import Any

import pytest

from fleet.cluster.kinds import Kind
from scheduler.history import USUAL, History
from scheduler.intake import Intake
from scheduler.mix import Mix
from scheduler.placement_state import SCORE_MAX, PlacementState
from scheduler.pods import pod_of
from scheduler.view import views_of
from tests.scheduler import slices
from tests.scheduler.objects import drop, node, pod, put, resource_slice
from tests.scheduler.test_devices_in_use import any_of, driver_class, given

Json = dict[str, Any]
IMEX = "compute-domain.nvidia.com"
GPU = "gpu.nvidia.com"
LWS = "leaderworkerset.sigs.k8s.io"


def intake(*names: str, gpus: int) -> Intake:
    """Nodes whose device plugin gives out the GPUs, and DRA a channel of a ComputeDomain each."""
    made = Intake(PlacementState((), Mix(dict(USUAL))), History())
    put(made, Kind.CLASS, driver_class(IMEX))
    put(made, Kind.CLASS, driver_class(GPU))
    for name in names:
        ready = node(name, gpus=gpus)
        ready["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
        put(made, Kind.NODE, ready)
        channels = slices.resource_slice(name, {"name": "channel-0"}, driver=IMEX)
        put(made, Kind.SLICE, channels)
    return made


def channel(name: str, pool: str | None = None) -> Json:
    asked = any_of(name, IMEX)
    return asked if pool is None else given(asked, pool, "channel-0", IMEX)


def idle(made: Intake) -> dict[str, float]:
    nodes = made.placement.nodes
    return {name: int(nodes.free[row]) for name, row in made.placement.occupancy.row.items()}


@pytest.mark.parametrize("claim_first", [True, False])
def test_a_running_pod_keeps_its_plugged_gpus_whatever_its_claim_was_given(
    *, claim_first: bool
) -> None:
    made = intake("a", "b", gpus=8)
    events = [
        (Kind.CLAIM, channel("c", "a")),
        (Kind.POD, pod("p", gpus=6, claims=("c",), on="a")),
    ]
    for kind, document in events if claim_first else events[::-1]:
        put(made, kind, document)
    assert idle(made) == {"a": 2, "b": 8}
    assert [(one.node, one.used, one.free) for one in views_of(made)] == [
        ("a", 6.0, 2.0),
        ("b", 0.0, 8.0),
    ]
    drop(made, Kind.POD, pod("p"))
    assert idle(made) == {"a": 8, "b": 8}


def test_a_pod_that_waits_is_placed_by_the_gpus_that_it_asks_the_plugin_for() -> None:
    made = intake("a", "b", gpus=8)
    put(made, Kind.POD, pod("p", gpus=7, on="a"))
    put(made, Kind.CLAIM, channel("c"))
    asked = pod_of(pod("q", gpus=8, claims=("c",)), made.known)
    assert made.placement.prioritise(asked, ["a", "b"], now_seconds=0) == [0, SCORE_MAX]
    assert idle(made) == {"a": 1, "b": 0}
    put(made, Kind.CLAIM, channel("c", "b"))
    put(made, Kind.POD, pod("q", gpus=8, claims=("c",), on="b"))
    assert idle(made) == {"a": 1, "b": 0}


def test_one_whose_claim_was_given_before_its_node_was_chosen_takes_its_gpus_once() -> None:
    made = intake("a", gpus=8)
    put(made, Kind.CLAIM, channel("c", "a"))
    asked = pod_of(pod("q", gpus=3, claims=("c",)), made.known)
    made.placement.prioritise(asked, ["a"], now_seconds=0)
    assert idle(made) == {"a": 5}


@pytest.mark.parametrize(("size", "passes"), [(2, True), (4, False)])
def test_a_gang_with_channels_waits_for_room_for_all_its_plugged_gpus(
    size: int, *, passes: bool
) -> None:
    made = intake("a", "b", gpus=4)
    put(made, Kind.CLAIM, channel("c"))
    member = pod("m0", gpus=4, claims=("c",))
    member["metadata"]["labels"] = {f"{LWS}/name": "llama", f"{LWS}/group-index": "0"}
    member["metadata"]["annotations"] = {f"{LWS}/size": str(size)}
    result = made.placement.filter(pod_of(member, made.known), ["a", "b"], now_seconds=0)
    assert bool(result.passed) is passes
    if not passes:
        assert result.failed["a"].startswith("room for 2 of the 4 pods that group ")


def test_a_pod_with_gpus_of_both_kinds_has_the_sum_and_each_gpu_once() -> None:
    made = intake("a", gpus=4)
    put(made, Kind.SLICE, resource_slice("a", *["NVIDIA H100 80GB HBM3"] * 4))
    put(made, Kind.CLAIM, given(any_of("c", GPU), "a", "gpu-0", GPU))
    put(made, Kind.POD, pod("p", gpus=2, claims=("c",), on="a"))
    left = made.placement.nodes.gpus[made.placement.occupancy.row["a"]]
    assert left[:4].tolist() == [0, 0, 0, 1000]
