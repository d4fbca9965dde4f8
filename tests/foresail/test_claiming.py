"""`foresail claim` as it is called: what is printed can be applied, and says why."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from fleet.catalogue import shipped
from foresail.cli import main
from scheduler.need_annotations import FIELDS
from tests.fleet.api_server import ApiServer
from tests.schemas.kubernetes import VERSIONS, unfit


def claim(*arguments: str) -> str:
    result = CliRunner().invoke(main, ["claim", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def refused(*arguments: str) -> str:
    result = CliRunner().invoke(main, ["claim", *arguments])
    assert result.exit_code == 1, result.output
    return result.output


def test_what_is_printed_is_a_template_that_kubernetes_takes() -> None:
    made = yaml.safe_load(claim("--model-parameters", "70B", "--precision", "fp8"))
    assert made["kind"] == "ResourceClaimTemplate"
    assert made["metadata"]["name"].startswith("foresail-")
    assert [unfit(made, "ResourceClaimTemplate", version) for version in VERSIONS] == [[]] * 4


def test_the_comments_say_the_order_the_memory_and_every_exclusion() -> None:
    lines = claim("--model-parameters", "70B", "--precision", "fp8").splitlines()
    assert lines[:8] == [
        "# foresail claim: 70B fp8, 65.2 GiB weights, 76.4 GiB in all, decode-bound",
        "# memory: 76.4 GiB = weights 65.2 + KV cache 11.3 (32 x 1152 tokens x 320 KiB)",
        "# of each GPU 10% stays free for activations: memory-margin",
        "# device classes: gpu.nvidia.com; not checked, --context NAME reads the cluster's",
        (
            "# $ per million tokens of a full replica at the roofline, and its $ an hour;"
            " list prices as of 2026-07-20"
        ),
        (
            "#   1. 2 x h200-sxm: 0.258, full at 533 requests, 15.82 an hour"
            " (1 x 0.357, 4 x 0.275, 8 x 0.364)"
        ),
        (
            "#   2. 2 x b200: 0.266, full at 731 requests, 28.48 an hour"
            " (1 x 0.326, 4 x 0.285, 8 x 0.366)"
        ),
        (
            "#   3. 1 x b300: 0.319, full at 502 requests, 17.80 an hour"
            " (2 x 0.298, 4 x 0.337, 8 x 0.443)"
        ),
    ]
    (l40s,) = [line for line in lines if "x l40s:" in line]
    assert l40s.startswith("#   6. 4 x l40s: 1.02, ")
    assert ", over PCIe" in l40s
    assert "#   8. 2 x gb200: no price known, full at 675 requests" in lines
    (beyond,) = [line for line in lines if line.endswith(": beyond the 8 that a claim may list")]
    assert "gb300 ?" in beyond
    assert "#   -  mi300x: AMD GPUs come by request only (gpu-vendors)" in lines
    (out,) = [line for line in lines if line.endswith(": no fp8 arithmetic")]
    assert "a100-sxm-80" in out


def test_what_no_node_has_the_memory_for_is_one_line() -> None:
    lines = claim("--model-parameters", "405B").splitlines()
    (out,) = [line for line in lines if line.endswith("of 772 needed")]
    # Eight of 79.6 GiB, a tenth free.
    assert "h100-sxm 573" in out
    assert "gh200-96 78" in out


def test_device_plugins_are_told_the_next_width_of_what_is_too_small() -> None:
    need = ("--model-parameters", "70B", "--precision", "fp8", "--tensor-parallel", "1")
    lines = claim(*need, "--for", "device-plugin").splitlines()
    assert "#   -  h100-sxm: 1 GPU offers 71.6 of 76.4 GiB; 2 hold it" in lines
    assert "# A pod has one number for all nodes: 1, the width of the first." in lines


def test_device_plugins_take_h100_at_the_width_that_is_cheapest_for_a_token() -> None:
    need = ("--model-parameters", "70B", "--precision", "fp8", "--for", "device-plugin")
    made = yaml.safe_load(claim(*need))
    (container,) = made["spec"]["containers"]
    assert container["resources"]["limits"] == {"nvidia.com/gpu": "2"}
    required = made["spec"]["affinity"]["nodeAffinity"][
        "requiredDuringSchedulingIgnoredDuringExecution"
    ]
    products = required["nodeSelectorTerms"][0]["matchExpressions"][0]["values"]
    assert "NVIDIA-H100-80GB-HBM3" in products
    assert not any("AMD" in product for product in products)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[tuple[ApiServer, Path]]:
    """An API server with NVIDIA's class, and a kubeconfig whose context `prod` is of it."""
    server = ApiServer()
    nvidia = {"metadata": {"name": "gpu.nvidia.com"}}
    server.serve("/apis/resource.k8s.io/v1/deviceclasses", "DeviceClass", nvidia)
    await server.start()
    file = tmp_path / "config"
    address = {"server": f"http://127.0.0.1:{server.port}"}
    file.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "c", "cluster": address}],
                "users": [{"name": "u", "user": {}}],
                "contexts": [{"name": "prod", "context": {"cluster": "c", "user": "u"}}],
            }
        )
    )
    yield server, file
    await server.stop()


