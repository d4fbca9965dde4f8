"""Nodes whose device plugin or DRA driver is away while pods have their GPUs."""

from dataclasses import replace
from typing import Any

import pytest

from fleet.account.node import NodeGpus
from fleet.account.partition import parts_of
from fleet.catalogue import shipped
from fleet.cluster.hardware import Prices
from fleet.instances import instances
from fleet.reasons import Reason
from fleet.snapshot import Known, snapshot_of
from tests.fleet.objects import (
    GPU,
    NOW_SECONDS,
    Object,
    claim,
    cluster,
    counts,
    device,
    node,
    only,
    pod,
    resource_slice,
    seen,
)

P5 = {"node.kubernetes.io/instance-type": "p5.48xlarge"}
MIG = "nvidia.com/mig-1g.5gb"
KNOWN = Known(catalogue=shipped(), prices=Prices(instances=instances()))


def ready(name: str, **more: Any) -> Object:
    one = pod(name, **more)
    one["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    return one


def reasons(one: NodeGpus) -> dict[str, float]:
    return {part.reason.value: part.gpus for part in parts_of(one) if part.gpus}


def test_pods_keep_the_gpus_of_a_device_plugin_that_is_away() -> None:
    snapshot = seen(node(labels=P5, gpus=0), ready("a", gpus=6, labels={"model": "m"}))

    (found,) = snapshot.nodes
    assert counts(found) == (8, 6, 0, 2)
    assert [(use.pod, use.model, use.gpus) for use in found.uses] == [("a", "m", 6)]
    assert found.out_reason == "its driver is gone"
    assert reasons(found) == {Reason.SERVING: 6, Reason.OUT: 2}
    (remark,) = snapshot.remarks
    assert remark.startswith("node n1: its driver is gone: pods have 6 of its 8 GPUs")


def test_pods_keep_the_gpus_of_a_dra_driver_that_is_away() -> None:
    held = claim("c1", *(f"gpu-{index}" for index in range(6)), pods=("a",))

    found = only(node(labels=P5), held, ready("a", claims=("c1",)))

    assert counts(found) == (8, 6, 0, 2)
    assert found.devices == ()
    assert reasons(found) == {Reason.SERVING: 6, Reason.OUT: 2}


def test_a_node_that_nobody_counts_has_the_gpus_that_its_pods_have_at_least() -> None:
    snapshot = seen(node(gpus=0), ready("a", gpus=3))

    assert [counts(one) for one in snapshot.nodes] == [(3, 3, 0, 0)]
    assert "pods have 3 of its at least 3 GPUs" in snapshot.remarks[0]


def test_a_part_of_a_gpu_stays_a_part() -> None:
    labels = {"node.kubernetes.io/instance-type": "p4d.24xlarge"}

    found = only(node(labels=labels, **{MIG: 0}), pod("a", **{MIG: 7}), pod("b", **{MIG: 7}))

    assert counts(found) == (8, 2, 0, 6)


def test_mig_devices_of_one_gpu_that_no_slice_shows_are_one_gpu() -> None:
    cut = ("gpu-0-mig-1g10gb-19-0", "gpu-0-mig-1g10gb-19-1", "gpu-1-mig-3g40gb-9-0")

    found = only(node(labels=P5), *(claim(one, one, pods=(one,)) for one in cut))

    assert counts(found) == (8, 2, 0, 6)
    assert [use.gpus for use in found.uses] == [0.5, 0.5, 1]


def test_a_pod_that_no_kubelet_took_up_has_nothing() -> None:
    waiting = pod("a", gpus=8)
    waiting["status"]["phase"] = "Pending"

    assert counts(only(node(labels=P5, gpus=0), waiting)) == (8, 0, 0, 8)


def test_a_pod_has_nothing_that_its_node_never_gave_out() -> None:
    assert seen(node(cpu=8), pod("a", gpus=8)).nodes == ()


def test_what_dra_gives_of_an_extended_resource_is_counted_once() -> None:
    one = pod("a", gpus=2, claims=("c1",))
    one["status"]["extendedResourceClaimStatus"] = {
        "resourceClaimName": "c1",
        "requestMappings": [{"containerName": "engine", "resourceName": GPU}],
    }

    found = only(node(labels=P5, gpus=0), one, claim("c1", "gpu-0", "gpu-1", pods=("a",)))

    assert counts(found) == (8, 2, 0, 6)


def test_a_gpu_that_left_its_slice_stays_with_its_pod_and_takes_no_other() -> None:
    seven = resource_slice(*(device(f"gpu-{index}") for index in range(7)))
    held = claim("c1", "gpu-6", "gpu-7", pods=("a",))

    assert counts(only(node(labels=P5), seven, held)) == (8, 2, 6, 0)


def test_an_administrators_look_at_a_device_that_is_gone_takes_nothing() -> None:
    look = claim("c1", "gpu-0", pods=("a",), adminAccess=True)

    assert counts(only(node(labels=P5), look)) == (8, 0, 0, 8)


def test_a_device_that_is_no_gpu_does_not_become_one_by_a_claim() -> None:
    partition = device("gpu-0", type="amdgpu-partition")

    found = only(node(labels=P5), resource_slice(partition, device("gpu-1")), claim("c1", "gpu-0"))

    assert found.allocated == 0


def test_claims_of_another_driver_and_of_nodes_that_are_gone_are_no_gpus_here() -> None:
    other = claim("c1", "gpu-0", pods=("a",), on="n2")
    network = claim("c2", "nic-0", pods=("a",), driver="dra.net")

    snapshot = seen(node(labels=P5), other, network)

    assert [counts(one) for one in snapshot.nodes] == [(8, 0, 0, 8)]
    assert snapshot.remarks == ("node n1: no driver offers its 8 GPUs yet",)


@pytest.mark.parametrize(
    ("on", "unread", "kind"),
    [
        pytest.param(node(labels=P5, gpus=0), "pods", "Pod", id="pods of a plugin"),
        pytest.param(node(labels=P5), "claims", "ResourceClaim", id="claims"),
        pytest.param(node(labels=P5), "slices", "ResourceSlice", id="slices"),
    ],
)
def test_what_pods_kept_is_unknown_where_it_was_not_read(
    on: Object, unread: str, kind: str
) -> None:
    held = claim("c1", "gpu-0", pods=("a",))
    missing: dict[str, Any] = {unread: None}
    read = replace(cluster(on, held, pod("a", claims=("c1",))), **missing)

    (found,) = snapshot_of(read, KNOWN, None, NOW_SECONDS).nodes

    assert (counts(found), found.not_read) == ((8, None, None, None), kind)
