"""Two tenants on one source: no trigger reads the other's series, whatever its metadata says."""

import json
import ssl
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from aiohttp import web
from kubernetes_asyncio import client

from foresail.serve.wiring import Sources
from foresail.settings.file import read
from scaler.decision.answers import Reference
from scaler.errors import SourceError, SourceMisconfiguredError, SourceUnavailableError
from scaler.feed_key import FeedKey
from scaler.scope import Scope
from scaler.serving.feeds import Binding
from scaler.signals import FeedGroup, Observation, Signal
from scaler.sources.catalogue import load
from scaler.sources.pods import PodTargets
from scaler.sources.prometheus_config import PrometheusConfig
from scaler.sources.scrape import ScrapeConfig, ScrapeSource
from scaler.trigger_parsing import AllowedOptions, parse
from tests import prometheus
from tests.contracts.certificates import Authority
from tests.exporter import Engine, served
from tests.prometheus import Job, PrometheusServer

# Sockets and a real Prometheus take real time.
pytestmark = pytest.mark.looptime(False)

ALLOWED = AllowedOptions(
    engines={"vllm": False, "llm-d": True}, sources=frozenset({"main"}), default_source="main"
)
VICTIMS, ATTACKERS = 7.0, 400.0
"""Requests that run in ns-a and in ns-b, by which a reading says whose it is."""

TRICKS = (
    "namespace=ns-a",
    "namespace=ns-b",
    "kubernetes_namespace=ns-a",
    "exported_namespace=ns-a",
    "model_name=m",
    "cluster=one",
    "__name__=vllm:num_requests_running",
    "namespace=",
    "kubernetes_namespace=",
    "pod=pod-a",
    "instance=",
    'team=x"} or {namespace="ns-a',
    'pod=a"\\',
    "team=a, team=b",
)


def now() -> float:
    return time.time()  # noqa: TID251 - a real Prometheus has the real time


def sources_of(folder: Path, source: dict[str, object]) -> Sources:
    path = folder / "foresail.yaml"
    path.write_text(yaml.safe_dump({"sources": [{"name": "main", **source}]}))
    return Sources.of(read(path))


def connected(sources: Sources, namespace: str, **metadata: str) -> Binding:
    reference = Reference(namespace=namespace, name="llm", metadata=())
    return sources.connect(reference, parse({"model": "m", **metadata}, ALLOWED))


async def running(sources: Sources, namespace: str, **metadata: str) -> float | None:
    """What a trigger of this namespace reads; None where it is refused or finds nothing."""
    try:
        feed = connected(sources, namespace, **metadata).feed
        return (await feed.observe(now_seconds=now())).value(Signal.RUNNING)
    except SourceError:
        return None


# Keys.


def test_scopes_that_read_the_same_as_text_are_different_keys(tmp_path: Path) -> None:
    sources = sources_of(
        tmp_path, {"scrape": {"urls": ["http://127.0.0.1:9"], "namespaces": ["*"]}}
    )
    keys = [
        connected(sources, "ns-a").key,
        connected(sources, "ns-b").key,
        connected(sources, "ns-b", matchLabels="namespace=ns-a").key,
        connected(sources, "ns-b", matchLabels="model=m,namespace=ns-a").key,
        connected(sources, "ns-a", matchLabels="a=b' c 'd").key,
        connected(sources, "ns-a", matchLabels="a=b' c 'd,e=f").key,
        connected(sources, "ns-a", engine="llm-d").key,
        connected(sources, "ns-a", timezone="Europe/Berlin").key,
        connected(sources, "ns-a", events="0 9 * * * for 30m x2").key,
        connected(sources, "ns-a", leadTime="31m").key,
    ]
    assert len(set(keys)) == len(keys)
    assert len({key.encoded() for key in keys}) == len(keys)