@pytest.mark.looptime(False)  # sockets live in real time
async def test_only_classes_that_the_cluster_has_are_offered(
    cluster: tuple[ApiServer, Path],
) -> None:
    _, file = cluster
    asked = ("--model-parameters", "405B", "--gpu-vendors", "nvidia|amd")
    everywhere = await asyncio.to_thread(claim, *asked)
    assert "deviceClassName: gpu.amd.com" in everywhere
    at = ("--context", "prod", "--kubeconfig", str(file))
    text = await asyncio.to_thread(claim, *asked, *at)
    assert "deviceClassName: gpu.nvidia.com" in text
    assert "deviceClassName: gpu.amd.com" not in text
    assert "# device classes: gpu.nvidia.com, gpu.amd.com; checked in prod" in text
    assert "#   -  mi300x: the cluster has no DeviceClass gpu.amd.com" in text


@pytest.mark.looptime(False)
async def test_a_cluster_without_the_class_or_without_dra_is_an_error(
    cluster: tuple[ApiServer, Path],
) -> None:
    server, file = cluster
    at = ("--model-parameters", "8B", "--context", "prod", "--kubeconfig", str(file))
    amd = await asyncio.to_thread(refused, *at, "--gpu-vendors", "amd")
    assert "mi300x: the cluster has no DeviceClass gpu.amd.com: install the driver" in amd
    server.collections.clear()
    output = await asyncio.to_thread(refused, *at)
    assert output == (
        "--context prod: /apis/resource.k8s.io/v1/deviceclasses: the cluster has no such resource\n"
        "without DRA use --for device-plugin\n"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--context", "x", "--kubeconfig", "/nowhere"), "--context x: context 'x'"),
        (("--kubeconfig", "/nowhere"), "--kubeconfig names no cluster alone: add --context NAME"),
        (
            ("--context", "x", "--for", "device-plugin"),
            "--context reads DeviceClasses, and device plugins have none",
        ),
    ],
)
def test_a_cluster_that_cannot_be_asked_is_said(arguments: tuple[str, ...], said: str) -> None:
    assert said in refused("--gpu-memory", "1Gi", *arguments)


def test_name_and_namespace_are_as_told() -> None:
    made = yaml.safe_load(claim("--gpu-memory", "20Gi", "--name", "chat", "--namespace", "llm"))
    assert (made["metadata"]["name"], made["metadata"]["namespace"]) == ("chat", "llm")


def test_json_has_the_object_and_the_whole_ranking() -> None:
    told = json.loads(claim("--gpu-memory", "20Gi", "--bottleneck", "kv", "-o", "json"))
    assert told["object"] == yaml.safe_load(claim("--gpu-memory", "20Gi", "--bottleneck", "kv"))
    assert told["unit"] == "$ per 100 GiB-h"
    assert len(told["ranking"]) == len(shipped().generations)
    assert told["ranking"][0] == {
        "generation": "l4",
        "gpus": 1,
        "memoryMibEach": 22756,  # 20 GiB and a tenth free
        "usdPerGpuHour": 0.805,
        "cost": pytest.approx(0.805 / (22_888 / 1024) * 100),
        "fullRequests": None,
        "overPcie": False,
        "otherWidths": [
            {"gpus": 2, "cost": pytest.approx(1.15 / (22_888 / 1024) * 100)},
            {"gpus": 4, "cost": pytest.approx(1.15 / (22_888 / 1024) * 100)},
            {"gpus": 8, "cost": pytest.approx(1.67 / (22_888 / 1024) * 100)},
        ],
        "excluded": None,
    }


