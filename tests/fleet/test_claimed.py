"""GPUs that DRA gives out, alone and beside a device plugin: none is counted twice."""

import pytest

from fleet.account.partition import parts_of
from fleet.activity import Activity, Host
from fleet.reasons import Reason
from fleet.tally import By, tally
from tests.fleet.objects import (
    GPU,
    Object,
    claim,
    counts,
    device,
    node,
    only,
    pod,
    resource_slice,
    seen,
)


def eight() -> Object:
    return resource_slice(*(device(f"gpu-{index}") for index in range(8)))


def test_claims_take_devices_for_the_pods_that_hold_them() -> None:
    found = only(
        node(),
        eight(),
        claim("c1", "gpu-0", "gpu-1", pods=("a",)),
        claim("shared", "gpu-2", pods=("a", "b")),
        pod("a", labels={"llm-d.ai/model": "qwen3-32b"}),
        pod("b"),
    )

    assert counts(found) == (8, 3, 5, 0)
    assert found.generation == "h100-sxm"
    assert [(use.pod, use.model, use.gpus) for use in found.uses] == [
        ("a", "qwen3-32b", 2.5),
        ("b", None, 0.5),
    ]


def test_every_device_tells_which_claim_has_it() -> None:
    devices = resource_slice(device("gpu-0"), device("gpu-1", taints=[{"effect": "NoExecute"}]))

    found = only(node(), devices, claim("c1", "gpu-0", pods=("a",)))

    assert [(one.name, one.taken, one.claims, one.out) for one in found.devices] == [
        ("GPU-gpu-0", 1, ("llm/c1",), None),
        ("GPU-gpu-1", 0, (), "tainted"),
    ]
    assert found.islands == ((0, 1),)


def test_an_administrators_look_takes_nothing() -> None:
    found = only(node(), eight(), claim("c1", "gpu-0", pods=("a",), adminAccess=True))

    assert counts(found) == (8, 0, 8, 0)


def test_a_claim_that_nobody_holds_still_has_its_gpus() -> None:
    (use,) = only(node(), eight(), claim("c1", "gpu-0")).uses

    assert (use.namespace, use.pod, use.gpus) == ("llm", "-", 1)


def test_a_pool_is_read_in_its_newest_generation_only() -> None:
    old = resource_slice(device("gpu-0"), device("gpu-1"), generation=1)
    new = resource_slice(device("gpu-0"), generation=2)

    assert counts(only(node(), old, new)) == (1, 0, 1, 0)


def test_the_free_gpus_of_an_incomplete_pool_can_be_had_by_nobody() -> None:
    part_of_two = resource_slice(device("gpu-0"), device("gpu-1"), of=2)

    assert counts(only(node(), part_of_two, claim("c", "gpu-0", pods=("a",)))) == (2, 1, 0, 1)


def test_a_tainted_device_is_out_unless_it_is_in_use() -> None:
    taints = [{"key": "sick", "effect": "NoSchedule"}]
    devices = (
        device("gpu-0", taints=taints),
        device("gpu-1", taints=taints),
        device("gpu-2"),
    )

    found = only(node(), resource_slice(*devices), claim("c", "gpu-0", pods=("a",)))

    assert counts(found) == (3, 1, 1, 1)


def test_mig_devices_are_the_gpu_they_are_cut_from() -> None:
    cut = [
        device(f"gpu-0-mig-{index}", type="mig", uuid="", parentUUID="GPU-p", profile=profile)
        for index, profile in enumerate(["3g.40gb", "3g.40gb"])
    ]

    found = only(node(), resource_slice(*cut), claim("c", "gpu-0-mig-0", pods=("a",)))

    assert counts(found) == (1, 0.5, 0.5, 0)


def test_a_gpu_and_its_faces_are_one() -> None:
    faces = (
        device("gpu-0", uuid="GPU-p", consumesCounters=[{}]),
        device("gpu-vfio-0", type="vfio", uuid="GPU-p"),
        *(
            device(
                f"mig-{index}",
                type="mig",
                uuid="",
                parentUUID="GPU-p",
                profile="1g.10gb",
                consumesCounters=[{}],
            )
            for index in range(7)
        ),
    )

    found = only(node(), resource_slice(*faces), claim("c", "mig-3", pods=("a",)))

    assert counts(found) == (1, 0.142857, 0.857143, 0)


def test_a_device_that_is_no_gpu_is_not_counted() -> None:
    channels = resource_slice(
        device("channel-0", type="channel"), driver="compute-domain.nvidia.com"
    )
    nics = resource_slice(device("nic-0", type=""), driver="dra.net")

    assert seen(node(), channels, nics).nodes == ()


