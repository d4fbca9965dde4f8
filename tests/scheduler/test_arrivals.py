"""Which pods count as come, and with how many GPUs, where claims give them devices of all kinds."""

from typing import Any

import pytest

from fleet.cluster.kinds import Kind
from scheduler.history import USUAL, History
from scheduler.intake import Intake
from scheduler.mix import Mix
from scheduler.placement_state import PlacementState
from scheduler.pods import GPU_MODELS, pod_of
from tests.scheduler import slices
from tests.scheduler.objects import H100, drop, node, pod, put, resource_slice
from tests.scheduler.test_devices_in_use import NIC, any_of, given, nics

Json = dict[str, Any]
GPU = "gpu.nvidia.com"
PARTITION = slices.mig(0, "NVIDIA H200", 17_000)


def intake(*documents: Json) -> tuple[Intake, History]:
    """Node a with what the slices offer."""
    history = History()
    made = Intake(PlacementState((), Mix(dict(USUAL))), history)
    put(made, Kind.NODE, node("a"))
    for one in documents:
        put(made, Kind.SLICE, one)
    return made, history


def learned(history: History) -> dict[int, float]:
    """Pods by how many GPUs they have, without the usual ones."""
    found: dict[int, float] = {}
    for shape, weight in history.mix(0).weights.items():
        more = weight - USUAL.get(shape, 0.0)
        if more:
            found[shape.gpus] = found.get(shape.gpus, 0.0) + more
    return found


def allocated(name: str, *devices: tuple[str, str]) -> Json:
    """A claim that was given devices of a, by driver and name."""
    claim = any_of(name, GPU)
    results = [
        {"request": "r", "driver": driver, "pool": "a", "device": device}
        for driver, device in devices
    ]
    return {**claim, "status": {"allocation": {"devices": {"results": results}}}}


def left(made: Intake) -> list[int]:
    """Of each GPU of a, in thousandths."""
    milli: list[int] = made.placement.nodes.gpus[made.placement.occupancy.row["a"]].tolist()
    return milli


@pytest.mark.parametrize("claim_first", [True, False])
def test_a_nic_beside_a_gpu_is_no_second_gpu(*, claim_first: bool) -> None:
    made, history = intake(resource_slice("a", H100, H100), nics("a"))
    events = [
        (Kind.CLAIM, allocated("c", (GPU, "gpu-0"), (NIC, "nic-0"))),
        (Kind.POD, pod("p", claims=("c",), on="a")),
    ]
    for kind, document in events if claim_first else events[::-1]:
        put(made, kind, document)
    put(made, Kind.POD, pod("p", claims=("c",), on="a"))
    assert learned(history) == {1: 1.0}


def test_a_partition_is_no_gpu() -> None:
    made, history = intake(slices.resource_slice("a", PARTITION))
    put(made, Kind.CLAIM, allocated("c", (GPU, PARTITION["name"])))
    put(made, Kind.POD, pod("p", claims=("c",), on="a"))
    assert learned(history) == {}


def test_plugged_gpus_count_beside_a_nic() -> None:
    made, history = intake(nics("a"))
    put(made, Kind.NODE, node("a", gpus=8))
    put(made, Kind.CLAIM, given(any_of("c", NIC), "a", "nic-0"))
    put(made, Kind.POD, pod("p", gpus=6, claims=("c",), on="a"))
    assert learned(history) == {6: 1.0}


def test_a_pod_whose_node_comes_later_counts_then() -> None:
    history = History()
    made = Intake(PlacementState((), Mix(dict(USUAL))), history)
    put(made, Kind.CLAIM, allocated("c", (GPU, "gpu-0"), (GPU, "gpu-1")))
    put(made, Kind.POD, pod("p", claims=("c",), on="a"))
    put(made, Kind.SLICE, resource_slice("a", H100, H100))
    assert learned(history) == {}
    put(made, Kind.NODE, node("a"))
    assert learned(history) == {2: 1.0}


class TestOneClaimOfTwoPods:
    def shared(self, *devices: Json) -> tuple[Intake, History]:
        made, history = intake(*devices)
        put(made, Kind.CLAIM, allocated("c", (GPU, "gpu-0")))
        for name in ("p", "q"):
            put(made, Kind.POD, pod(name, claims=("c",), on="a"))
        return made, history

    def test_its_gpu_is_taken_and_counted_once(self) -> None:
        made, history = self.shared(resource_slice("a", H100, H100))
        assert left(made) == [0, 1000]
        assert learned(history) == {1: 1.0}

    @pytest.mark.parametrize("names", ["pq", "qp"])
    def test_its_gpu_is_free_when_the_last_of_them_has_ended(self, names: str) -> None:
        made, _ = self.shared(resource_slice("a", H100, H100))
        first, last = names
        drop(made, Kind.POD, pod(first))
        assert left(made) == [0, 1000]
        drop(made, Kind.POD, pod(last))
        assert left(made) == [1000, 1000]

    def test_a_slice_that_is_renewed_changes_nothing(self) -> None:
        made, _ = self.shared(resource_slice("a", H100, H100))
        drop(made, Kind.SLICE, resource_slice("a", H100, H100))
        put(made, Kind.SLICE, resource_slice("a", H100, H100, generation=2))
        assert left(made) == [0, 1000]

    def test_the_node_has_gpus_still_and_none_of_another_model(self) -> None:
        made, _ = self.shared(resource_slice("a", H100, H100))
        asked = pod("other", gpus=1)
        asked["metadata"]["annotations"] = {GPU_MODELS: "l40s"}
        assert made.placement.filter(pod_of(asked), ["a"], now_seconds=0).passed == []


def test_a_gpu_that_several_claims_share_is_taken_once() -> None:
    made, _ = intake(resource_slice("a", H100, H100))
    for name in ("c", "d"):
        put(made, Kind.CLAIM, allocated(name, (GPU, "gpu-0")))
        put(made, Kind.POD, pod(f"of-{name}", claims=(name,), on="a"))
    assert left(made) == [0, 1000]
    drop(made, Kind.POD, pod("of-c"))
    assert left(made) == [0, 1000]
