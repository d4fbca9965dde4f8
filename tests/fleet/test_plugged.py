"""Which GPUs a node has and who has them, by labels and by device plugin."""

from typing import Any

import pytest

from fleet.account.partition import parts_of
from fleet.reasons import Reason
from tests.fleet.objects import (
    GPU,
    H100,
    Object,
    counts,
    node,
    node_claim,
    only,
    pod,
    report,
    seen,
)

P5 = {"node.kubernetes.io/instance-type": "p5.48xlarge"}


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
            {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"},
            # Each of 8 is cut into a 3g and four 1g.
            {"nvidia.com/mig-3g.40gb": 8, "nvidia.com/mig-1g.10gb": 32},
            "a100-sxm-80",
            8,
            id="mig-mixed-on-each",
        ),
        pytest.param(
            {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"},
            {"nvidia.com/mig-4g.40gb": 8, "nvidia.com/mig-3g.40gb": 8},
            "a100-sxm-80",
            8,
            id="mig-halves-of-two-sizes",
        ),
        pytest.param(
            {"node.kubernetes.io/instance-type": "p4de.24xlarge"},
            {"nvidia.com/mig-4g.40gb": 8, "nvidia.com/mig-3g.40gb": 8},
            "a100-sxm-80",
            8,
            id="mig-halves-of-two-sizes-by-machine-type",
        ),
        pytest.param(
            {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"},
            {"nvidia.com/mig-2g.20gb": 7},  # three to a GPU, though 7 times 2 are two sevens
            "a100-sxm-80",
            3,
            id="mig-of-one-size",
        ),
        pytest.param(
            {"nvidia.com/gpu.product": "NVIDIA-H200"},
            {"nvidia.com/mig-3g.71gb": 4},  # two to a GPU, though twice 71 is more than its 141
            "h200-sxm",
            2,
            id="mig-named-by-more-than-its-memory",
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
    assert snapshot.remarks == ("node n1: no driver offers its 8 GPUs yet",)


@pytest.mark.parametrize(
    "label", ["nvidia.com/gpu.present", "feature.node.kubernetes.io/pci-10de.present"]
)
def test_a_node_that_nobody_has_counted_is_no_node_without_gpus(label: str) -> None:
    snapshot = seen(node(labels={label: "true"}, cpu=64))

    assert snapshot.nodes == ()
    assert snapshot.remarks == ("node n1 has GPUs, and their number is not known yet",)


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


def test_parts_of_one_gpu_are_together_one() -> None:
    labels = {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"}
    large, small = "nvidia.com/mig-3g.40gb", "nvidia.com/mig-1g.10gb"
    cut = node(labels=labels, **{large: 1, small: 4})

    assert counts(only(cut, pod("a", **{large: 1}), pod("b", **{small: 4}))) == (1, 1, 0, 0)


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


def test_free_gpus_of_a_node_that_karpenter_has_not_initialized_are_out() -> None:
    tainted = {"taints": [{"key": "example.com/driver-not-ready", "effect": "NoSchedule"}]}
    one = {**node(gpus=8), "spec": tainted}

    found = only(one, pod("a", gpus=2), node_claim("c", "Launched", "Registered", on="n1"))

    assert counts(found) == (8, 2, 0, 6)
    assert found.out_reason == "not initialized"


def test_gpus_of_a_node_that_karpenter_has_initialized_are_free() -> None:
    ready = node_claim("c", "Launched", "Registered", "Initialized", on="n1")

    assert counts(only(node(gpus=8), ready)) == (8, 0, 8, 0)


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param({"node.kubernetes.io/instance-type": "p5.48xlarge"}, id="machine type"),
        pytest.param({"karpenter.k8s.aws/instance-gpu-count": "8"}, id="label"),
    ],
)
def test_a_gpu_that_the_driver_lost_is_out(labels: dict[str, str]) -> None:
    snapshot = seen(node(labels=labels, annotations=report(*range(7)), gpus=7), pod("a", gpus=2))

    (found,) = snapshot.nodes
    assert counts(found) == (8, 2, 5, 1)
    assert found.out_reason == "the driver finds 7 of 8"
    (remark,) = snapshot.remarks
    assert remark.startswith(
        "node n1: its driver finds 7 of its 8 GPUs, and it is paid for in full"
    )


def test_a_machine_that_has_lost_all_gpus_is_out_of_service_and_in_the_bill() -> None:
    snapshot = seen(node(labels=P5, annotations=report(), gpus=0))

    (found,) = snapshot.nodes
    assert (counts(found), found.out_reason) == ((8, 0, 0, 8), "the driver finds 0 of 8")
    assert found.usd_per_gpu_hour == pytest.approx(55.04 / 8)
    assert {part.reason for part in parts_of(found) if part.gpus} == {Reason.OUT}
    assert [remark.partition(",")[0] for remark in snapshot.remarks] == [
        "node n1: its driver finds 0 of its 8 GPUs"
    ]


def test_a_node_whose_device_plugin_is_not_up_yet_starts_also_where_a_gpu_is_lost() -> None:
    found = only(node(labels=P5, annotations=report(*range(7))))

    assert (found.initialized, found.out_reason) == (False, "no driver offers it yet")


def test_slices_of_the_gpus_that_are_left_are_no_more_gpus() -> None:
    labels = {"node.kubernetes.io/instance-type": "p4d.24xlarge"}
    left = node(labels=labels, annotations=report(*range(7)), **{"nvidia.com/mig-1g.5gb": 49})

    assert counts(only(left, pod("a", **{"nvidia.com/mig-1g.5gb": 7}))) == (8, 1, 6, 1)


def test_an_agent_that_finds_more_than_is_known_of_the_machine_counts() -> None:
    labels = {"node.kubernetes.io/instance-type": "g5.xlarge"}

    assert only(node(labels=labels, annotations=report(0, 1), gpus=2)).gpus == 2


@pytest.mark.parametrize(
    ("machine", "units", "gpus"),
    [
        pytest.param(
            {"labels": {"node.kubernetes.io/instance-type": "g5.xlarge"}}, 10, 1, id="ten"
        ),
        pytest.param(
            {"labels": {"node.kubernetes.io/instance-type": "p4d.24xlarge"}}, 56, 8, id="mig-single"
        ),
        pytest.param(
            {"labels": {"node.kubernetes.io/instance-type": "g5.12xlarge"}}, 5, 4, id="one-of-four"
        ),
        pytest.param({"labels": {"karpenter.k8s.aws/instance-gpu-count": "2"}}, 8, 2, id="label"),
        pytest.param({"annotations": report(0, 0)}, 8, 2, id="agent"),
        pytest.param({"labels": P5, "annotations": report(*range(8))}, 80, 8, id="both"),
    ],
)
def test_gpus_that_pods_share_without_a_label_are_as_many_as_there_are(
    machine: dict[str, Any], units: int, gpus: int
) -> None:
    snapshot = seen(node(**machine, gpus=units), pod("a", gpus=1))

    (found,) = snapshot.nodes
    part = pytest.approx(gpus / units)
    assert counts(found) == (gpus, part, pytest.approx(gpus - gpus / units), 0)
    (remark,) = snapshot.remarks
    assert remark.startswith(f"node n1: its device plugin gives out its {gpus} GPUs in parts")


def test_whether_nvlink_joins_what_pods_share_without_a_label_is_unknown() -> None:
    assert only(node(labels=P5, gpus=56)).islands is None
    assert only(node(labels=P5, gpus=8)).islands == (tuple(range(8)),)


def test_a_machine_whose_gpus_are_shared_without_a_label_costs_what_it_costs() -> None:
    labels = {"node.kubernetes.io/instance-type": "g5.xlarge"}

    found = only(node(labels=labels, gpus=10))

    assert found.usd_per_gpu_hour is not None
    assert found.gpus * found.usd_per_gpu_hour == pytest.approx(1.006)


@pytest.mark.parametrize("labels", [{}, P5], ids=["agent alone", "machine type"])
def test_a_gpu_that_the_plugin_still_has_and_the_driver_not_is_no_shared_one(
    labels: dict[str, str],
) -> None:
    lost = node(labels=labels, annotations=report(*range(7)), gpus=8, allocatable={GPU: 7})

    assert counts(only(lost, pod("a", gpus=1))) == (8, 1, 6, 1)


def test_whole_gpus_beside_parts_are_whole() -> None:
    labels = {"node.kubernetes.io/instance-type": "p4de.24xlarge"}
    mixed = node(labels=labels, gpus=6, **{"nvidia.com/mig-3g.40gb": 4})

    assert counts(only(mixed, pod("a", gpus=2))) == (8, 2, 6, 0)
