"""The external metrics API: what an HPA gets, and who is answered at all."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientConnectionError, ClientSession, web
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry

from foresail.serve.external_metrics import ExternalMetrics, external_metrics_served
from foresail.settings.external_metrics import ExternalMetricsSettings
from foresail.settings.watch import WatchSettings
from scaler.decision.answers import Answer, Outcome, Reference, Refusal, RefusalCode, TimedOutcome
from scaler.errors import ForesailError
from scaler.serving.board import SILENT_SECONDS, Board
from scaler.serving.metrics import ServiceMetrics
from scaler.trigger_parsing import parse
from tests.contracts.certificates import Authority
from tests.contracts.served import ALLOWED

pytestmark = pytest.mark.looptime(False)  # sockets live in real time

READ_AT = 1_790_000_000.0
"""2026-09-21T14:13:20Z."""
GROUP = "/apis/external.metrics.k8s.io"
VERSION = f"{GROUP}/v1beta1"


def watched(name: str, **keys: object) -> WatchSettings:
    return WatchSettings.model_validate(
        {"namespace": "team-a", "model": name, "maxReplicas": 60, **keys}
    )


@dataclass
class Site:
    """The API over a board, asked with a certificate of the front proxy's name."""

    board: Board
    service: ExternalMetrics
    registry: CollectorRegistry
    now: list[float]
    client: TestClient[web.Request, web.Application] | None = None

    def publish(self, name: str, outcome: Outcome) -> None:
        timed = TimedOutcome(
            outcome=outcome,
            read_at_seconds=self.now[0],
            valid_until_seconds=self.now[0] + 300.0,
        )
        (entry,) = [one for one in self.board if one.reference.name == name]
        entry.publish(timed)

    async def get(self, path: str, **query: str) -> tuple[int, Any]:
        assert self.client is not None
        async with self.client.get(path, params=query) as response:
            return response.status, await response.json()

    async def values(
        self, name: str, *, namespace: str = "team-a", metric: str = "foresail-replicas"
    ) -> tuple[int, Any]:
        path = f"{VERSION}/namespaces/{namespace}/{metric}"
        return await self.get(path, labelSelector=f"workload={name}")

    async def number(self, name: str) -> str:
        code, body = await self.values(name)
        assert code == 200, body
        (item,) = body["items"]
        return str(item["value"])


def made(*models: WatchSettings, proxy: str = "front-proxy-client", objects_max: int = 10) -> Site:
    now, registry = [0.0], CollectorRegistry()
    board = Board(lambda _, m: parse(m, ALLOWED), clock=lambda: now[0], objects_max=objects_max)
    service = ExternalMetrics(
        board,
        models,
        ServiceMetrics(registry),
        replicas_max=50,
        proxy_names=frozenset({"front-proxy-client"}),
        names_of=lambda _: frozenset({proxy}),
    )
    service.keep_known()
    return Site(board, service, registry, now)


@asynccontextmanager
async def asked(site: Site) -> AsyncIterator[Site]:
    async with TestClient(TestServer(site.service.application())) as client:
        site.client = client
        yield site


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    models = (
        watched("llama", mode="act"),
        watched("qwen", mode="reactive"),
        watched("seen"),
        watched("mixtral", mode="act", namespace="team-b"),
    )
    async with asked(made(*models)) as one:
        yield one


def answer(replicas: int, *, active: bool = True) -> Answer:
    return Answer(replicas=replicas, active=active, made_at_seconds=READ_AT)


async def test_an_hpa_gets_the_replicas_on_the_board(site: Site) -> None:
    site.publish("llama", answer(4))

    assert await site.values("llama") == (
        200,
        {
            "kind": "ExternalMetricValueList",
            "apiVersion": "external.metrics.k8s.io/v1beta1",
            "metadata": {},
            "items": [
                {
                    "metricName": "foresail-replicas",
                    "metricLabels": {"workload": "llama"},
                    "timestamp": "2026-09-21T14:13:20Z",
                    "value": "4",
                }
            ],
        },
    )


async def test_the_watch_list_is_known_to_the_planner_before_an_hpa_asks(site: Site) -> None:
    arrived = {str(one.reference) for one in site.board.take_changes().arrived}

    # `seen` is in mode advise: the planner knows it from the settings.
    assert arrived == {"team-a/llama", "team-a/qwen", "team-b/mixtral"}


async def test_a_model_that_no_hpa_asks_about_stays_known(site: Site) -> None:
    site.now[0] = SILENT_SECONDS + 1.0
    site.service.keep_known()
    site.board.forget_silent()

    assert len(site.board) == 3


