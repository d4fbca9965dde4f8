"""GPUs that pods without a node ask for."""

from typing import Any

import pytest

from fleet.catalogue import shipped
from fleet.cluster.pods import Pod, pod_of
from fleet.cluster.reading import Cluster
from fleet.snapshot import Known, snapshot_of
from tests.fleet.objects import NOW_SECONDS, Object, claim, node, pod, seen


def waiting(name: str, **more: Any) -> Pod:
    return pod_of(pod(name, on=None, **more))


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


@pytest.mark.parametrize(
    ("cluster", "waiting"),
    [
        pytest.param(Cluster(name="c", pods=None), None, id="no-pods"),
        pytest.param(
            Cluster(name="c", pods=(waiting("a", claims=("c",)),), classes=None),
            None,
            id="a-claim-of-unknown-class",
        ),
        pytest.param(
            Cluster(name="c", pods=(waiting("a", gpus=2),), classes=None, claims=None),
            2,
            id="by-device-plugin",
        ),
    ],
)
def test_what_waits_is_unknown_where_what_would_tell_was_not_read(
    cluster: Cluster, waiting: float | None
) -> None:
    known = Known(catalogue=shipped())

    assert snapshot_of(cluster, known, None, NOW_SECONDS).waiting_gpus == waiting


def template(name: str) -> Object:
    one = pod(name, on=None)
    one["spec"]["resourceClaims"] = [{"name": "gpu", "resourceClaimTemplateName": "t"}]
    return one


@pytest.mark.parametrize(
    "of_unknown_size",
    [
        pytest.param(pod("b", on=None, **{"nvidia.com/mig-1g.10gb": 1}), id="part"),
        pytest.param(pod("b", on=None, **{"nvidia.com/gpu.shared": 1}), id="shared"),
        pytest.param(template("b"), id="claim-to-be-made"),
    ],
)
def test_what_waits_is_unknown_where_a_pod_asks_for_no_number_of_gpus(
    of_unknown_size: Object,
) -> None:
    snapshot = seen(pod("a", on=None, gpus=4), of_unknown_size)

    assert snapshot.waiting_gpus is None
    (remark,) = snapshot.remarks
    assert "ask for 4 GPUs, and for an unknown number: llm/b by parts of GPUs" in remark


def test_devices_that_a_claim_has_already_are_not_waited_for() -> None:
    asks = {"name": "gpu", "exactly": {"deviceClassName": "gpu", "count": 4}}
    expression = "device.driver == 'gpu.nvidia.com'"
    classes = {
        "kind": "DeviceClass",
        "metadata": {"name": "gpu"},
        "spec": {"selectors": [{"cel": {"expression": expression}}]},
    }
    given = {**claim("c", "gpu-0", pods=("b",)), "spec": {"devices": {"requests": [asks]}}}

    assert seen(pod("a", on=None, claims=("c",)), classes, given).waiting_gpus == 0
