"""`foresail fleet`: from files and options to tables and JSON."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from foresail.cli import main
from tests.fleet.objects import H100, claim, device, node, pod, resource_slice

P5 = H100 | {"node.kubernetes.io/instance-type": "p5.48xlarge"}
OBJECTS = [node(labels=P5, gpus=8), pod("a", gpus=6, labels={"model": "qwen3-32b"})]


def write(path: Path, *objects: dict[str, Any]) -> Path:
    path.write_text(json.dumps({"kind": "List", "items": list(objects)}))
    return path


def fleet(*arguments: object, columns: int = 80) -> Result:
    environment = {"COLUMNS": str(columns), "KUBECONFIG": "/nowhere/config"}
    return CliRunner().invoke(main, ["fleet", *map(str, arguments)], env=environment)


def test_a_recorded_cluster_is_shown(tmp_path: Path) -> None:
    file = write(tmp_path / "prod.json", *OBJECTS)

    shown = fleet("--file", file).output.splitlines()

    assert shown[1].split() == ["generation", "GPUs", "used", "free", "out", "frag.", "whole",
                                "$/h", "$", "free"]  # fmt: skip
    assert shown[3].split() == ["h100-sxm", "8", "6", "2", "0", "2", "0/1", "55.04", "13.76"]
    assert any(line.startswith("prices: aws list: us-east-1") for line in shown)
    assert "idle GPUs are not measured: name a Prometheus with --prometheus" in shown


@pytest.mark.parametrize("columns", [80, 120])
def test_no_line_is_wider_than_the_terminal_and_no_number_is_cut(
    tmp_path: Path, columns: int
) -> None:
    name = "an-accelerator-with-a-name-that-nobody-ever-should-have-given-it"
    odd = node("n2", labels={"nvidia.com/gpu.product": name}, gpus=1000)
    file = write(tmp_path / "prod.json", *OBJECTS, odd)

    shown = fleet("--file", file, "--by", "generation", columns=columns).output

    table = shown.partition("prices:")[0].splitlines()
    assert max(map(len, table)) <= columns
    rows = [line.split() for line in table]
    assert ["1,000", "0", "1,000", "0", "?", "?", "?", "?"] in [row[-8:] for row in rows]
    assert ["1,008", "6", "1,002", "0", "≥2", "≥0/1", "≥55.04", "≥13.76"] in [
        row[-8:] for row in rows
    ]


def test_unknown_values_are_a_question_mark_and_null(tmp_path: Path) -> None:
    file = write(tmp_path / "prod.json", node(gpus=2), pod("a", gpus=1))

    row = fleet("--file", file).output.splitlines()[3]
    (document,) = json.loads(fleet("--file", file, "-o", "json").output)["by"]["generation"]

    assert row.split() == ["unknown", "2", "1", "1", "0", "?", "?", "?", "?"]
    assert {
        key: document[key] for key in ("idle", "fragmented", "usdPerHour", "freeUsdPerHour")
    } == {
        "idle": None,
        "fragmented": None,
        "usdPerHour": None,
        "freeUsdPerHour": None,
    }


NODES_ONLY = [node(f"n{n}", labels=P5, gpus=8) for n in range(4)] + [node("odd", gpus=1)]
"""33 GPUs of two kinds, and nobody knows who has them."""


def test_without_pods_used_and_free_are_unknown_and_the_reason_is_shown(
    tmp_path: Path,
) -> None:
    file = write(tmp_path / "nodes.json", *NODES_ONLY)

    shown = fleet("--file", file, columns=200).output.splitlines()

    assert shown[3].split() == ["h100-sxm", "32", "?", "?", "?", "?", "?", "220.16", "?"]
    assert shown[4].split() == ["unknown", "1", "?", "?", "?", "?", "?", "?", "?"]
    assert shown[6].split() == ["total", "33", "?", "?", "?", "?", "?", "≥220.16", "?"]
    (reason,) = [line for line in shown if line.startswith("no Pod was read: of 33 GPUs it is")]
    assert "`kubectl get nodes,pods,resourceslices" in reason
    assert "? GPUs are asked for by pods without a node" in shown


def test_without_pods_json_has_null_and_the_reason(tmp_path: Path) -> None:
    file = write(tmp_path / "nodes.json", *NODES_ONLY)

    document = json.loads(fleet("--file", file, "-o", "json").output)

    unknown = ("allocated", "free", "out", "idle", "fragmented", "freeUsdPerHour", "idleUsdPerHour")
    assert {document["total"][key] for key in unknown} == {None}
    assert (document["total"]["gpus"], document["total"]["usesUnknown"]) == (33, 33)
    (cluster,) = document["clusters"]
    assert {(one["allocated"], one["free"], one["notRead"]) for one in cluster["nodes"]} == {
        (None, None, "Pod")
    }
    assert cluster["waitingGpus"] is None
    assert cluster["remarks"][0].startswith("no Pod was read")


@pytest.mark.parametrize("by", ["namespace", "model"])
def test_gpus_that_anybody_may_have_are_in_a_row_of_their_own(tmp_path: Path, by: str) -> None:
    file = write(tmp_path / "nodes.json", *NODES_ONLY)

    shown = fleet("--file", file, "--by", by).output.splitlines()

    assert shown[3].split() == ["(unknown)", "33", "?", "?", "?", "≥220.16"]


def test_a_cluster_without_its_pods_makes_the_sums_of_all_clusters_a_least(tmp_path: Path) -> None:
    bare = write(tmp_path / "bare.json", node(labels=P5, gpus=8))
    whole = write(tmp_path / "whole.json", *OBJECTS)

    shown = fleet("--file", bare, "--file", whole, "--by", "cluster").output.splitlines()

    assert shown[3].split() == ["bare", "8", "?", "?", "?", "?", "?", "55.04", "?"]
    assert shown[4].split() == ["whole", "8", "6", "2", "0", "2", "0/1", "55.04", "13.76"]
    assert shown[6].split() == ["total", "16", "≥6", "≥2", "≥0", "≥2", "≥0/1", "110.08", "≥13.76"]


def test_an_empty_list_of_pods_says_that_there_are_none(tmp_path: Path) -> None:
    folder = tmp_path / "idle"
    folder.mkdir()
    write(folder / "nodes.json", node(labels=P5, gpus=8))
    (folder / "pods.json").write_text(json.dumps({"kind": "PodList", "items": []}))

    shown = fleet("--file", folder).output.splitlines()

    assert shown[3].split() == ["h100-sxm", "8", "0", "8", "0", "0", "1/1", "55.04", "55.04"]


@pytest.mark.parametrize(
    ("objects", "missing"),
    [
        pytest.param(
            [node(), resource_slice(device("gpu-0")), pod("a", claims=("c",))],
            "ResourceClaim",
            id="claims",
        ),
        pytest.param([node(labels=P5), pod("a", claims=("c",))], "ResourceSlice", id="slices"),
    ],
)
def test_allocations_of_dra_are_unknown_without_its_objects(
    tmp_path: Path, objects: list[dict[str, Any]], missing: str
) -> None:
    file = write(tmp_path / "prod.json", *objects)

    document = json.loads(fleet("--file", file, "-o", "json").output)

    ((one,),) = (cluster["nodes"] for cluster in document["clusters"])
    assert (one["allocated"], one["free"], one["notRead"]) == (None, None, missing)


def test_a_taint_rule_that_cannot_be_read_leaves_used_gpus_known(tmp_path: Path) -> None:
    rule = {"kind": "DeviceTaintRule", "metadata": {"name": "r"}, "spec": {"deviceSelector": "x"}}
    devices = resource_slice(device("gpu-0"), device("gpu-1"))
    file = write(
        tmp_path / "prod.json", node(), devices, claim("c", "gpu-0", pods=("a",)), pod("a"), rule
    )

    total = json.loads(fleet("--file", file, "-o", "json").output)["total"]
    row = fleet("--file", file).output.splitlines()[3]

    assert [total[key] for key in ("allocated", "free", "out")] == [1, None, None]
    assert total["freeUsdPerHour"] is None
    assert row.split()[1:5] == ["2", "1", "?", "?"]


def test_without_claims_that_anybody_names_nothing_of_dra_is_used(tmp_path: Path) -> None:
    file = write(tmp_path / "prod.json", node(), resource_slice(device("gpu-0")), pod("a"))

    (cluster,) = json.loads(fleet("--file", file, "-o", "json").output)["clusters"]

    assert [(one["allocated"], one["free"]) for one in cluster["nodes"]] == [(0, 1)]


def test_json_has_every_node_and_the_pods_on_its_gpus(tmp_path: Path) -> None:
    folder = tmp_path / "eu"
    folder.mkdir()
    devices = resource_slice(device("gpu-0"), device("gpu-1"))
    typed = {"kind": "NodeList", "items": [{k: v for k, v in node().items() if k != "kind"}]}
    (folder / "nodes.json").write_text(json.dumps(typed))
    (folder / "rest.yaml").write_text(
        yaml.safe_dump_all([devices, claim("c", "gpu-0", pods=("a",)), pod("a")])
    )

    document = json.loads(fleet("--file", folder, "-o", "json").output)

    (cluster,) = document["clusters"]
    (one,) = cluster["nodes"]
    assert (cluster["cluster"], one["gpus"], one["free"]) == ("eu", 2, 1)
    assert one["usdPerGpuHour"] is None
    assert [(use["pod"], use["gpus"]) for use in one["uses"]] == [("a", 1)]


def test_a_pool_has_room_up_to_its_limit(tmp_path: Path) -> None:
    def limited(name: str) -> dict[str, Any]:
        limits = {"spec": {"limits": {"nvidia.com/gpu": "32"}}}
        return {"kind": "NodePool", "metadata": {"name": name}, **limits}

    mine = node(labels=P5 | {"karpenter.sh/nodepool": "big"}, gpus=8)
    file = write(tmp_path / "prod.json", mine, limited("big"), limited("empty"))

    shown = fleet("--file", file, "--by", "pool").output.splitlines()

    assert "pool big of prod: 8 of 32 GPUs that its limit allows" in shown
    assert "pool empty of prod: 0 of 32 GPUs that its limit allows" in shown


def test_ones_own_prices_win(tmp_path: Path) -> None:
    file = write(tmp_path / "prod.json", *OBJECTS)
    prices = tmp_path / "prices.yaml"
    prices.write_text("NVIDIA H100 80GB HBM3: 2.5\n")

    shown = fleet("--file", file, "--prices", prices).output

    assert "20.00" in shown  # 8 of them
    assert "prices: your price list" in shown


def test_a_price_may_be_of_spot_machines_alone(tmp_path: Path) -> None:
    spot = node("n2", labels=P5 | {"karpenter.sh/capacity-type": "spot"}, gpus=8)
    file = write(tmp_path / "prod.json", *OBJECTS, spot)
    prices = tmp_path / "prices.yaml"
    prices.write_text("NVIDIA H100 80GB HBM3: 2.5\nNVIDIA H100 80GB HBM3/spot: 1.25\n")

    told = json.loads(fleet("--file", file, "--prices", prices, "-o", "json").output)

    assert told["total"]["usdPerHour"] == 30  # 8 x 2.5 + 8 x 1.25
    assert told["remarks"] == []


def test_a_price_that_is_not_used_is_named(tmp_path: Path) -> None:
    file = write(tmp_path / "prod.json", *OBJECTS)
    prices = tmp_path / "prices.yaml"
    prices.write_text("h100-sxn: 2.5\np5.48xlarge: 3.0\n")

    shown = fleet("--file", file, "--prices", prices).output

    assert "24.00" in shown
    assert "the price of 'h100-sxn' is not used" in shown
    assert "the price of 'p5.48xlarge'" not in shown


def test_one_cluster_that_cannot_be_read_is_named_and_the_others_are_shown(tmp_path: Path) -> None:
    file = write(tmp_path / "prod.json", *OBJECTS)

    result = fleet("--file", file, "--file", "/nowhere/dev.json")

    assert result.exit_code == 0
    assert "h100-sxm" in result.output
    assert "not shown: /nowhere/dev.json: No such file or directory" in result.output


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param(["--file", "/nowhere"], "/nowhere: No such file or directory", id="no-file"),
        pytest.param(["--context", "x"], "x: context 'x'", id="no-context"),
        pytest.param(["--all-contexts"], "kubeconfig /nowhere/config", id="no-kubeconfig"),
        pytest.param(
            ["--file", "{file}", "--prices", "{bad}"],
            "h100-sxm costs -1: it takes dollars above 0",
            id="price",
        ),
        pytest.param(
            ["--file", "{file}", "--prometheus", "prom:9090"],
            "--prometheus: 'prom:9090' is no http or https address",
            id="prometheus",
        ),
        pytest.param(
            ["--file", "{file}", "--prometheus", "east=http://u:s3cret@prom:9090"],
            "--prometheus: credentials in the address of prom: put them in files",
            id="credentials",
        ),
        pytest.param(
            ["--file", "{empty}"], "no Node in it; write one with `kubectl get", id="empty"
        ),
        pytest.param(["--file", "{text}"], "neither JSON nor YAML", id="no-json"),
        pytest.param(["--file", "{deep}"], "neither JSON nor YAML", id="deep"),
        pytest.param(
            ["--file", "{file}", "--prices", "{deep}"],
            "nested deeper than 64 levels",
            id="deep-prices",
        ),
        pytest.param(["--file", "{file}", "--watch"], "leave --file out", id="watch-a-file"),
        pytest.param(["--file", "{file}", "--context", "a"], "--file reads no cluster", id="both"),
    ],
)
def test_an_option_that_cannot_be_used_is_one_line(
    tmp_path: Path, arguments: list[str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "fleet.cluster.follow.clients.KUBE_CONFIG_DEFAULT_LOCATION", "/nowhere/config"
    )
    files = {
        "file": write(tmp_path / "prod.json", *OBJECTS),
        "empty": write(tmp_path / "empty.json"),
        "bad": tmp_path / "bad.yaml",
        "text": tmp_path / "text.json",
        "deep": tmp_path / "deep.json",
    }
    files["deep"].write_text("[" * 100_000)
    files["bad"].write_text("h100-sxm: -1\n")
    files["text"].write_text("{")

    result = fleet(*(argument.format(**files) for argument in arguments))

    assert result.exit_code == 1
    assert expected in result.output
    assert "Traceback" not in result.output


def test_a_prometheus_that_does_not_answer_leaves_idleness_unknown(tmp_path: Path) -> None:
    file = write(tmp_path / "prod.json", *OBJECTS)

    result = fleet("--file", file, "--prometheus", "http://127.0.0.1:1")

    assert result.exit_code == 0
    assert "idle GPUs and OpenCost's prices are unknown" in " ".join(result.output.split())


def test_pools_say_who_brings_their_nodes_and_which_of_them_end() -> None:
    clouds = Path(__file__).parents[1] / "fixtures" / "clouds"

    shown = fleet("--file", clouds / "eks-reservations.yaml", "--by", "pool", columns=120).output

    assert "nodes of eks-reservations: 2 Karpenter on AWS" in shown
    assert (
        "node ip-10-0-0-1 of eks-reservations ends at 2026-12-05 10:50Z: "
        "Capacity Block cr-0b10c0b10c0b10c01 ends"
    ) in shown


def test_two_records_of_one_name_are_refused(tmp_path: Path) -> None:
    for name in ("us", "eu"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "cluster.json", *OBJECTS)
    files = [tmp_path / name / "cluster.json" for name in ("us", "eu")]

    refused = fleet("--file", files[0], "--file", files[1])

    assert refused.exit_code == 1
    assert "both are called cluster: rename one" in " ".join(refused.output.split())
