"""What kube-scheduler's allocator will not give a claim: devices in use, tainted, or entangled."""

from typing import Any

import pytest

from fleet.cluster.kinds import Kind
from scheduler.history import USUAL, History
from scheduler.intake import Intake
from scheduler.machines import Machine
from scheduler.mix import Mix
from scheduler.node_profiles import NodeProfiles
from scheduler.placement_state import SCORE_MAX, PlacementState
from scheduler.pods import pod_of
from tests.scheduler import slices
from tests.scheduler.objects import H100, device_class, drop, node, pod, put, resource_slice

Json = dict[str, Any]
NIC = "dra.net"


def nics(name: str, count: int = 1) -> Json:
    devices: list[Json] = [{"name": f"nic-{at}"} for at in range(count)]
    return slices.resource_slice(name, *devices, driver=NIC)


def any_of(name: str, class_name: str, **more: Any) -> Json:
    return {
        "metadata": {"name": name, "namespace": "llm"},
        "spec": {
            "devices": {
                "requests": [{"name": "r", "exactly": {"deviceClassName": class_name, **more}}]
            }
        },
    }


def given(claim: Json, pool: str, device: str, driver: str = NIC, **more: Any) -> Json:
    result = {"request": "r", "driver": driver, "pool": pool, "device": device, **more}
    return {**claim, "status": {"allocation": {"devices": {"results": [result]}}}}


def driver_class(driver: str) -> Json:
    expression = f"device.driver == '{driver}'"
    return {
        "metadata": {"name": driver},
        "spec": {"selectors": [{"cel": {"expression": expression}}]},
    }


def intake(*slices_: Json) -> Intake:
    made = Intake(PlacementState((), Mix(dict(USUAL))), History())
    for one in (driver_class(NIC), driver_class("gpu.nvidia.com")):
        put(made, Kind.CLASS, one)
    for one in slices_:
        name = one["spec"].get("nodeName")
        if name is not None:
            put(made, Kind.NODE, node(name))
        put(made, Kind.SLICE, one)
    return made


def scores(made: Intake, claim: Json, *names: str, uid: str = "p") -> list[int]:
    put(made, Kind.CLAIM, claim)
    document = pod(uid, claims=(claim["metadata"]["name"],))
    asked = pod_of(document, made.known)
    passed = made.placement.filter(asked, list(names), now_seconds=0).passed
    assert passed == list(names)  # kube-scheduler has found devices: nothing is turned away
    return made.placement.prioritise(asked, list(names), now_seconds=0)


def test_a_nic_that_another_claim_holds_is_not_offered_again() -> None:
    made = intake(nics("a"), nics("b"))
    put(made, Kind.CLAIM, given(any_of("other", NIC), "a", "nic-0"))
    assert scores(made, any_of("c", NIC), "a", "b") == [0, SCORE_MAX]
    drop(made, Kind.CLAIM, any_of("other", NIC))
    # b's is given by our own answer, and the pod has not been seen there yet.
    assert scores(made, any_of("d", NIC), "a", "b", uid="q") == [SCORE_MAX, 0]


def test_a_claim_that_an_administrator_looks_on_with_takes_nothing() -> None:
    made = intake(nics("a"), nics("b"))
    looking = given(any_of("other", NIC), "a", "nic-0", adminAccess=True)
    put(made, Kind.CLAIM, looking)
    assert scores(made, any_of("c", NIC), "a", "b")[0] == SCORE_MAX


def test_a_partition_in_use_is_not_offered_again() -> None:
    made = intake(
        *(slices.resource_slice(name, slices.mig(0, "NVIDIA H200", 17_000)) for name in ("a", "b"))
    )
    taken = given(any_of("other", "gpu.nvidia.com"), "a", "gpu-0-mig-1g10gb-19-0", "gpu.nvidia.com")
    put(made, Kind.CLAIM, taken)
    assert scores(made, any_of("c", "gpu.nvidia.com"), "a", "b") == [0, SCORE_MAX]


def test_a_gpu_that_a_claim_without_a_running_pod_holds_is_not_offered() -> None:
    made = intake(resource_slice("a", H100), resource_slice("b", H100))
    put(made, Kind.CLASS, device_class())
    held = given(any_of("other", "gpu.nvidia.com"), "a", "gpu-0", "gpu.nvidia.com")
    put(made, Kind.CLAIM, held)
    assert scores(made, any_of("c", "gpu.nvidia.com"), "a", "b") == [0, SCORE_MAX]


def test_a_gpu_of_a_waiting_pod_stays_taken_while_its_driver_renews_the_slice() -> None:
    made = intake(resource_slice("a", H100))
    put(made, Kind.CLASS, device_class())
    assert scores(made, any_of("c", "gpu.nvidia.com"), "a", uid="waits") == [SCORE_MAX]
    drop(made, Kind.SLICE, resource_slice("a", H100))
    put(made, Kind.SLICE, resource_slice("a", H100, generation=2))
    assert made.placement.nodes.free[made.placement.occupancy.row["a"]] == 0
    made.placement.gone("waits")
    assert made.placement.nodes.free[made.placement.occupancy.row["a"]] == 1


