"""`foresail claim` as it is called: what is printed can be applied, and says why."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from fleet.catalogue import shipped
from foresail.cli import main
from scheduler.need_annotations import FIELDS
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


def test_the_comments_say_the_order_and_every_exclusion() -> None:
    lines = claim("--model-parameters", "70B", "--precision", "fp8").splitlines()
    assert lines[:4] == [
        "# foresail claim: 70B fp8, 65.2 GiB weights, 76.4 GiB in all, decode-bound",
        "# $ per million tokens at the roofline; list prices as of 2026-07-20",
        "#   1. 1 x b300: 0.319",
        "#   2. 1 x b200: 0.326",
    ]
    assert "#   5. 2 x l40s: 1.19, joined by PCIe only" in lines
    assert "#   8. 1 x gb200: no price known" in lines
    assert "#   -  1 x gb300: no price known: beyond the 8 that a claim may list" in lines
    (out,) = [line for line in lines if line.endswith(": no fp8 arithmetic")]
    assert "a100-sxm-80" in out


def test_name_and_namespace_are_as_told() -> None:
    made = yaml.safe_load(claim("--gpu-memory", "20Gi", "--name", "chat", "--namespace", "llm"))
    assert (made["metadata"]["name"], made["metadata"]["namespace"]) == ("chat", "llm")


def test_json_has_the_object_and_the_whole_ranking() -> None:
    told = json.loads(claim("--gpu-memory", "20Gi", "--bottleneck", "kv", "--json"))
    assert told["object"] == yaml.safe_load(claim("--gpu-memory", "20Gi", "--bottleneck", "kv"))
    assert told["unit"] == "$ per 100 GiB-h"
    assert len(told["ranking"]) == len(shipped().generations)
    assert told["ranking"][0] == {
        "generation": "t4",
        "gpus": 2,
        "memoryMibEach": 11378,  # 20 GiB over two, a tenth free
        "usdPerGpuHour": 0.526,
        "cost": pytest.approx(0.526 / 15 * 100),
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
    file.write_text("NVIDIA L40S: 0.4\nh200: 9\n")
    told = json.loads(
        claim("--model-parameters", "8B", "--prices", str(file), "--json", "--tensor-parallel", "1")
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
    assert "a need is one of --model-parameters, --weights-size, --gpu-memory" in refused()


def test_what_nothing_serves_is_no_template() -> None:
    output = refused("--gpu-memory", "4Ti")
    assert output.startswith("no GPU generation serves 4096.0 GiB in all, decode-bound: ")


def test_every_fact_of_an_annotation_is_an_option() -> None:
    help_: str = CliRunner().invoke(main, ["claim", "--help"]).output
    assert all(f"--{field.key} " in help_ for field in FIELDS)


def test_the_order_does_not_depend_on_the_run() -> None:
    first: Any = claim("--gpu-memory", "100Gi")
    assert all(claim("--gpu-memory", "100Gi") == first for _ in range(3))