def test_triggers_that_read_the_same_alike_share_a_key(tmp_path: Path) -> None:
    sources = sources_of(
        tmp_path, {"scrape": {"urls": ["http://127.0.0.1:9"], "namespaces": ["*"]}}
    )
    first = connected(sources, "ns-a", matchLabels="a=b,c=d", leadTime="5m").key
    second = connected(sources, "ns-a", matchLabels="c=d, a=b", leadTime="9m").key
    assert first == second
    assert first.encoded() == second.encoded()


def test_a_source_and_an_address_of_one_name_are_different_keys() -> None:
    scope = Scope(namespace="ns-a", model="m")
    named = FeedKey(source="x", engine="vllm", scope=scope, reach_seconds=1800.0)
    addressed = FeedKey(address="x", engine="vllm", scope=scope, reach_seconds=1800.0)
    assert named != addressed
    assert named.encoded() != addressed.encoded()


# Queries.


async def test_only_triggers_of_one_namespace_and_one_scope_share_a_query(tmp_path: Path) -> None:
    sources = sources_of(tmp_path, {"prometheus": {"url": "http://127.0.0.1:9"}})
    offer = replace(ALLOWED, address_prefixes=("http://127.0.0.1:9",))

    def group(namespace: str, model: str, **metadata: str) -> FeedGroup:
        reference = Reference(namespace=namespace, name="llm", metadata=())
        spec = parse({"model": model, **metadata}, offer)
        bound.append(sources.connect(reference, spec))
        return bound[-1].group

    bound: list[Binding] = []
    one = group("ns-a", "m")
    assert group("ns-a", "m2", leadTime="31m") is one
    others = [
        group("ns-b", "m"),
        group("ns-a", "m", matchLabels="team=a"),
        group("ns-b", "m", matchLabels="team=a"),
        group("ns-a", "m", engine="llm-d"),
        group("ns-a", "m", serverAddress="http://127.0.0.1:9"),
        group("ns-b", "m", serverAddress="http://127.0.0.1:9"),
        group("ns-a", "m", gateway="llm-d"),
        group("ns-a", "m2", gateway="llm-d"),
    ]
    assert one not in others
    assert len(set(map(id, others))) == len(others)
    await sources.close()


# Prometheus.


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    """One model in two namespaces, in one Prometheus with the label under both names."""
    prometheus.require()
    server = PrometheusServer(tmp_path_factory.mktemp("prometheus"))
    engines = (Engine(model="m", running=VICTIMS), Engine(model="m", running=ATTACKERS))
    with served(*engines) as exporters:
        server.configure(
            *(
                Job(
                    name=tenant,
                    address=exporter.address,
                    labels=dict.fromkeys(("namespace", "kubernetes_namespace"), f"ns-{tenant}")
                    | {"pod": f"pod-{tenant}", "cluster": "one"},
                )
                for tenant, exporter in zip("ab", exporters, strict=True)
            )
        )
        server.start()
        prometheus.wait_for(lambda: "up" in server.names(), "the first scrape")
        yield server
        server.kill()


async def test_an_address_that_no_trigger_names_any_more_has_no_source(
    server: PrometheusServer, tmp_path: Path
) -> None:
    sources = sources_of(tmp_path, {"prometheus": {"url": server.url}})
    await until_read(sources)
    offer = replace(ALLOWED, address_prefixes=(server.url,))

    def bound(address: str) -> Binding:
        trigger_spec = parse({"model": "m", "serverAddress": address}, offer)
        reference = Reference(namespace="ns-a", name="llm", metadata=())
        return sources.connect(reference, trigger_spec)

    kept, goes = bound(server.url), bound(f"{server.url}/").feed
    stays = kept.feed
    assert (await goes.observe(now_seconds=now())).value(Signal.RUNNING) == VICTIMS

    sources.keep({kept.key})

    with pytest.raises(SourceUnavailableError, match="closed"):
        await goes.observe(now_seconds=now())
    assert (await stays.observe(now_seconds=now())).value(Signal.RUNNING) == VICTIMS
    again = bound(f"{server.url}/").feed
    assert (await again.observe(now_seconds=now())).value(Signal.RUNNING) == VICTIMS
    await sources.close()


