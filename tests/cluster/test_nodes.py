"""A node's record: its state, its place, how it is paid for."""

from typing import Any

import pytest

from fleet.catalogue import shipped
from fleet.cluster.fields import Unreadable
from fleet.cluster.hardware import Prices, hardware_of
from fleet.cluster.kinds import Kind, record_of
from fleet.cluster.nodes import CapacityType, node_of
from fleet.instances import instances

Object = dict[str, Any]


def node(labels: Object | None = None, annotations: Object | None = None, **more: Object) -> Object:
    return {
        "metadata": {"name": "n", "labels": labels or {}, "annotations": annotations or {}},
        **more,
    }


@pytest.mark.parametrize(
    ("labels", "capacity_type"),
    [
        ({"karpenter.sh/capacity-type": "spot"}, CapacityType.SPOT),
        ({"karpenter.sh/capacity-type": "on-demand"}, CapacityType.ON_DEMAND),
        ({"karpenter.sh/capacity-type": "reserved"}, CapacityType.RESERVED),
        ({"eks.amazonaws.com/capacityType": "CAPACITY_BLOCK"}, CapacityType.RESERVED),
        ({"cloud.google.com/gke-spot": "true"}, CapacityType.SPOT),
        ({"kubernetes.azure.com/scalesetpriority": "spot"}, CapacityType.SPOT),
        ({}, None),
    ],
)
def test_labels_tell_how_a_machine_is_paid_for(
    labels: dict[str, str], capacity_type: CapacityType | None
) -> None:
    assert node_of(node(labels)).capacity_type == capacity_type


def test_images_are_kept_where_pulling_them_takes_long_or_their_size_is_not_told() -> None:
    images = [
        {"names": ["vllm:1"], "sizeBytes": 9000 * 2**20},
        {"names": ["pause:1"], "sizeBytes": 2**20},
        {"names": ["unknown:1"]},
    ]
    assert node_of(node(status={"images": images})).images == {"vllm:1", "unknown:1"}


@pytest.mark.parametrize("resource", ["nvidia.com/gpu", "nvidia.com/mig-1g.10gb", "amd.com/gpu"])
@pytest.mark.parametrize("listed", ["allocatable", "capacity"])
@pytest.mark.parametrize("units", ["1e18", "9223372036854775807", "65537"])
def test_a_node_with_more_gpus_than_any_node_has_is_not_read(
    resource: str, listed: str, units: str
) -> None:
    told = record_of(Kind.NODE, node(status={listed: {resource: units}}))

    assert isinstance(told, Unreadable)
    assert told.why.startswith(f"{resource} is ")


@pytest.mark.parametrize("count", ["9" * 24, "1e99", "-1", "8x"])
def test_a_label_that_counts_no_gpus_leaves_the_count_to_the_machine_type(count: str) -> None:
    labels = {
        "karpenter.k8s.aws/instance-gpu-count": count,
        "node.kubernetes.io/instance-type": "p5.48xlarge",
    }
    prices = Prices(instances=instances())

    assert hardware_of(node_of(node(labels)), shipped(), prices).gpus == 8


def test_place_pool_and_machine_type_come_from_labels() -> None:
    made = node_of(
        node(
            {
                "node.kubernetes.io/instance-type": "p5.48xlarge",
                "topology.kubernetes.io/zone": "us-east-1a",
                "karpenter.sh/nodepool": "h100",
            }
        )
    )

    assert (made.instance_type, made.zone, made.pool) == ("p5.48xlarge", "us-east-1a", "h100")


@pytest.mark.parametrize(
    ("more", "out"),
    [
        pytest.param({}, "not ready", id="tells-nothing"),
        pytest.param({"status": "Unknown"}, "not ready", id="silent"),
        pytest.param({"status": "True"}, None, id="ready"),
        pytest.param({"status": "True", "cordoned": True}, "cordoned", id="cordoned"),
        pytest.param({"status": "True", "leaves": True}, "on its way out", id="leaves"),
    ],
)
def test_no_pod_comes_to_a_node_that_is_out(more: Object, out: str | None) -> None:
    conditions = [{"type": "Ready", "status": more["status"]}] if more else []
    taint = {"key": "karpenter.sh/disrupted", "effect": "NoSchedule"}
    spec = {
        "unschedulable": more.get("cordoned", False),
        "taints": [taint] if more.get("leaves") else [],
    }

    assert node_of(node(status={"conditions": conditions}, spec=spec)).out == out


@pytest.mark.parametrize(("value", "protects"), [("true", True), ("30m", False), ("True", False)])
def test_only_true_protects_a_node(value: str, protects: bool) -> None:
    made = node_of(node(annotations={"karpenter.sh/do-not-disrupt": value}))

    assert made.do_not_disrupt is protects


@pytest.mark.parametrize("price", ["0", "-1", "free", "1e90", "1e99999"])
def test_a_price_that_is_none_is_unknown_and_says_why(price: str) -> None:
    made = node_of(node(annotations={"foresail.io/usd-per-gpu-hour": price}))

    assert made.usd_per_gpu_hour is None
    assert made.price_refused == (
        f"annotation foresail.io/usd-per-gpu-hour: {price!r}: it takes dollars above 0, to 1e+06"
    )


@pytest.mark.parametrize(
    ("kind", "document", "why"),
    [
        (Kind.NODE, {"metadata": {"name": "x"}, "spec": 3}, "spec is int, not an object"),
        (Kind.NODE, {"metadata": {}}, "metadata.name is missing"),
        (
            Kind.NODE,
            {"metadata": {"name": "x"}, "status": {"capacity": {"cpu": "many"}}},
            "capacity: cpu: 'many' is no quantity such as 500m, 2 or 16Gi",
        ),
        (
            Kind.SLICE,
            {"metadata": {"name": "x"}, "spec": {"driver": "d", "pool": {}}},
            "spec.driver or spec.pool.name is missing",
        ),
        (
            Kind.CLAIM,
            {"metadata": {"name": "x"}, "spec": {"devices": {"requests": [{"name": "r"}]}}},
            "request r: neither exactly nor firstAvailable",
        ),
        (
            Kind.POD_GROUP,
            {"metadata": {"name": "x"}, "spec": {"minMember": "3"}},
            "minMember or minCount is '3', no number",
        ),
    ],
)
def test_an_object_that_cannot_be_read_is_known_with_the_reason(
    kind: Kind, document: Object, why: str
) -> None:
    record = record_of(kind, document)

    assert isinstance(record, Unreadable)
    assert record.why == why
