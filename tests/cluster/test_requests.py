"""What a pod takes of its node, as kube-scheduler counts it."""

from fractions import Fraction
from typing import Any

import pytest

from fleet.cluster.fields import UnreadableObjectError
from fleet.cluster.requests import requests_of

Object = dict[str, Any]
GPU = "nvidia.com/gpu"


def asks(*, sidecar: bool = False, **requests: str) -> Object:
    named = {key.replace("gpu", GPU): amount for key, amount in requests.items()}
    made: Object = {"name": "c", "resources": {"requests": named}}
    return {**made, "restartPolicy": "Always"} if sidecar else made


@pytest.mark.parametrize(
    ("spec", "cpu"),
    [
        pytest.param({"containers": [asks(cpu="1"), asks(cpu="500m")]}, "3/2", id="containers-add"),
        pytest.param(
            {"containers": [asks(cpu="1")], "initContainers": [asks(cpu="3"), asks(cpu="2")]},
            "3",
            id="the-largest-init-container",
        ),
        pytest.param(
            # 1 + 0.5 while it runs; 0.5 + 1.2 while the second init container does.
            {
                "containers": [asks(cpu="1")],
                "initContainers": [asks(cpu="500m", sidecar=True), asks(cpu="1200m")],
            },
            "17/10",
            id="beside-an-earlier-sidecar",
        ),
        pytest.param(
            # The init container is over before the sidecar starts: max(1 + 0.5, 1.2).
            {
                "containers": [asks(cpu="1")],
                "initContainers": [asks(cpu="1200m"), asks(cpu="500m", sidecar=True)],
            },
            "3/2",
            id="before-a-later-sidecar",
        ),
        pytest.param(
            {"containers": [asks(cpu="1"), asks()], "resources": {"requests": {"cpu": "4"}}},
            "4",
            id="the-pod-as-a-whole",
        ),
        pytest.param(
            {"containers": [asks()], "resources": {"limits": {"cpu": "4"}}},
            "4",
            id="a-limit-of-the-pod",
        ),
        pytest.param(
            {"containers": [asks(cpu="1")], "overhead": {"cpu": "250m"}}, "5/4", id="overhead"
        ),
        pytest.param(
            {"containers": [{"name": "c", "resources": {"limits": {"cpu": "2"}}}]},
            "2",
            id="a-limit-without-a-request",
        ),
    ],
)
def test_cpu_is_counted_as_kube_scheduler_counts_it(spec: Object, cpu: str) -> None:
    assert requests_of(spec)["cpu"] == Fraction(cpu)


def test_extended_resources_of_the_containers_stay_beside_those_of_the_pod() -> None:
    spec = {
        "containers": [asks(cpu="1", gpu="2")],
        "resources": {"requests": {"cpu": "8", "memory": "64Gi"}},
    }

    assert requests_of(spec) == {"cpu": 8, "memory": 64 * 2**30, GPU: 2}


@pytest.mark.parametrize("amount", ["-1", "many", "NaN"])
def test_an_amount_that_makes_no_sense_is_named(amount: str) -> None:
    with pytest.raises(UnreadableObjectError, match=r"requests: cpu"):
        requests_of({"containers": [asks(cpu=amount)]})
