"""The activity of GPUs, asked of a real Prometheus that holds DCGM's series."""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from fleet.activity import Host
from fleet.measured import (
    UnmeasuredError,
    measured,
    model_tokens,
    node_prices,
    pod_allocations,
)
from fleet.opencost import NodePrice
from fleet.tokens import Tokens
from foresail.cli import main
from tests import prometheus
from tests.fleet.objects import node, pod, seen
from tests.prometheus import PrometheusServer
from tests.sources.prometheus_stub import NOTHING, Stub, serving

pytestmark = pytest.mark.looptime(False)  # Prometheus lives in real time

ENGINE, UTILISATION = "DCGM_FI_PROF_GR_ENGINE_ACTIVE", "DCGM_FI_DEV_GPU_UTIL"
SERIES = {
    # By minutes before now.
    (ENGINE, 0, "a"): {50: 0.9, 29: 0.0, 15: 0.0, 2: 0.0},
    (ENGINE, 1, "b"): {50: 0.0, 29: 0.0, 15: 0.4, 2: 0.0},
    (UTILISATION, 1, "b"): {15: 0.0, 2: 0.0},  # the engine knows better
    (UTILISATION, 2, "b"): {15: 0.0, 2: 97.0},
    (ENGINE, 3, "c"): {50: 0.9},  # and nothing since
}


OPENCOST = {"node_total_hourly_cost": 40, "node_gpu_count": 8, "node_gpu_hourly_cost": 3.2}
TOKENS = {
    ("vllm:generation_tokens", "a"): 300,
    ("vllm:prompt_tokens", "a"): 1200,
    ("vllm_generation_tokens", "a"): 300,  # a copy
    ("ray_vllm_generation_tokens", "of-ray"): 50,
    ("vllm_prompt_tokens", "of-ray"): 100,
    ("vllm:generation_tokens", ""): 10,
    ("ray_vllm_generation_tokens", ""): 20,
}
"""That each engine adds in a minute, by series and pod."""
MINUTES_AHEAD = 30
"""That the samples go on: a start of Prometheus and these tests take minutes of busy cores."""


def page(now_seconds: float) -> str:
    lines = []
    each_minute = [now_seconds + 60 * minute for minute in range(-1, MINUTES_AHEAD)]
    for metric in (ENGINE, UTILISATION):
        lines.append(f"# TYPE {metric} gauge")
        for (name, gpu, holder), values in SERIES.items():
            labels = f'gpu="{gpu}",UUID="GPU-{gpu}",Hostname="n1",exported_pod="{holder}"'
            labels += ',exported_namespace="llm",pod="dcgm-exporter-x",namespace="gpu-operator"'
            lines += [
                f"{name}{{{labels}}} {value} {now_seconds - 60 * ago:.3f}"
                for ago, value in sorted(values.items(), reverse=True)
                if name == metric
            ]
    for metric, values in OPENCOST.items():
        labels = '{node="n1",instance="10.0.0.9:9003",instance_type="p5.48xlarge"}'
        lines += [f"# TYPE {metric} gauge"]
        lines += [f"{metric}{labels} {values} {at:.3f}" for at in each_minute]
    lines += ["# TYPE container_gpu_allocation gauge"]
    for container in ("engine", "sidecar"):  # of pod a, which has 2 GPUs
        labels = f'{{namespace="llm",pod="a",container="{container}",node="n1"}}'
        lines += [f"container_gpu_allocation{labels} 0.5 {at:.3f}" for at in each_minute]
    for (metric, of), steps in TOKENS.items():
        lines.append(f"# TYPE {metric} counter")
        for engine in (0, 1):  # of one pod
            labels = f'model_name="served-by-{of}",namespace="llm",pod="{of}",engine="{engine}"'
            labels += f',instance="{of or metric}"'
            lines += [
                f"{metric}_total{{{labels}}} {1000 + steps * minute} "
                f"{now_seconds - 60 * (10 - minute):.3f}"
                for minute in range(10 + MINUTES_AHEAD)
            ]
    return "\n".join([*lines, "# EOF\n"])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    prometheus.require()
    folder = tmp_path_factory.mktemp("prometheus")
    one = PrometheusServer(folder)
    (folder / "page").write_text(page(time.time()))  # noqa: TID251
    subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", folder / "page", one.data],
        check=True,
        capture_output=True,
    )
    one.configure()
    one.start()
    yield one
    one.kill()


async def test_what_was_busy_once_in_the_window_is_busy(server: PrometheusServer) -> None:
    activity = await measured(f"{server.url}/", 1800.0)

    assert activity.hosts == {
        "n1": Host(
            busy={"GPU-0": False, "GPU-1": True, "GPU-2": True},
            owners={"GPU-0": {"llm/a"}, "GPU-1": {"llm/b"}, "GPU-2": {"llm/b"}},
        )
    }


async def test_a_prometheus_without_dcgm_measures_nothing(server: PrometheusServer) -> None:
    assert (await measured(server.url, 1.0)).hosts == {}


