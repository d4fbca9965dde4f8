"""`foresail cost`: from files and options to tables and JSON."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from click.testing import CliRunner, Result
from rich.console import Console

from fleet.account.cost_book import TokenCost
from fleet.account.gpu_hours import Cost, Series
from fleet.annotations import PRICE
from fleet.reasons import Reason
from fleet.spend import Client, Spend
from fleet.tokens import Tokens
from foresail.cli import main
from foresail.cost.reading import read_round
from foresail.cost.report import CostReport
from foresail.cost.table import MEANINGS, payload, render
from foresail.gpus.options import FleetOptions
from tests.fleet.objects import H100, node, node_claim, pod
from tests.sources.prometheus_stub import Stub, serving

RECORDED = Path(__file__).parents[1] / "fixtures" / "clusters" / "karpenter.yaml"
CPU_POD = pod("web")
P5 = H100 | {"node.kubernetes.io/instance-type": "p5.48xlarge"}


def write(path: Path, *objects: dict[str, Any]) -> Path:
    path.write_text(json.dumps({"kind": "List", "items": list(objects)}))
    return path


def cost(*arguments: object, columns: int = 80) -> Result:
    environment = {"COLUMNS": str(columns), "KUBECONFIG": "/nowhere/config"}
    return CliRunner().invoke(main, ["cost", *map(str, arguments)], env=environment)


def told(*arguments: object) -> dict[str, Any]:
    document = json.loads(cost(*arguments, "-o", "json").output)
    assert isinstance(document, dict)
    return document


def by(rows: list[dict[str, Any]], name: str, value: str) -> dict[str, Any]:
    return {row[name]: row[value] for row in rows}


def test_a_recorded_cluster_costs_by_reason_what_its_objects_say() -> None:
    document = told("--file", RECORDED)

    hour, of_l40s = 55.04 / 8, 10.4926 / 4
    assert by(document["reasons"], "reason", "gpuHours") == {
        "serving": 8 + 2 + 8 + 3,
        "veto": 2,
        "uninitialized": 8 + 8,  # a node without a driver, and a machine without a node
        "fragmentation": 4 + 1,
        "forecast hold": 8,  # its lease was good when it was recorded
        "reserved": 8,
        "held by others": 4,
        "no reason": 8,
    }
    assert by(document["reasons"], "reason", "usd") == {
        "serving": pytest.approx(10 * hour + 8 * 3.10 + 3 * of_l40s),
        "veto": pytest.approx(2 * hour),
        "uninitialized": pytest.approx(16 * hour),
        "fragmentation": pytest.approx(4 * hour + of_l40s),
        "forecast hold": pytest.approx(8 * hour),
        "reserved": pytest.approx(8 * 3.10),
        "held by others": pytest.approx(4 * of_l40s),
        "no reason": pytest.approx(8 * hour),
    }
    assert document["total"]["usd"] == pytest.approx(6 * 55.04 + 16 * 3.10 + 2 * 10.4926)
    assert document["total"]["reservedUsd"] == pytest.approx(16 * 3.10)
    assert document["overSeconds"] is None


def test_json_names_the_price_of_each_node_and_its_source() -> None:
    nodes = {one["node"]: one for one in told("--file", RECORDED)["nodes"]}

    block, coming = nodes["block-a"], nodes["claim-h100-f"]
    assert (block["capacityType"], block["usdPerGpuHour"]) == ("reserved", 3.10)
    assert block["priceSource"] == f"annotation {PRICE}"
    assert block["reasons"] == [{"reason": "serving", "gpus": 8, "model": "deepseek-v3"}]
    assert coming["priceSource"].startswith("aws list: us-east-1 on demand")
    assert coming["reasons"] == [{"reason": "uninitialized", "gpus": 8, "model": None}]


def test_every_cut_of_the_bill_is_the_whole_bill() -> None:
    document = told("--file", RECORDED)

    for rows in (document["reasons"], document["series"]):
        for figure in ("gpuHours", "usd", "unpricedGpuHours", "reservedUsd"):
            of_rows = sum(row[figure] for row in rows)
            assert of_rows == pytest.approx(document["total"][figure], abs=0.005)
    assert by(document["models"], "model", "gpuHours") == {
        "qwen3-32b": 12,
        "deepseek-v3": 8,
        "bge-m3": 3,
    }


def test_the_table_has_a_row_for_each_reason_pool_generation_and_model() -> None:
    lines = cost("--file", RECORDED).output.splitlines()
    rows = [line.split() for line in lines]

    assert ["no", "reason", "8", "11%", "55.04", *MEANINGS[Reason.NONE].split()] in rows
    assert ["h100-block", "16", "22%", "49.60", "50%", "reserved"] in rows
    assert ["l40s", "8", "11%", "20.99", "38%", "held", "by", "others"] in rows
    assert ["qwen3-32b", "12", "82.56", "?", "?", "?"] in rows
    assert any(line.startswith("reserved: $24.80 an hour ") for line in lines)
    assert "prices of 16 GPUs: annotation foresail.io/usd-per-gpu-hour" in lines


@pytest.mark.parametrize("columns", [80, 120])
def test_no_line_is_wider_than_the_terminal_and_no_figure_is_cut(
    tmp_path: Path, columns: int
) -> None:
    name = "a-pool-with-a-name-that-nobody-ever-should-have-given-to-a-pool"
    labels = P5 | {"karpenter.sh/nodepool": name}
    nodes = [node(f"n{at}", labels=labels, gpus=8) for at in range(200)]
    model = pod("a", "n0", gpus=1, labels={"model": name})

    lines = cost("--file", write(tmp_path / "c.json", *nodes, model), columns=columns).output

    assert max(map(len, lines.splitlines())) <= columns
    rows = [line.split() for line in lines.splitlines()]
    assert ["1,600", "100%", "11,008", "0%", "no", "reason"] in [row[-6:] for row in rows]


def test_what_has_no_price_is_a_question_mark_and_null_and_makes_sums_a_least(
    tmp_path: Path,
) -> None:
    file = write(tmp_path / "c.json", node(labels=P5, gpus=8), node("n2", gpus=2), CPU_POD)

    document = told("--file", file)
    rows = [line.split() for line in cost("--file", file).output.splitlines()]

    assert document["total"] == {
        "gpuHours": 10, "usd": 55.04, "unpricedGpuHours": 2, "reservedUsd": 0,
    }  # fmt: skip
    assert [one["usd"] for one in document["series"]] == [55.04, None]
    assert ["total", "10", "100%", "≥55.04", "0%", "no", "reason"] in rows
    assert ["unknown", "2", "20%", "?", "0%", "no", "reason"] in rows


def test_without_pods_it_is_unknown_what_serves(tmp_path: Path) -> None:
    file = write(tmp_path / "c.json", node(labels=P5, gpus=8))

    document = told("--file", file)
    rows = [line.split() for line in cost("--file", file).output.splitlines()]

    assert by(document["reasons"], "reason", "usd") == {"unknown": 55.04}
    assert ["total", "8", "100%", "55.04", "?", "unknown"] in rows


def test_reserved_capacity_of_which_nobody_knows_whether_it_serves_is_not_told_as_waste(
    tmp_path: Path,
) -> None:
    reserved = P5 | {"karpenter.sh/capacity-type": "reserved"}
    file = write(tmp_path / "c.json", node(labels=reserved, gpus=8, annotations={PRICE: "3"}))

    output = cost("--file", file).output

    assert ["unknown", "8", "100%", "24.00", "not", "read"] in map(str.split, output.splitlines())
    assert "saves nothing" not in output


def test_where_nodeclaims_were_left_out_the_output_says_so(tmp_path: Path) -> None:
    without = write(tmp_path / "a.json", node(labels=P5, gpus=8))
    claim = node_claim("c", "Launched", "Registered", "Initialized", on="n1")
    with_claims = write(tmp_path / "b.json", node(labels=P5, gpus=8), claim)
    remark = "no NodeClaim was read: machines without a node are not counted"

    assert remark in cost("--file", without).output
    assert remark not in cost("--file", with_claims).output


def test_several_clusters_are_told_apart(tmp_path: Path) -> None:
    a = write(tmp_path / "a.json", node(labels=P5, gpus=8))
    b = write(tmp_path / "b.json", node(labels=H100, gpus=4, annotations={PRICE: "2"}))

    rows = [line.split() for line in cost("--file", a, "--file", b).output.splitlines()]

    assert ["a", "8", "67%", "55.04", "?", "unknown"] in rows
    assert ["b", "4", "33%", "8.00", "?", "unknown"] in rows
    assert ["total", "12", "100%", "63.04", "?", "unknown"] in rows


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--watch", "soon"), "'soon' is no duration such as 90s, 10m or 1h30m"),
        (("--watch", "0s"), "'0s' is no duration such as 90s, 10m or 1h30m"),
        (("--file", RECORDED, "--watch", "10m"), "--watch follows clusters: leave --file out"),
        (("--watch", "1h", "--every", "15m"), "read every 5m or more often"),
        (("--file", RECORDED, "--all-contexts"), "--file reads no cluster"),
        (("--file", RECORDED, "--state", "s"), "--state continues what --watch adds up: say for"),
        (("--file", "/nowhere/c.json"), "/nowhere/c.json: No such file or directory"),
    ],
)
def test_an_option_that_cannot_be_used_is_one_line(arguments: tuple[object, ...], why: str) -> None:
    result = cost(*arguments)

    assert result.exit_code in {1, 2}
    assert why in result.output


class Refusing(Stub):
    """Knows nothing, and refuses one query."""

    refused = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        answer = await super().answer(request)
        refused = self.refused in self.asked[-1][1]["query"][0]
        return web.Response(text="out of order", status=500) if refused else answer


@pytest.mark.parametrize(
    ("refused", "remark", "queries_of_allocations"),
    [
        pytest.param("vllm:generation_tokens_total", "tokens are unknown", 0, id="tokens"),
        pytest.param("gpu_allocation", "what OpenCost allocates is unknown", 1, id="allocations"),
    ],
)
async def test_what_a_prometheus_refuses_is_named_and_a_silent_one_is_not_waited_for_again(
    refused: str, remark: str, queries_of_allocations: int
) -> None:
    stub = Refusing()
    stub.refused = refused
    async with serving(stub):
        options = FleetOptions(files=(RECORDED,), prometheus=(stub.url,))
        (reading,) = (await read_round(options, 600)).readings

    assert [one for one in reading.remarks if one.endswith(remark)]
    queries = [form["query"][0] for _, form in stub.asked]
    assert sum("gpu_allocation" in one for one in queries) == queries_of_allocations


def test_a_prometheus_that_does_not_answer_leaves_tokens_and_idleness_unknown() -> None:
    lines = cost("--file", RECORDED, "--prometheus", "http://127.0.0.1:1", columns=200).output

    assert "; idle GPUs and OpenCost's prices are unknown" in lines
    assert "; tokens are unknown" in lines


def report(costs: Mapping[Series, Cost], **more: Any) -> CostReport:
    usual = {"over_seconds": 600.0, "tokens": {}, "at_seconds": 0.0}
    return CostReport(costs=costs, **usual | more)


def shown(one: CostReport) -> list[list[str]]:
    console = Console(width=80)
    with console.capture() as captured:
        console.print(render(one, 80))
    return [line.split() for line in captured.get().splitlines()]


CHAT = Series(cluster="c", pool="p", generation="g", reason=Reason.SERVING, model="chat")
REST = Series(cluster="c", pool="p", generation="g", reason=Reason.SERVING, model="rest")


def test_a_million_tokens_costs_dollars_or_nothing_is_known_of_it() -> None:
    costs = {CHAT: Cost(gpu_hours=2, usd=6.0), REST: Cost(gpu_hours=1, usd=3.0)}
    tokens = {
        "chat": TokenCost(usd=6.0, tokens=Tokens(generated=4e6, prompt=20e6)),
        "rest": TokenCost(usd=3.0),
    }
    one = report(costs, tokens=tokens)

    rows = shown(one)

    assert ["chat", "2", "6.00", "4.00", "1.50", "0.25"] in rows
    assert ["rest", "1", "3.00", "0.00", "none", "none"] in rows
    chat, rest = payload(one)["models"]  # type: ignore[misc]
    assert (chat["usdPerMillionGenerated"], chat["usdPerMillion"]) == (1.5, 0.25)
    assert (rest["generatedTokens"], rest["usdPerMillion"]) == (0.0, None)


def test_what_was_added_up_is_in_hours_and_dollars_and_says_over_which_time() -> None:
    rows = shown(report({CHAT: Cost(gpu_hours=0.5, usd=1.25)}))

    assert ["reason", "GPU-h", "share", "$"] in rows
    assert ["serving", "0.5", "100%", "1.25", "of", "pods", "that", "are", "ready"] in rows
    assert ["added", "up", "over", "10m"] in rows


def test_nothing_costs_nothing() -> None:
    assert ["total", "0", "?", "0.00"] in shown(report({}))


def test_every_reason_has_words() -> None:
    assert set(MEANINGS) == set(Reason)


def test_what_a_gateway_booked_stands_beside_what_the_gpus_cost() -> None:
    tokens = {"chat": TokenCost(usd=6, tokens=Tokens(generated=1e6, prompt=2e6))}
    spend = {
        Client(model="chat", team="search", key="one"): Spend(usd=6, tokens=1e6),
        Client(model="rest"): Spend(usd=9, tokens=0),
        Client(model="free"): Spend(tokens=1e6),
    }
    one = report({CHAT: Cost(gpu_hours=1, usd=6)}, over_seconds=None, tokens=tokens, spend=spend)

    rows = shown(one)
    assert ["rest", "?/?", "0.00", "9.00", "?", "?"] in rows
    assert ["free", "?/?", "1.00", "?", "?", "?"] in rows
    assert ["chat", "search/one", "1.00", "6.00", "6.00", "2.00"] in rows
    clients = payload(one)["clients"]
    assert isinstance(clients, list)
    assert [client["usdPerMillion"] for client in clients] == [None, 6, None]


def test_what_was_not_read_of_gateways_is_null() -> None:
    assert payload(report({CHAT: Cost(gpu_hours=1, usd=6)}))["clients"] is None