def test_device_plugins_get_a_part_of_a_pod() -> None:
    text = claim("--for", "device-plugin", "--model-parameters", "70B", "--gpu-models", "l40s|l4")
    made = yaml.safe_load(text)
    (container,) = made["spec"]["containers"]
    assert container["resources"] == {"limits": {"nvidia.com/gpu": "4"}}
    assert unfit(made["spec"]["affinity"], "Affinity", "1.37.0") == []
    assert "# Merge this into the pod template" in text


def test_an_operators_prices_change_the_order(tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    # As `foresail fleet` takes it too: a claim has no machine yet, and passes such prices over.
    file.write_text("NVIDIA L40S: 0.4\nh200: 9\np5.48xlarge: 4.2\nh100-sxm/spot: 0.1\n")
    told = json.loads(
        claim(
            "--model-parameters",
            "8B",
            "--prices",
            str(file),
            "-o",
            "json",
            "--tensor-parallel",
            "1",
        )
    )
    first = told["ranking"][0]
    assert (first["generation"], first["usdPerGpuHour"]) == ("l40s", 0.4)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param("- 1", "line 1: the file must hold a mapping", id="list"),
        pytest.param("h1000: 2", "'h1000' is no GPU that `foresail gpus` lists", id="name"),
        pytest.param(
            "l4: 1\nl40s: free", "line 2: l40s costs 'free': it takes dollars above 0", id="text"
        ),
        pytest.param("l40s: 0", "l40s costs 0: it takes dollars above 0", id="zero"),
        pytest.param("l40s: 1.0e+300", "it takes dollars above 0, to 1e+06", id="absurd"),
        pytest.param("a: [", "line 1: not YAML: expected the node content", id="no-yaml"),
        pytest.param("l4: 1\nl4: 2", "line 2: key 'l4' is on line 1 already", id="twice"),
    ],
)
def test_prices_that_cannot_be_used_are_refused(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text(content)
    output = refused("--gpu-memory", "1Gi", "--prices", str(file))
    assert f"--prices {file}: " in output
    assert message in output


def test_a_fault_names_option_value_and_what_it_takes() -> None:
    assert refused("--gpu-memory", "1Gi", "--itl", "fast") == (
        "--itl has the value 'fast': it takes a time such as 60ms\n"
    )
    assert refused() == (
        "the size of the model is missing\n"
        "set --model-parameters, such as 70B\n"
        "or --weights-size or --gpu-memory\n"
    )


def test_a_width_that_no_engine_starts_with_is_refused_in_two_lines() -> None:
    assert refused("--model-parameters", "70B", "--tensor-parallel", "3") == (
        "--tensor-parallel has the value '3': GPUs share the attention heads evenly, and 3 divides"
        " few models' heads\n"
        "it takes 2 or 4, or another divisor of the heads where --attention-heads tells them\n"
    )


def test_no_line_of_an_error_is_a_wall() -> None:
    for arguments in (("--model-parameters", "4000B"), ("--gpu-memory", "4Ti"), ()):
        assert all(len(line) <= 140 for line in refused(*arguments).splitlines())


def test_what_nothing_serves_is_no_template() -> None:
    output = refused("--gpu-memory", "4Ti")
    # b300 is the largest: eight of 268.6 GiB, a tenth free.
    assert output.splitlines() == [
        "no GPU generation serves 4096.0 GiB in all, decode-bound",
        (
            "  mi300x: AMD GPUs come by request only (gpu-vendors): name them if the engine's image"
            " runs on them"
        ),
        (
            "  b300 and 21 more: 8 GPUs offer 1933.8 of 4096.0 GiB: choose fewer bits (precision),"
            " fewer concurrent-requests or shorter requests"
        ),
    ]


def test_every_fact_of_an_annotation_is_an_option() -> None:
    help_: str = CliRunner().invoke(main, ["claim", "--help"]).output
    assert all(f"--{field.key} " in help_ for field in FIELDS)


def test_the_order_does_not_depend_on_the_run() -> None:
    first: Any = claim("--gpu-memory", "100Gi")
    assert all(claim("--gpu-memory", "100Gi") == first for _ in range(3))