async def test_zero_replicas_without_work_is_zero_and_with_work_is_one(site: Site) -> None:
    # KEDA asks IsActive beside the number; an HPA has the number alone.
    site.publish("llama", answer(0, active=False))
    assert await site.number("llama") == "0"
    site.publish("llama", answer(0, active=True))
    assert await site.number("llama") == "1"


async def test_the_number_stays_within_the_operators_limit(site: Site) -> None:
    site.publish("llama", answer(51))

    assert await site.number("llama") == "50"
    assert site.registry.get_sample_value("foresail_answers_clamped_total") == 1.0


async def test_no_reading_yet_is_an_error_and_no_zero(site: Site) -> None:
    code, body = await site.values("llama")

    assert (code, body["kind"], body["reason"]) == (503, "Status", "ServiceUnavailable")
    assert body["message"] == (
        "team-a/llama: no reading of model 'llama' yet; asked for the first time just now; the HPA "
        "changes no replica"
    )


async def test_an_answer_that_is_too_old_is_an_error(site: Site) -> None:
    site.publish("llama", answer(4))
    site.now[0] = 301.0

    code, body = await site.values("llama")

    assert (code, body["message"]) == (
        503,
        (
            "team-a/llama: no plan was made for 301 s: the planning process sends nothing; the HPA "
            "changes no replica"
        ),
    )


async def test_a_source_that_refuses_is_an_error_and_counted(site: Site) -> None:
    site.publish("qwen", Refusal(code=RefusalCode.MISCONFIGURED, message="HTTP 401"))

    code, body = await site.values("qwen")

    assert (code, body["message"]) == (503, "team-a/qwen: HTTP 401; the HPA changes no replica")
    counted = {"reason": "misconfigured"}
    assert site.registry.get_sample_value("foresail_refusals_total", counted) == 1.0


async def test_a_misspelled_name_is_not_found_and_the_nearest_is_named(site: Site) -> None:
    code, body = await site.values("lama")

    assert (code, body["reason"], body["message"]) == (
        404,
        "NotFound",
        "the settings' watch list has no 'team-a/lama'; did you mean 'llama'?",
    )


async def test_a_name_of_another_namespace_is_not_given_away(site: Site) -> None:
    code, body = await site.values("mixtral")

    assert (code, body["message"]) == (
        404,
        (
            "the settings' watch list has no 'team-a/mixtral'; it has 2 models of this namespace "
            "in mode reactive or act"
        ),
    )


async def test_a_model_in_mode_advise_moves_no_replica(site: Site) -> None:
    code, body = await site.values("seen")

    assert (code, body["message"]) == (
        503,
        (
            "team-a/seen is in mode advise, in which an HPA gets no replicas: give its entry of "
            "the watch list mode: act"
        ),
    )


async def test_another_metric_is_not_found(site: Site) -> None:
    code, body = await site.values("llama", metric="queue")

    assert (code, body["message"]) == (
        404,
        "no metric 'queue'; the only one is 'foresail-replicas'",
    )


@pytest.mark.parametrize(
    "selector",
    [
        "",
        "workload",
        "workload=",
        "workload!=llama",
        "workload in (llama)",
        "scaledobject.keda.sh/name=llama",
        "workload=llama,zone=a",
        "workload=llama,workload=qwen",
    ],
)
async def test_a_selector_that_names_no_model_is_refused_with_the_one_to_write(
    site: Site, selector: str
) -> None:
    path = f"{VERSION}/namespaces/team-a/foresail-replicas"
    code, body = await site.get(path, labelSelector=selector)

    assert (code, body["reason"]) == (400, "BadRequest")
    assert "give matchLabels: {workload: NAME}" in body["message"]


async def test_both_spellings_of_an_equality_name_a_model(site: Site) -> None:
    site.publish("llama", answer(4))
    path = f"{VERSION}/namespaces/team-a/foresail-replicas"

    for selector in ("workload=llama", "workload==llama"):
        code, _ = await site.get(path, labelSelector=selector)
        assert code == 200


async def test_discovery_names_the_group_its_version_and_its_metric(site: Site) -> None:
    version = {"groupVersion": "external.metrics.k8s.io/v1beta1", "version": "v1beta1"}
    named = {
        "name": "external.metrics.k8s.io",
        "versions": [version],
        "preferredVersion": version,
    }
    resource = {
        "name": "foresail-replicas",
        "singularName": "",
        "namespaced": True,
        "kind": "ExternalMetricValueList",
        "verbs": ["get"],
    }

    assert await site.get("/apis") == (
        200,
        {"kind": "APIGroupList", "apiVersion": "v1", "groups": [named]},
    )
    assert await site.get(GROUP) == (200, {"kind": "APIGroup", "apiVersion": "v1", **named})
    assert await site.get(VERSION) == (
        200,
        {
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": "external.metrics.k8s.io/v1beta1",
            "resources": [resource],
        },
    )


