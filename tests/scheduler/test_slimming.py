"""What is left out between the API server and the intake changes no answer."""

from typing import Any

import pytest

from scheduler.history import USUAL, History
from scheduler.intake import Intake, Kind
from scheduler.machines import machine_of
from scheduler.mix import Mix
from scheduler.placement_state import PlacementState
from scheduler.pods import pod_of
from scheduler.slimming import slim
from tests.scheduler.objects import H100, claim, device_class, node, pod, resource_slice

MIB = 2**20
METADATA = {"name": "a", "namespace": "b", "uid": "c"}


def test_a_node_is_the_same_machine() -> None:
    whole = node("a", gpus=4, islands=(0, 0, 1, 1))
    whole["metadata"]["labels"] |= {"nvidia.com/gpu.clique": "f.1", "example.com/team": "x"}
    whole["metadata"]["managedFields"] = [{"manager": "kubelet"}]
    whole["status"]["images"] = [
        {"names": ["vllm:1"], "sizeBytes": 9000 * MIB},
        {"names": ["pause:1"], "sizeBytes": MIB},
        {"names": ["unknown:1"]},
    ]
    small = slim(Kind.NODE, whole)
    assert machine_of(small) == machine_of(whole)
    assert machine_of(small).images == {"vllm:1", "unknown:1"}
    assert set(small["metadata"]["labels"]) == {"nvidia.com/gpu.product", "nvidia.com/gpu.clique"}


def test_a_pod_is_the_same_pod() -> None:
    whole = pod("p", gpus=2, claims=("c",), on="a")
    whole["metadata"]["labels"] = {"leaderworkerset.sigs.k8s.io/name": "g"}
    whole["spec"]["containers"][0] |= {"image": "vllm:1", "env": [{"name": "X", "value": "y"}]}
    whole["spec"]["initContainers"] = [
        {"name": "i", "restartPolicy": "Always", "resources": {"requests": {"cpu": "1"}}}
    ]
    whole["status"]["resourceClaimStatuses"] = [{"name": "c", "resourceClaimName": "c-x1"}]
    small = slim(Kind.POD, whole)
    assert pod_of(small) == pod_of(whole)
    assert small["spec"]["nodeName"] == "a"
    assert "env" not in small["spec"]["containers"][0]


@pytest.mark.parametrize("kind", [Kind.SLICE, Kind.CLAIM, Kind.CLASS])
def test_slices_claims_and_classes_tell_the_same(kind: Kind) -> None:
    events: dict[Kind, dict[str, Any]] = {
        Kind.CLASS: device_class(),
        Kind.NODE: node("a"),
        Kind.SLICE: resource_slice("a", H100, H100),
        Kind.CLAIM: claim("c", (H100, 2)),
    }

    def counts(one: Kind | None) -> list[int]:
        made = Intake(PlacementState((), Mix(dict(USUAL))), History())
        for each, document in events.items():
            made.changed(each, slim(each, document) if each is one else document, 0)
        wanted = made.claims["llm/c"]
        assert wanted is not None
        return made.placement.occupancy.predictor.of(wanted, 0).count.tolist()[:1]

    assert counts(kind) == counts(None) == [2]


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize(
    "document",
    [
        pytest.param({"metadata": METADATA, "spec": 3}, id="spec"),
        pytest.param({"metadata": METADATA}, id="bare"),
        pytest.param(
            {"metadata": METADATA, "spec": {"devices": 7},
             "status": []},
            id="status",
        ),
    ],
)  # fmt: skip
def test_an_object_that_is_none_is_counted_and_stops_nothing(
    kind: Kind, document: dict[str, Any]
) -> None:
    made = Intake(PlacementState((), Mix(dict(USUAL))), History())
    made.changed(kind, slim(kind, document), 0)
    made.changed(Kind.NODE, slim(Kind.NODE, node("b", gpus=1)), 0)
    assert "b" in made.placement.occupancy.row
