"""What a cluster's objects amount to, in GPUs: by device plugin, by DRA, by both, in parts."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.account import NodeGpus
from fleet.islands import Lie
from tests.fleet.objects import GPU, H100, Object, claim, device, node, pod, resource_slice, seen


def only(*objects: Object, **more: Any) -> NodeGpus:
    (found,) = seen(*objects, **more).nodes
    return found


def counts(one: NodeGpus) -> tuple[float, float, float, float]:
    return one.gpus, one.allocated, one.free, one.out


# Which GPUs, and how many: recorded label sets.


@pytest.mark.parametrize(
    ("labels", "capacity", "generation", "gpus"),
    [
        pytest.param(H100, {"gpus": 8}, "h100-sxm", 8, id="h100"),
        pytest.param(
            {"nvidia.com/gpu.product": "NVIDIA-L40S-SHARED", "nvidia.com/gpu.replicas": "4"},
            {"gpus": 8},
            "l40s",
            2,
            id="time-sliced",
        ),
        pytest.param(
            {"nvidia.com/gpu.product": "NVIDIA-L40S", "nvidia.com/gpu.replicas": "4"},
            {"nvidia.com/gpu.shared": 8},
            "l40s",
            2,
            id="time-sliced-under-a-name-of-its-own",
        ),
        pytest.param(
            {
                "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb",
                "nvidia.com/gpu.count": "14",
            },
            {"gpus": 14},
            "a100-sxm-40",
            2,
            id="mig-single",
        ),
        pytest.param(
            {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"},
            # Of 8: two whole, three of two 3g each, three of 2g.20gb, 3 each.
            {"gpus": 2, "nvidia.com/mig-3g.40gb": 6, "nvidia.com/mig-2g.20gb": 9},
            "a100-sxm-80",
            8,
            id="mig-mixed",
        ),
        pytest.param(
            {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"},
            {"nvidia.com/mig-1g.20gb": 8},  # 80 GB hold four of them, though there are 7 slices
            "h100-sxm",
            2,
            id="mig-by-memory",
        ),
        pytest.param(
            {"nvidia.com/gpu.product": "NVIDIA-GB200", "nvidia.com/gpu.clique": "u.1"},
            {"gpus": 4},
            "gb200",
            4,
            id="gb200",
        ),
        pytest.param(
            {
                "karpenter.k8s.aws/instance-gpu-name": "a100",
                "node.kubernetes.io/instance-type": "p4de.24xlarge",
            },
            {"gpus": 8},
            "a100-sxm-80",  # and not the 40 GB part that Karpenter calls a100 too
            8,
            id="by-machine-type",
        ),
        pytest.param(
            {"cloud.google.com/gke-accelerator": "nvidia-l4"}, {"gpus": 1}, "l4", 1, id="gke"
        ),
        pytest.param(
            {"nvidia.com/gpu.product": "NVIDIA-FX-1"}, {"gpus": 1}, None, 1, id="not-in-catalogue"
        ),
        pytest.param({}, {"gpus": 3}, None, 3, id="unlabelled"),
        pytest.param(
            {"amd.com/gpu.product-name": "AMD Instinct MI300X"},
            {"amd.com/gpu": 8},
            "mi300x",
            8,
            id="amd",
        ),
    ],
)
def test_labels_and_resources_tell_which_gpus_there_are(
    labels: dict[str, str], capacity: dict[str, int], generation: str | None, gpus: int
) -> None:
    found = only(node(labels=labels, **capacity))

    assert (found.generation, found.gpus, found.free) == (generation, gpus, gpus)


def test_a_node_without_gpus_is_no_part_of_the_fleet() -> None:
    assert seen(node(cpu=64)).nodes == ()


def test_a_node_whose_driver_is_not_up_yet_has_gpus_that_nobody_can_have() -> None:
    snapshot = seen(node(labels={"node.kubernetes.io/instance-type": "p5.48xlarge"}))

    assert [counts(one) for one in snapshot.nodes] == [(8, 0, 0, 8)]
    assert snapshot.remarks == ("node n1: nobody gives out its 8 GPUs yet",)


@pytest.mark.parametrize(
    "label", ["nvidia.com/gpu.present", "feature.node.kubernetes.io/pci-10de.present"]
)
def test_a_node_that_nobody_has_counted_is_no_node_without_gpus(label: str) -> None:
    snapshot = seen(node(labels={label: "true"}, cpu=64))

    assert snapshot.nodes == ()
    assert snapshot.remarks == ("node n1 has GPUs that nobody has counted yet",)


# By device plugin.


def test_pods_take_what_they_ask_for_and_ended_ones_do_not() -> None:
    ended = pod("done", gpus=2)
    ended["status"]["phase"] = "Succeeded"

    found = only(node(gpus=8), pod("a", gpus=2), pod("b", gpus=1), ended, pod("far", "n2", gpus=4))

    assert counts(found) == (8, 3, 5, 0)
    assert [(use.pod, use.gpus) for use in found.uses] == [("a", 2), ("b", 1)]


def test_init_containers_and_sidecars_count_as_the_scheduler_counts_them() -> None:
    one = pod("a", gpus=1)
    one["spec"]["initContainers"] = [
        {"name": "load", "resources": {"limits": {GPU: "2"}}},
        {"name": "sidecar", "restartPolicy": "Always", "resources": {"limits": {GPU: "1"}}},
    ]

    assert only(node(gpus=8), one).allocated == 2  # max(1 + 1, 2)


def test_a_time_sliced_gpu_is_taken_by_shares() -> None:
    labels = {"nvidia.com/gpu.product": "Tesla-T4-SHARED", "nvidia.com/gpu.replicas": "4"}

    assert counts(only(node(labels=labels, gpus=4), pod("a", gpus=1))) == (1, 0.25, 0.75, 0)


def test_a_mig_slice_is_a_seventh() -> None:
    labels = {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb"}

    found = only(node(labels=labels, gpus=7), pod("a", gpus=7))

    assert counts(found) == (1, 1, 0, 0)


def test_gpus_that_are_unhealthy_are_out() -> None:
    found = only(node(gpus=8, allocatable={GPU: 7}), pod("a", gpus=4))

    assert counts(found) == (8, 4, 3, 1)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"status": {"conditions": []}}, id="not-ready"),
        pytest.param({"spec": {"unschedulable": True}}, id="cordoned"),
        pytest.param(
            {"spec": {"taints": [{"key": "karpenter.sh/disrupted", "effect": "NoSchedule"}]}},
            id="on-its-way-out",
        ),
    ],
)
def test_free_gpus_of_a_node_that_takes_no_pods_are_out(change: dict[str, Object]) -> None:
    one = node(gpus=8)
    for key, value in change.items():
        one[key] = {**one[key], **value}

    assert counts(only(one, pod("a", gpus=2))) == (8, 2, 0, 6)


# By DRA.


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


# By both.


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


# How the free ones lie.


def report(*islands: int | None, **more: object) -> dict[str, str]:
    gpus = [{"index": i, "uuid": f"GPU-gpu-{i}", "island": one} for i, one in enumerate(islands)]
    return {"foresail.io/gpu-report": json.dumps({"schema": 1, "gpus": gpus, **more})}


@pytest.mark.parametrize(
    ("labels", "annotations", "used", "lie"),
    [
        pytest.param(H100, {}, 0, Lie(islands=1, whole=1, fragmented=0), id="untouched"),
        pytest.param(H100, {}, 3, Lie(islands=1, whole=0, fragmented=5), id="one-switch"),
        pytest.param(H100, {}, 8, Lie(islands=1, whole=0, fragmented=0), id="all-used"),
        pytest.param(
            {"nvidia.com/gpu.product": "NVIDIA-L40S"},
            {},
            3,
            Lie(islands=8, whole=5, fragmented=0),
            id="no-nvlink-nothing-to-break",
        ),
        pytest.param(
            {"nvidia.com/gpu.product": "NVIDIA-A100-80GB-PCIe"}, {}, 3, None, id="bridges-unknown"
        ),
        pytest.param(
            {"nvidia.com/gpu.product": "NVIDIA-A100-80GB-PCIe"},
            report(0, 0, 1, 1, 2, 2, 3, 3),
            3,
            Lie(islands=4, whole=2, fragmented=1),
            id="bridges-reported",
        ),
        pytest.param(
            {"nvidia.com/gpu.product": "NVIDIA-A100-80GB-PCIe"},
            report(0, 0, None, None, 2, 2, 3, 3),
            3,
            None,
            id="reported-in-part",
        ),
        pytest.param({}, {}, 3, None, id="which-gpus-is-unknown"),
    ],
)
def test_free_gpus_are_fragmented_where_their_island_is_partly_in_use(
    labels: dict[str, str], annotations: dict[str, str], used: int, lie: Lie | None
) -> None:
    found = only(node(labels=labels, annotations=annotations, gpus=8), pod("a", gpus=used))

    assert found.lie == lie


def test_dra_tells_which_island_is_broken() -> None:
    pairs = resource_slice(
        *(device(f"gpu-{i}", productName="NVIDIA A100 80GB PCIe") for i in range(4))
    )
    worst = claim("c", "gpu-0", "gpu-2", pods=("a",))

    found = only(node(annotations=report(0, 0, 1, 1)), pairs, worst)

    assert found.lie == Lie(islands=2, whole=0, fragmented=2)


def test_mig_leaves_no_island_to_break() -> None:
    labels = {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb"}

    assert only(node(labels=labels, gpus=14), pod("a", gpus=1)).lie == Lie(
        islands=2, whole=1, fragmented=0
    )


@pytest.mark.parametrize(
    "annotation",
    [
        pytest.param("{", id="not-json"),
        pytest.param('{"schema": 2, "gpus": []}', id="newer-schema"),
        pytest.param('{"schema": 1, "gpus": null, "unknown": "no driver"}', id="unknown"),
        pytest.param('{"schema": 1, "bootId": "old", "gpus": []}', id="earlier-boot"),
    ],
)
def test_a_report_that_tells_nothing_of_now_changes_nothing(annotation: str) -> None:
    one = node(annotations={"foresail.io/gpu-report": annotation}, labels=H100, gpus=8)
    one["status"]["nodeInfo"] = {"bootID": "new"}

    assert counts(only(one)) == (8, 0, 8, 0)


def test_gpus_that_the_agent_sees_and_nobody_gives_out_are_out() -> None:
    found = only(node(annotations=report(*[0] * 8), labels=H100, gpus=4), pod("a", gpus=4))

    assert counts(found) == (8, 4, 0, 4)


# At what price.


P5 = {"node.kubernetes.io/instance-type": "p5.48xlarge"}


@pytest.mark.parametrize(
    ("labels", "annotations", "prices", "usd"),
    [
        pytest.param(P5, {}, {}, 6.88, id="list"),  # 55.04 $ over 8
        pytest.param(P5 | {"karpenter.sh/capacity-type": "spot"}, {}, {}, None, id="spot"),
        pytest.param(P5, {}, {"h100-sxm": 2.5}, 2.5, id="operators-by-generation"),
        pytest.param(
            P5, {}, {"h100-sxm": 2.5, "p5.48xlarge": 3.0}, 3.0, id="operators-by-machine-type"
        ),
        pytest.param(
            P5,
            {"foresail.io/usd-per-gpu-hour": "1.99"},
            {"h100-sxm": 2.5},
            1.99,
            id="annotation-first",
        ),
        pytest.param(H100, {}, {}, None, id="own-iron"),
        pytest.param(
            {"node.kubernetes.io/instance-type": "a3-highgpu-8g"}, {}, {}, None, id="not-looked-up"
        ),
    ],
)
def test_a_price_has_a_source_or_is_unknown(
    labels: dict[str, str],
    annotations: dict[str, str],
    prices: dict[str, float],
    usd: float | None,
) -> None:
    found = only(node(labels=labels, annotations=annotations, gpus=8), prices=prices)

    assert found.usd_per_gpu_hour == usd
    assert (found.price_source is None) == (usd is None)


# And for any input.


def test_waiting_pods_ask_for_gpus_that_are_not_there() -> None:
    snapshot = seen(node(gpus=8), pod("a", on=None, gpus=4), pod("b", on=None))

    assert snapshot.waiting_gpus == 4


@pytest.mark.parametrize(
    ("request_of", "gpus"),
    [
        pytest.param({"exactly": {"deviceClassName": "gpu", "count": 4}}, 4, id="count"),
        pytest.param({"exactly": {"deviceClassName": "gpu"}}, 1, id="one-unless-said"),
        pytest.param({"exactly": {"deviceClassName": "nic", "count": 4}}, 0, id="no-gpu"),
        pytest.param({"exactly": {"deviceClassName": "gpu", "allocationMode": "All"}}, 0, id="all"),
        pytest.param(
            {
                "firstAvailable": [
                    {"name": "new", "deviceClassName": "gpu", "count": 2},
                    {"name": "old", "deviceClassName": "gpu", "count": 4},
                ]
            },
            2,
            id="first-choice",
        ),
    ],
)
def test_claims_of_waiting_pods_ask_for_gpus(request_of: Object, gpus: float) -> None:
    def device_class(name: str, driver: str) -> Object:
        expression = f"device.driver == '{driver}'"
        spec = {"selectors": [{"cel": {"expression": expression}}]}
        return {"kind": "DeviceClass", "metadata": {"name": name}, "spec": spec}

    waiting = [pod("a", on=None), pod("b", on=None)]
    for one in waiting:
        one["spec"]["resourceClaims"] = [{"name": "gpu", "resourceClaimName": "c"}]
    asked = {
        "kind": "ResourceClaim",
        "metadata": {"name": "c", "namespace": "llm"},
        "spec": {"devices": {"requests": [{"name": "gpu", **request_of}]}},
    }
    classes = (device_class("gpu", "gpu.nvidia.com"), device_class("nic", "dra.net"))

    snapshot = seen(*waiting, *classes, asked)

    assert snapshot.waiting_gpus == gpus  # once, though two pods share the claim


@given(
    gpus=st.integers(0, 16),
    allocatable=st.integers(0, 16),
    slices=st.integers(0, 16),
    given_out=st.sets(st.integers(0, 15)),
    asks=st.lists(st.integers(0, 8), max_size=6),
    replicas=st.sampled_from(["1", "2", "7", "x", ""]),
    ready=st.booleans(),
)
def test_gpus_are_allocated_free_or_out_and_never_counted_twice(  # noqa: PLR0913, PLR0917
    gpus: int,
    allocatable: int,
    slices: int,
    given_out: set[int],
    asks: list[int],
    replicas: str,
    ready: bool,
) -> None:
    labels = H100 | {"nvidia.com/gpu.replicas": replicas}
    snapshot = seen(
        node(labels=labels, ready=ready, gpus=gpus, allocatable={GPU: allocatable}),
        resource_slice(*(device(f"gpu-{index}") for index in range(slices))),
        claim("c", *(f"gpu-{index}" for index in sorted(given_out)), pods=("a",)),
        *(pod(f"p{index}", gpus=count) for index, count in enumerate(asks)),
    )

    for one in snapshot.nodes:
        assert one.allocated + one.free + one.out == pytest.approx(one.gpus, abs=1e-5)
        assert min(one.allocated, one.free, one.out) >= 0
        assert one.gpus <= max(gpus, slices)
        assert one.lie is None or 0 <= one.lie.fragmented <= one.free + 1e-5
    assert all(isinstance(remark, str) for remark in snapshot.remarks)


JUNK: tuple[object, ...] = (None, True, -1, 1e400, "", "x", [], {}, [None], {"x": "y"}, [[]])


def spoiled(value: object) -> Iterator[object]:
    """`value` with each of its parts, in turn, as it should not be."""
    yield from JUNK
    match value:
        case dict():
            for key, inner in value.items():
                yield from ({**value, key: bad} for bad in spoiled(inner))
        case list():
            for index, inner in enumerate(value):
                yield from ([*value[:index], bad, *value[index + 1 :]] for bad in spoiled(inner))


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(
            node(labels=H100, annotations=report(0, 0), gpus=2, **{"nvidia.com/mig-1g.5gb": 7}),
            id="node",
        ),
        pytest.param(pod("a", gpus=1), id="pod"),
        pytest.param(resource_slice(device("gpu-0", taints=[{"key": "k"}])), id="slice"),
        pytest.param(claim("c", "gpu-0", pods=("a",)), id="claim"),
        pytest.param(
            {
                "metadata": {"name": "gpu"},
                "spec": {
                    "selectors": [{"cel": {"expression": "device.driver == 'gpu.nvidia.com'"}}],
                    "extendedResourceName": GPU,
                },
                "kind": "DeviceClass",
            },
            id="class",
        ),
        pytest.param(
            {"metadata": {"name": "p"}, "spec": {"limits": {GPU: "8"}}, "kind": "NodePool"},
            id="pool",
        ),
    ],
)
def test_an_object_that_is_not_as_it_should_be_breaks_nothing(document: Object) -> None:
    for bad in spoiled(document):
        if isinstance(bad, dict):
            others = (node("n1", gpus=1), resource_slice(device("gpu-0")))
            snapshot = seen({**bad, "kind": document["kind"]}, *others)
            assert sum(one.gpus for one in snapshot.nodes) >= 1