@pytest.mark.parametrize("path", ["/openapi/v2", "/openapi/v3", "/apis/apps/v1", "/"])
async def test_every_other_path_is_a_status_that_says_so(site: Site, path: str) -> None:
    code, body = await site.get(path)

    assert (code, body["kind"], body["reason"]) == (404, "Status", "NotFound")


async def test_questions_are_counted_beside_those_of_keda(site: Site) -> None:
    site.publish("llama", answer(4))
    await site.values("llama")
    await site.values("lama")

    def count(code: str) -> float | None:
        labels = {"method": "ExternalMetrics", "code": code}
        return site.registry.get_sample_value("foresail_rpc_duration_seconds_count", labels)

    assert (count("OK"), count("NOT_FOUND")) == (1.0, 1.0)


async def test_a_full_board_is_an_error(site: Site) -> None:
    other = made(watched("llama", mode="act"), watched("qwen", mode="act"), objects_max=1)

    async with asked(other):
        code, body = await other.values("qwen")

    assert code == 503
    assert "the limit (limits.objectsMax) is 1" in body["message"]


async def test_a_caller_of_another_name_learns_nothing() -> None:
    async with asked(made(watched("llama", mode="act"), proxy="system:node:a")) as one:
        one.publish("llama", answer(4))
        for path in ("/apis", VERSION, f"{VERSION}/namespaces/team-a/foresail-replicas"):
            code, body = await one.get(path, labelSelector="workload=llama")
            assert (code, body["message"]) == (
                403,
                (
                    "externalMetrics.frontProxyNames lists none of the names in your certificate: "
                    "system:node:a"
                ),
            )


# Over TLS.


@dataclass
class Files:
    """The server's certificate, and clients of the front proxy's authority or another one."""

    folder: Path

    def __post_init__(self) -> None:
        self.authority, self.front_proxy = Authority("cluster"), Authority("front-proxy")
        self._write("tls", self.authority, "foresail")
        (self.folder / "front-proxy-ca.crt").write_bytes(self.front_proxy.certificate)

    def settings(self, **more: object) -> ExternalMetricsSettings:
        given = {
            "listen": "127.0.0.1:0",
            "certificate": self.folder / "tls.crt",
            "key": self.folder / "tls.key",
            "frontProxyCa": self.folder / "front-proxy-ca.crt",
            **more,
        }
        return ExternalMetricsSettings.model_validate(given)

    def client(self, name: str | None, authority: Authority | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=self.authority.certificate.decode())
        if name is not None:
            self._write("client", authority or self.front_proxy, name)
            context.load_cert_chain(self.folder / "client.crt", self.folder / "client.key")
        return context

    def _write(self, file: str, authority: Authority, name: str) -> None:
        # With a DNS name that the aggregator's certificate might have as its common name.
        pair = authority.sign(name, hosts=("localhost", "127.0.0.1", "front-proxy-client"))
        (self.folder / f"{file}.crt").write_bytes(pair.certificate)
        (self.folder / f"{file}.key").write_bytes(pair.key)


@asynccontextmanager
async def served(files: Files) -> AsyncIterator[str]:
    service = ExternalMetrics(
        made().board,
        [],
        ServiceMetrics(CollectorRegistry()),
        replicas_max=50,
        proxy_names=frozenset(files.settings().front_proxy_names),
    )
    async with external_metrics_served(files.settings(), service) as port:
        yield f"https://127.0.0.1:{port}/apis"


async def code_of(url: str, tls: ssl.SSLContext) -> int:
    async with ClientSession() as session, session.get(url, ssl=tls) as response:
        return response.status


async def test_only_the_front_proxy_is_answered(tmp_path: Path) -> None:
    files = Files(tmp_path)
    async with served(files) as url:
        assert await code_of(url, files.client("front-proxy-client")) == 200
        # Its authority may have signed others too; a DNS name is no proof, as for the API server.
        assert await code_of(url, files.client("somebody")) == 403
        for name, authority in (("front-proxy-client", files.authority), (None, None)):
            with pytest.raises(ClientConnectionError):
                await code_of(url, files.client(name, authority))


async def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    settings = Files(tmp_path).settings(frontProxyCa="/nowhere/ca.crt")

    with pytest.raises(ForesailError, match=r"^externalMetrics: .*/nowhere/ca.crt: .*No such file"):
        async with external_metrics_served(settings, made().service):
            pass


def test_the_reference_of_a_watched_model_is_that_of_a_trigger() -> None:
    metadata = {"model": "llama", "maxReplicas": "60", "mode": "act"}

    assert watched("llama", mode="act").reference == Reference.of("team-a", "llama", metadata)