def test_a_slice_that_changes_in_place_leaves_a_waiting_pods_gpu_taken() -> None:
    made = intake(resource_slice("a", H100, H100))
    put(made, Kind.CLASS, device_class())
    assert scores(made, any_of("c", "gpu.nvidia.com"), "a", uid="waits") == [SCORE_MAX]
    put(made, Kind.SLICE, resource_slice("a", H100, H100, generation=2))
    assert made.placement.nodes.free[made.placement.occupancy.row["a"]] == 1


def _with(document: Json, **more: Any) -> Json:
    for device in document["spec"]["devices"]:
        device.update(more)
    return document


@pytest.mark.parametrize(
    "more",
    [
        pytest.param(
            {"consumesCounters": [{"counterSet": "gpu-0", "counters": {}}]}, id="counters"
        ),
        pytest.param({"allowMultipleAllocations": True}, id="shared"),
        pytest.param({"bindingConditions": ["x"]}, id="binding-conditions"),
    ],
)
def test_devices_that_depend_on_others_are_not_foretold(more: Json) -> None:
    made = intake(_with(nics("a"), **more), nics("b"))
    assert scores(made, any_of("c", NIC), "a", "b") == [0, SCORE_MAX]
    assert made.placement.occupancy.predictor.unpredicted == 1


def test_a_tainted_device_is_offered_to_whoever_tolerates_it() -> None:
    taint = {"key": "example.com/down", "effect": "NoSchedule"}
    made = intake(_with(nics("a"), taints=[taint]), nics("b"))
    assert scores(made, any_of("c", NIC), "a", "b") == [0, SCORE_MAX]
    tolerant = any_of("d", NIC, tolerations=[{"key": "example.com/down", "operator": "Exists"}])
    assert scores(made, tolerant, "a", "new", uid="q") == [SCORE_MAX, 0]


def test_devices_of_no_single_node_make_a_claim_that_they_match_unknown() -> None:
    fabric = nics("fabric")
    del fabric["spec"]["nodeName"]
    fabric["spec"]["allNodes"] = True
    fabric["spec"]["pool"]["name"] = "0-comes-first"
    made = intake(nics("a"), nics("b"), fabric)
    assert scores(made, any_of("c", NIC), "a", "b") == [0, 0]
    assert made.placement.occupancy.predictor.unpredicted == 1
    drop(made, Kind.SLICE, fabric)
    assert SCORE_MAX in scores(made, any_of("d", NIC), "a", "b", uid="q")
    assert made.placement.occupancy.predictor.unpredicted == 0


def test_any_number_of_devices_of_no_node_leaves_claims_for_others_known() -> None:
    fabrics = []
    for at in range(12):
        one = slices.resource_slice(
            f"fabric-{at}",
            *({"name": f"port-{n}"} for n in range(128)),
            driver="fabric.example.com",
        )
        del one["spec"]["nodeName"]
        one["spec"]["allNodes"] = True
        fabrics.append(one)
    made = intake(nics("a"), nics("b"), *fabrics)
    assert SCORE_MAX in scores(made, any_of("c", NIC), "a", "b")
    assert made.placement.occupancy.predictor.unpredicted == 0


def test_a_node_with_more_devices_than_are_looked_at_is_left_to_kube_scheduler() -> None:
    many = []
    for at in range(17):
        one = nics("a", 128)
        one["metadata"]["name"] = one["spec"]["pool"]["name"] = f"a-{at}"
        many.append(one)
    made = intake(nics("b"), *many[:16])
    assert "a" in made.placement.occupancy.machines
    put(made, Kind.SLICE, many[16])
    assert made.faults[-1] == (
        "resourceslices a-16: node a: its ResourceSlices have 2176 devices; at most 2048 are looked"
        " at"
    )
    assert "a" not in made.placement.occupancy.machines
    assert scores(made, any_of("c", NIC), "a", "b") == [0, SCORE_MAX]
    drop(made, Kind.SLICE, many[0])
    assert "a" in made.placement.occupancy.machines


def test_slices_beside_a_device_plugin_of_more_gpus_are_not_foretold() -> None:
    made = intake(resource_slice("a", H100))
    put(made, Kind.NODE, node("a", gpus=4))
    assert scores(made, any_of("c", "gpu.nvidia.com"), "a", "new") == [0, 0]
    assert made.placement.occupancy.predictor.unpredicted == 1


def test_profiles_of_nodes_that_are_gone_are_forgotten() -> None:
    profiles = NodeProfiles()
    profiles.grow(1)
    for at in range(100):
        profiles.put(0, Machine(name="a", cpu_milli=0, memory_mib=0, gpus=at % 16, islands=(at,)))
    assert len(profiles) == 1
    profiles.put(0, None)
    assert (len(profiles), profiles.numbers.tolist()) == (0, [-1])
