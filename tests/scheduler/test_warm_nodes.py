"""Images and weights that a node has already, by whatever name pods and runtimes call them."""

import pytest

from fleet.cluster.kinds import Kind
from scheduler.history import USUAL, History
from scheduler.intake import Intake
from scheduler.mix import Mix
from scheduler.naming import image_name
from scheduler.placement_state import SCORE_MAX, PlacementState
from scheduler.pods import WEIGHTS, pod_of
from tests.scheduler.objects import Json, node, pod, put

DIGEST = f"sha256:{'0' * 64}"


def best(warm: Json, document: Json) -> str:
    """Of a cold node and a warm one, which is the last by name."""
    made = Intake(PlacementState((), Mix(dict(USUAL))), History())
    for one in (node("a", gpus=8), warm):
        put(made, Kind.NODE, one)
    scores = made.placement.prioritise(pod_of(document), ["a", "warm"], now_seconds=0)
    return ["a", "warm"][scores.index(SCORE_MAX)]


@pytest.mark.parametrize(
    ("image", "listed"),
    [
        ("vllm/vllm-openai:v0.33.0", "docker.io/vllm/vllm-openai:v0.33.0"),
        ("vllm/vllm-openai", "docker.io/vllm/vllm-openai:latest"),
        ("pytorch:2", "docker.io/library/pytorch:2"),
        ("docker.io/pytorch", "docker.io/library/pytorch:latest"),
        ("index.docker.io/vllm/vllm-openai:1", "docker.io/vllm/vllm-openai:1"),
        ("localhost/engine", "localhost/engine:latest"),
        ("registry:5000/team/engine", "registry:5000/team/engine:latest"),
        ("ghcr.io/team/engine:1", "ghcr.io/team/engine:1"),
        (f"vllm/vllm-openai:v0.33.0@{DIGEST}", f"docker.io/vllm/vllm-openai@{DIGEST}"),
        (f"ghcr.io/team/engine@{DIGEST}", f"ghcr.io/team/engine@{DIGEST}"),
    ],
)
def test_an_image_is_there_under_the_full_name_that_runtimes_list(image: str, listed: str) -> None:
    assert image_name(image) == image_name(listed) == listed
    warm = node("warm", gpus=8)
    warm["status"]["images"] = [{"names": [listed], "sizeBytes": 9000 * 2**20}]
    document = pod("p", gpus=1)
    document["spec"]["containers"][0]["image"] = image
    assert best(warm, document) == "warm"


@pytest.mark.parametrize("image", ["vllm/vllm-openai:v0.32.0", "quay.io/vllm/vllm-openai:v0.33.0"])
def test_another_tag_or_registry_is_another_image(image: str) -> None:
    warm = node("warm", gpus=8)
    names = ["docker.io/vllm/vllm-openai:v0.33.0"]
    warm["status"]["images"] = [{"names": names, "sizeBytes": 9000 * 2**20}]
    document = pod("p", gpus=1)
    document["spec"]["containers"][0]["image"] = image
    assert best(warm, document) == "a"


@pytest.mark.parametrize("model", ["llama", "qwen", " qwen "])
def test_weights_are_listed_with_or_without_blanks(model: str) -> None:
    warm = node("warm", gpus=8, **{"weights-cached": "llama, qwen"})
    document = pod("p", gpus=1)
    document["metadata"]["annotations"] = {WEIGHTS: model}
    assert best(warm, document) == "warm"