async def test_opencost_tells_what_a_node_costs(server: PrometheusServer) -> None:
    assert await node_prices(server.url) == {
        "n1": NodePrice(usd_per_hour=40, source="OpenCost, node_total_hourly_cost")
    }


async def test_opencost_tells_what_it_allocates_to_each_pod(server: PrometheusServer) -> None:
    assert await pod_allocations(server.url) == {"llm/a": 1.0}


async def test_tokens_of_a_pods_engines_count_for_its_label(server: PrometheusServer) -> None:
    snapshot = seen(node(gpus=8), pod("a", gpus=2, labels={"model": "chat"}))

    found = await model_tokens(server.url, 540.0, snapshot)

    assert found["chat"] == Tokens(  # two engines, nine minutes
        generated=pytest.approx(5400, rel=0.03), prompt=pytest.approx(21600, rel=0.03)
    )


async def test_an_engine_of_ray_or_under_an_older_prometheus_has_tokens_too(
    server: PrometheusServer,
) -> None:
    snapshot = seen(node(gpus=8), pod("of-ray", gpus=2, labels={"model": "chat"}))

    found = await model_tokens(server.url, 540.0, snapshot)

    assert found["chat"] == Tokens(
        generated=pytest.approx(900, rel=0.03), prompt=pytest.approx(1800, rel=0.03)
    )
    # Targets without the label of a pod, in two spellings.
    assert found["served-by-"].generated == pytest.approx(540, rel=0.03)


def test_a_million_tokens_costs_what_opencost_says_of_the_node(
    server: PrometheusServer, tmp_path: Path
) -> None:
    file = tmp_path / "prod.json"
    chat = pod("a", gpus=2, labels={"model": "chat"})
    file.write_text(json.dumps({"kind": "List", "items": [node(gpus=8), chat]}))
    words = [
        "cost",
        "--file",
        str(file),
        "--prometheus",
        server.url,
        "--tokens",
        "9m",
        "-o",
        "json",
    ]

    document = json.loads(CliRunner().invoke(main, words).output)

    assert document["total"]["usd"] == pytest.approx(40)
    assert (
        "OpenCost allocates other numbers of GPUs than pods have: llm/a (1, not 2)"
        in document["remarks"]
    )
    (model,) = document["models"]
    assert model["usd"] == pytest.approx(10)  # 2 of 8 GPUs
    # 600 generated tokens a minute are 36,000 an hour.
    assert model["usdPerMillionGenerated"] == pytest.approx(277.8, rel=0.03)
    assert model["usdPerMillion"] == pytest.approx(55.6, rel=0.03)


def test_fleet_takes_the_prices_of_opencost_too(server: PrometheusServer, tmp_path: Path) -> None:
    file = tmp_path / "prod.json"
    file.write_text(json.dumps({"kind": "List", "items": [node(gpus=8)]}))
    words = ["fleet", "--file", str(file), "--prometheus", server.url, "-o", "json"]

    document = json.loads(CliRunner().invoke(main, words).output)

    assert document["total"]["usdPerHour"] == pytest.approx(40)


@pytest.mark.parametrize("path", ["/nowhere", "/graph"])
async def test_what_is_no_prometheus_is_named(server: PrometheusServer, path: str) -> None:
    with pytest.raises(UnmeasuredError, match=f"{server.url}{path}: "):
        await measured(server.url + path, 1800.0)


async def test_a_prometheus_that_is_gone_is_named() -> None:
    with pytest.raises(UnmeasuredError, match=r"http://127\.0\.0\.1:1: Connect call failed"):
        await measured("http://127.0.0.1:1", 1800.0)


async def test_of_a_written_partial_answer_nothing_is_counted() -> None:
    async with serving(Stub()) as thanos:
        thanos.body = json.dumps({**NOTHING, "warnings": ["No StoreAPIs matched for this query"]})
        with pytest.raises(UnmeasuredError, match="a partial answer: No StoreAPIs matched"):
            await measured(thanos.url, 1800.0)
        assert thanos.asked[0][1]["partial_response"] == ["false"]


@pytest.mark.parametrize(
    ("status", "answer", "expected"),
    [
        pytest.param(
            401,
            {"status": "error", "error": "bad token s3cret"},
            "HTTP 401: check the file with its token",
            id="login",
        ),
        pytest.param(
            400,
            {"status": "error", "error": "no\nsuch \x1b[31m" + "x" * 2**20},
            "no such \\x1b[31m" + "x" * (256 - len("no such \x1b[31m")),
            id="long-and-coloured",
        ),
    ],
)
async def test_what_a_prometheus_refuses_is_short_and_without_the_token(
    status: int, answer: dict[str, str], expected: str
) -> None:
    secret = "s3cret"
    async with serving(Stub(status=status, body=json.dumps(answer))) as prometheus:
        with pytest.raises(UnmeasuredError) as refused:
            await measured(prometheus.url, 1800.0, token=secret)
    assert str(refused.value) == f"Prometheus {prometheus.url}: {expected}"