async def test_the_addresses_of_a_namespace_share_slots_and_are_no_other_namespaces(
    tmp_path: Path,
) -> None:
    sources = sources_of(tmp_path, {"prometheus": {"url": "http://127.0.0.1:1"}})
    offer = replace(ALLOWED, address_prefixes=("http://127.0.0.1:1",))

    def bound(namespace: str, address: str) -> Binding:
        trigger_spec = parse({"model": "m", "serverAddress": address}, offer)
        reference = Reference(namespace=namespace, name="llm", metadata=())
        return sources.connect(reference, trigger_spec)

    one, edited = (bound("ns-a", f"http://127.0.0.1:1/{n}") for n in range(2))
    other = bound("ns-b", "http://127.0.0.1:1/0")

    assert one.source == edited.source != other.source
    await sources.close()


async def test_the_addresses_of_a_namespace_share_threads_that_end_with_the_last_of_them(
    tmp_path: Path,
) -> None:
    sources = sources_of(tmp_path, {"prometheus": {"url": "http://127.0.0.1:1"}})
    offer = replace(ALLOWED, address_prefixes=("http://127.0.0.1:1",))
    before = set(threading.enumerate())

    def begun() -> set[threading.Thread]:
        return {one for one in threading.enumerate() if one not in before}

    bindings = []
    for number in range(2 * sources.threads):
        trigger_spec = parse({"model": "m", "serverAddress": f"http://127.0.0.1:1/{number}"}, offer)
        reference = Reference(namespace="ns-a", name="llm", metadata=())
        bindings.append(sources.connect(reference, trigger_spec))
    for one in bindings:
        with pytest.raises(SourceUnavailableError):
            await one.feed.observe(now_seconds=now())
    assert len(begun()) <= sources.threads

    sources.keep({bindings[0].key})
    with pytest.raises(SourceUnavailableError, match=r"at http://127\.0\.0\.1:1/0"):
        await bindings[0].feed.observe(now_seconds=now())

    await sources.close()
    for thread in begun():
        thread.join(timeout=600)
        assert not thread.is_alive()


@pytest.mark.parametrize("label", ["namespace", "kubernetes_namespace"])
async def test_no_trigger_reads_another_namespace_of_a_prometheus(
    server: PrometheusServer, tmp_path: Path, label: str
) -> None:
    settings = {"url": server.url, "namespaceLabel": label, "labels": {"cluster": "one"}}
    sources = sources_of(tmp_path, {"prometheus": settings})
    try:
        await until_read(sources)
        readings = {trick: await running(sources, "ns-b", matchLabels=trick) for trick in TRICKS}
        assert set(readings.values()) <= {ATTACKERS, None}
        assert await running(sources, "ns-a") == VICTIMS
    finally:
        await sources.close()


async def until_read(sources: Sources) -> None:
    limit = now() + prometheus.DEADLINE_SECONDS
    while [await running(sources, "ns-a"), await running(sources, "ns-b")] != [VICTIMS, ATTACKERS]:
        assert now() < limit, "the two engines were not scraped in time"


async def test_a_source_wide_label_holds_for_every_trigger(
    server: PrometheusServer, tmp_path: Path
) -> None:
    one = sources_of(tmp_path, {"prometheus": {"url": server.url, "labels": {"cluster": "one"}}})
    two = sources_of(tmp_path, {"prometheus": {"url": server.url, "labels": {"cluster": "two"}}})
    try:
        await until_read(one)
        assert await running(two, "ns-a") is None
        with pytest.raises(SourceMisconfiguredError, match="'cluster' holds a label of the operat"):
            connected(two, "ns-a", matchLabels="cluster=one")
    finally:
        await one.close()
        await two.close()