def test_a_shared_device_is_taken_by_the_memory_that_is_given() -> None:
    found = only(
        node(),
        resource_slice(device("gpu-0", capacity={"memory": {"value": "80Gi"}})),
        claim("c", "gpu-0", pods=("a",), consumedCapacity={"memory": "20Gi"}, shareID="1"),
        claim("d", "gpu-0", pods=("b",), consumedCapacity={"memory": "20Gi"}, shareID="2"),
    )

    assert counts(found) == (1, 0.5, 0.5, 0)


def test_gpus_on_no_node_are_told_of() -> None:
    assert seen(eight()).remarks == ("8 GPUs in ResourceSlices are on no node that exists",)


def test_a_gpu_that_both_give_out_is_one_gpu() -> None:
    found = only(node(gpus=8), eight(), claim("c", "gpu-0", "gpu-1", pods=("a",)), pod("b", gpus=3))

    assert counts(found) == (8, 5, 3, 0)


def test_a_gpu_given_out_twice_is_told_of() -> None:
    snapshot = seen(
        node(gpus=8), eight(), claim("c", *(f"gpu-{i}" for i in range(6))), pod("b", gpus=3)
    )

    assert [counts(one) for one in snapshot.nodes] == [(8, 8, 0, 0)]
    assert snapshot.remarks == (
        "node n1: 9 of 8 GPUs are given out, by DRA and by a device plugin",
    )


def test_an_extended_resource_that_dra_gives_is_counted_as_its_claim_only() -> None:
    one = pod("a", gpus=2)
    one["status"]["extendedResourceClaimStatus"] = {
        "resourceClaimName": "a-x",
        "requestMappings": [{"resourceName": GPU, "containerName": "engine", "requestName": "r"}],
    }

    found = only(node(gpus=8), eight(), one, claim("a-x", "gpu-0", "gpu-1", pods=("a",)))

    assert counts(found) == (8, 2, 6, 0)


UNREAD = [
    pytest.param({"deviceClassName": "gpu.nvidia.com"}, id="selects by class"),
    pytest.param("nodes", id="selects by a text"),
]


@pytest.mark.parametrize("selector", UNREAD)
def test_while_a_taint_rule_cannot_be_read_it_is_unknown_which_gpus_are_free(
    selector: object,
) -> None:
    rule = {
        "kind": "DeviceTaintRule",
        "metadata": {"name": "r"},
        "spec": {"deviceSelector": selector, "taint": {"key": "sick", "effect": "NoSchedule"}},
    }
    full = resource_slice(device("f-0"), on="full")
    half = resource_slice(device("h-0"), device("h-1"), on="half")
    cordoned = {**node("cordoned"), "spec": {"unschedulable": True}}

    snapshot = seen(
        *(node("full"), full, claim("c1", "f-0", pods=("a",), on="full")),
        *(node("half"), half, claim("c2", "h-0", pods=("b",), on="half")),
        *(cordoned, resource_slice(device("c-0"), on="cordoned")),
        node("plugged", gpus=8),
        *(pod("a"), pod("b"), rule),
    )

    assert {one.node: counts(one) for one in snapshot.nodes} == {
        "full": (1, 1, 0, 0),
        "half": (2, 1, None, None),
        "cordoned": (1, 0, 0, 1),
        "plugged": (8, 0, 8, 0),
    }
    assert snapshot.remarks[-1] == (
        "not every DeviceTaintRule was read: 2 GPUs may be tainted, so it is unknown which are free"
    )


def test_used_and_idle_gpus_are_known_while_a_taint_rule_cannot_be_read() -> None:
    rule = {"kind": "DeviceTaintRule", "metadata": {"name": "r"}, "spec": {"deviceSelector": "x"}}
    measured = Host(busy={f"GPU-gpu-{index}": index < 5 for index in range(8)})
    seven = claim("c", *(f"gpu-{index}" for index in range(7)), pods=("a",))

    snapshot = seen(
        *(node(), eight(), seven, pod("a"), rule),
        activity=Activity(window_seconds=600, hosts={"n1": measured}),
    )

    (found,) = snapshot.nodes
    assert (*counts(found), found.idle) == (8, 7, None, None, 2)
    assert {(one.reason, one.gpus) for one in parts_of(found)} == {
        (Reason.VETO, 7),  # its pod is not ready
        (Reason.UNKNOWN, 1),
    }
    (row,) = tally([snapshot], By.NODE)
    assert (row.allocated, row.uses_unknown, row.idle, row.idle_unknown) == (7, 0, 2, 0)
    assert (row.free, row.free_unknown) == (0, 1)
    of_pods = {one.key: (one.allocated, one.free_unknown) for one in tally([snapshot], By.MODEL)}
    assert of_pods == {"(none)": (7, 0), "(unknown)": (0, 1)}
