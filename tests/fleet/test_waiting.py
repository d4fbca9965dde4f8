"""GPUs that pods without a node ask for."""

import pytest

from tests.fleet.objects import Object, node, pod, seen


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