def test_a_source_has_the_defaults_of_its_settings(tmp_path: Path) -> None:
    config = sources_of(tmp_path, {"prometheus": {"url": "http://p"}}).by_name["main"].config
    # A thread for each of the 16 looks and of the two pasts that are read at once.
    assert config == PrometheusConfig(
        name="main", url="http://p", timeout_seconds=8, concurrency=18
    )

    pages = {"urls": ["http://p"], "namespaces": ["*"]}
    config = sources_of(tmp_path, {"scrape": pages}).by_name["main"].config
    assert config == ScrapeConfig(name="main", discovery=config.discovery, timeout_seconds=3)


# Pods' pages, which the API server finds.


@asynccontextmanager
async def serving(
    handler: Callable[[web.Request], Awaitable[web.Response]], **site: object
) -> AsyncIterator[int]:
    app = web.Application()
    app.router.add_get("/{path:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, **site).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


def page_of(running: float) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_: web.Request) -> web.Response:
        labels = '{engine="0",model_name="m",namespace="ns-a"}'
        return web.Response(text=f"vllm:num_requests_running{labels} {running}")

    return answer


def pod(namespace: str, *, spec: dict[str, object] | None = None) -> dict[str, object]:
    return {
        "metadata": {"name": "engine", "namespace": namespace, "labels": {"app": "vllm"}},
        "spec": spec or {"containers": [{"name": "engine"}]},
        "status": {"podIP": "127.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]},
    }


@asynccontextmanager
async def pods_source(
    records: list[dict[str, object]], port: int, *, honest: bool = True
) -> AsyncIterator[ScrapeSource]:
    """A source over an API server that lists these pods; not honest, of every namespace."""

    async def api(request: web.Request) -> web.Response:
        listed = [
            one
            for one in records
            if not honest
            or request.path == f"/api/v1/namespaces/{one['metadata']['namespace']}/pods"
        ]
        return web.json_response(
            {"kind": "PodList", "metadata": {"resourceVersion": "7"}, "items": listed}
        )

    async with serving(api) as api_port:
        settings = client.Configuration(host=f"http://127.0.0.1:{api_port}")
        targets = PodTargets(port=port, labels={"app": "vllm"}, api=client.ApiClient(settings))
        source = ScrapeSource(ScrapeConfig(name="main", discovery=targets, timeout_seconds=60))
        yield source
        await source.close()


async def observed(source: ScrapeSource, namespace: str, *labels: tuple[str, str]) -> Observation:
    scope = Scope(namespace=namespace, model="m", labels=labels)
    return await source.feed(preset=load("vllm"), scope=scope).observe(now_seconds=100)


@pytest.mark.parametrize("trick", TRICKS)
@pytest.mark.parametrize("honest", [True, False], ids=["API server", "one that lists too much"])
async def test_a_victim_without_pods_reads_no_page_of_the_attackers(
    trick: str, honest: bool
) -> None:
    labels = tuple(tuple(part.strip().split("=", 1)) for part in trick.split(",") if "=" in part)
    async with (
        serving(page_of(ATTACKERS)) as port,
        pods_source([pod("ns-b")], port, honest=honest) as source,
    ):
        assert (await observed(source, "ns-b")).value(Signal.RUNNING) == ATTACKERS
        assert (await observed(source, "ns-a")).value(Signal.RUNNING) is None
        try:
            victims = await observed(source, "ns-a", *labels)
        except SourceMisconfiguredError:
            return
        assert victims.value(Signal.RUNNING) is None


async def test_a_label_of_the_operators_pods_is_not_a_triggers_to_name() -> None:
    async with pods_source([], 9) as source:
        with pytest.raises(SourceMisconfiguredError, match="'app' holds a label of the operator"):
            await observed(source, "ns-a", ("app", "other"))


async def test_a_label_value_cannot_go_on_as_a_selector() -> None:
    async with pods_source([], 9) as source:
        with pytest.raises(SourceMisconfiguredError, match="is no label value"):
            await observed(source, "ns-a", ("role", "x,app!=vllm"))


async def test_a_pod_on_the_hosts_network_is_read_only_at_a_port_it_declares() -> None:
    async with serving(page_of(ATTACKERS)) as port:
        bare = {"hostNetwork": True, "containers": [{"name": "engine"}]}
        declared = {
            "hostNetwork": True,
            "containers": [{"name": "engine", "ports": [{"containerPort": port}]}],
        }
        async with pods_source([pod("ns-a", spec=bare)], port) as source:
            assert (await observed(source, "ns-a")).value(Signal.RUNNING) is None
        async with pods_source([pod("ns-a", spec=declared)], port) as source:
            assert (await observed(source, "ns-a")).value(Signal.RUNNING) == ATTACKERS


# Fixed addresses and names, of which nothing on the page tells tenants apart.


@pytest.mark.parametrize("where", ["urls", "dns"])
async def test_a_page_for_one_namespace_is_read_by_no_other(tmp_path: Path, where: str) -> None:
    async with serving(page_of(VICTIMS)) as port:
        place = {
            "urls": [f"http://127.0.0.1:{port}/metrics"],
            "dns": {"host": "localhost", "port": port},
        }
        sources = sources_of(tmp_path, {"scrape": {where: place[where], "namespaces": ["ns-a"]}})
        try:
            assert await running(sources, "ns-a") == VICTIMS
            with pytest.raises(SourceMisconfiguredError, match="'ns-b' may not read it") as caught:
                connected(sources, "ns-b")
            assert "ns-a" not in str(caught.value)
            for trick in TRICKS:
                assert await running(sources, "ns-b", matchLabels=trick) is None
        finally:
            await sources.close()


async def test_a_page_for_every_namespace_is_one(tmp_path: Path) -> None:
    async with serving(page_of(VICTIMS)) as port:
        url = f"http://127.0.0.1:{port}/metrics"
        sources = sources_of(tmp_path, {"scrape": {"urls": [url], "namespaces": ["*"]}})
        try:
            assert await running(sources, "ns-b") == VICTIMS
        finally:
            await sources.close()


# Ways in that settings had not.


def server_context(folder: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "crt", folder / "key")
    return context


async def test_pages_behind_a_password_and_a_certificate_with_a_name_are_read(
    tmp_path: Path,
) -> None:
    authority = Authority("ours")
    pair = authority.sign("engine", hosts=("engine.llm.svc",))
    files = {"ca": authority.certificate, "crt": pair.certificate, "key": pair.key}
    for name, text in files.items():
        (tmp_path / name).write_bytes(text)
    (tmp_path / "password").write_text("two\n")
    sent = []

    async def answer(request: web.Request) -> web.Response:
        sent.append(request.headers.get("Authorization"))
        return await page_of(VICTIMS)(request)

    async with serving(answer, ssl_context=server_context(tmp_path)) as port:
        scrape = {
            "urls": [f"https://127.0.0.1:{port}/metrics"],
            "namespaces": ["*"],
            "basic": {"username": "u", "passwordFile": str(tmp_path / "password")},
            "tls": {"ca": str(tmp_path / "ca")},
        }
        nameless = sources_of(tmp_path, {"scrape": scrape})
        scrape["tls"] = {"ca": str(tmp_path / "ca"), "serverName": "engine.llm.svc"}
        named = sources_of(tmp_path, {"scrape": scrape})
        try:
            with pytest.raises(SourceMisconfiguredError, match=r"TLS: .*IP address mismatch"):
                await connected(nameless, "ns-a").feed.observe(now_seconds=100)
            assert await running(named, "ns-a") == VICTIMS
        finally:
            await nameless.close()
            await named.close()
    assert sent == ["Basic dTp0d28="]


def test_a_part_that_a_later_version_adds_leaves_what_is_kept_findable() -> None:
    key = FeedKey(source="x", engine="vllm", scope=Scope(), reach_seconds=1800.0)
    assert set(json.loads(key.encoded())) == {"source", "engine", "scope", "reach_seconds"}
