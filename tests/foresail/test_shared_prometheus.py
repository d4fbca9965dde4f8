"""Several clusters that one Prometheus measures: nothing of one counts for another."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from typing_extensions import override

from fleet.tokens import Tokens
from foresail.cost.reading import Reading, read_round
from foresail.gpus.options import FleetOptions, prometheus_urls
from tests.fleet.objects import H100, Object, node, pod
from tests.sources.prometheus_stub import Stub, serving

pytestmark = pytest.mark.looptime(False)  # sockets live in real time

P5 = H100 | {"node.kubernetes.io/instance-type": "p5.48xlarge"}
SECONDS = 100.0


@dataclass
class Shared(Stub):
    """A Prometheus that answers each query by the first of these words in it."""

    series: Mapping[str, list[Object]] = field(default_factory=dict)

    @override
    async def answer(self, request: web.Request) -> web.StreamResponse:
        await super().answer(request)
        query = self.asked[-1][1]["query"][0]
        found = next((each for word, each in self.series.items() if word in query), [])
        return web.json_response({"status": "success", "data": {"result": found}})


def one(value: float, **labels: str) -> Object:
    return {"metric": labels, "value": [0, str(value)]}


def engine(tokens: float, name: str | None, served: str = "chat") -> Object:
    labels = {} if name is None else {"namespace": "llm", "pod": name}
    return one(tokens, model_name=served, **labels)


def dcgm(host: str, cluster: str, *ratios: float) -> list[Object]:
    return [
        one(ratio, Hostname=host, gpu=str(index), UUID=f"{cluster}-{index}")
        for index, ratio in enumerate(ratios)
    ]


async def read(
    folder: Path,
    series: Mapping[str, list[Object]],
    *clusters: tuple[Object, ...],
    apart: bool = False,
) -> list[Reading]:
    files = []
    for name, objects in zip(("eu", "us"), clusters, strict=False):
        files.append(folder / f"{name}.json")
        files[-1].write_text(json.dumps({"kind": "List", "items": objects}))
    stub = Shared(series=series)
    async with serving(stub):
        urls = [f"{name}={stub.url}/{name}" for name in ("eu", "us")] if apart else [stub.url]
        options = FleetOptions(files=tuple(files), prometheus=tuple(urls))
        return list((await read_round(options, SECONDS)).readings)


def cluster(name: str, *, on: str = "n1") -> tuple[Object, ...]:
    return node(on, labels=P5, gpus=8), pod(name, on, gpus=8, labels={"model": "chat"})


TOKENS = {"generation_tokens_total": [engine(100, "of-eu"), engine(200, "of-us")]}


async def test_tokens_count_for_the_cluster_of_their_pod(tmp_path: Path) -> None:
    eu, us = await read(tmp_path, TOKENS, cluster("of-eu"), cluster("of-us"))

    assert eu.tokens_per_second == {"chat": Tokens(generated=1)}
    assert us.tokens_per_second == {"chat": Tokens(generated=2)}


def test_an_address_is_the_same_with_a_slash_at_its_end() -> None:
    options = FleetOptions(prometheus=("eu=http://p:9090/", "http://p:9090"))

    assert set(prometheus_urls(options).values()) == {"http://p:9090"}


async def test_tokens_that_may_be_of_another_cluster_do_not_count(tmp_path: Path) -> None:
    series = [engine(100, "same"), engine(10, "gone"), engine(1, None)]
    counted = {"generation_tokens_total": series}

    eu, us = await read(tmp_path, counted, cluster("same"), cluster("same"))

    assert eu.tokens_per_second == us.tokens_per_second == {}


async def test_models_without_tokens_are_no_secret(tmp_path: Path) -> None:
    (found,) = await read(tmp_path, {}, cluster("of-eu"))
    (known,) = await read(tmp_path, TOKENS, cluster("of-eu"))

    assert [each for each in found.remarks if each.startswith("tokens are unknown: http://")]
    assert not [each for each in known.remarks if "tokens" in each]


async def test_a_prometheus_for_each_cluster_knows_pods_that_are_gone(tmp_path: Path) -> None:
    series = {"generation_tokens_total": [engine(100, "same"), engine(10, "gone")]}

    readings = await read(tmp_path, series, cluster("same"), cluster("same"), apart=True)

    found = [each.tokens_per_second["chat"].generated for each in readings]
    assert found == [pytest.approx(1.1)] * 2


async def test_nodes_that_are_called_alike_are_not_measured(tmp_path: Path) -> None:
    series = {
        "GR_ENGINE": dcgm("n1", "eu", *[0.0] * 8),
        "total_hourly": [one(40, node="n1")],
        "gpu_count": [one(8, node="n1")],
    }

    readings = await read(tmp_path, series, cluster("of-eu"), cluster("of-us"))

    for each in readings:
        (found,) = each.snapshot.nodes
        assert found.idle is None
        assert str(found.price_source).startswith("aws list")
        assert any(
            "measures nodes of several clusters that are called n1: " in remark
            for remark in each.remarks
        )


async def test_nodes_that_are_called_differently_are_measured(tmp_path: Path) -> None:
    series = {
        "GR_ENGINE": [*dcgm("n1", "eu", *[0.0] * 8), *dcgm("n2", "us", *[0.9] * 8)],
        "total_hourly": [one(40, node="n1"), one(80, node="n2")],
        "gpu_count": [one(8, node="n1"), one(8, node="n2")],
    }

    readings = await read(tmp_path, series, cluster("of-eu"), cluster("of-us", on="n2"))

    found = [each.snapshot.nodes[0] for each in readings]
    assert [(each.idle, each.usd_per_gpu_hour) for each in found] == [(8, 5), (0, 10)]


async def test_a_node_with_series_of_more_gpus_than_it_has_is_not_measured(tmp_path: Path) -> None:
    series = {"GR_ENGINE": [*dcgm("n1", "eu", *[0.9] * 8), *dcgm("n1", "other", *[0.0] * 8)]}

    (eu,) = await read(tmp_path, series, cluster("of-eu"))

    assert eu.snapshot.nodes[0].idle is None


@pytest.mark.parametrize(
    ("series", "counted"),
    [
        pytest.param([], 8, id="none"),
        pytest.param(dcgm("n1", "eu", *[0.0] * 7), 8, id="one-is-missing"),
        pytest.param(dcgm("n1", "eu", *[0.9] * 3, *[0.0] * 5), None, id="all"),
    ],
)
async def test_gpus_that_serve_and_may_be_idle_are_counted(
    tmp_path: Path, series: list[Object], counted: int | None
) -> None:
    objects = cluster("of-eu")
    objects[1]["status"]["conditions"] = [{"type": "Ready", "status": "True"}]

    (eu,) = await read(tmp_path, {"GR_ENGINE": series}, objects)

    remark = (
        f"{counted} GPUs count as serving and may be idle: DCGM's series in Prometheus do not name "
        "all GPUs, or not their pods, on node n1"
    )
    assert [one for one in eu.remarks if "may be idle" in one] == ([remark] if counted else [])
