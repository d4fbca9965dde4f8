"""GPUs that pods without a node ask for."""

from typing import Any

import pytest

from fleet.catalogue import shipped
from fleet.cluster.pods import Pod, pod_of
from fleet.cluster.reading import Cluster
from fleet.snapshot import Known, snapshot_of
from tests.fleet.objects import NOW_SECONDS, Object, node, pod, seen


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
