"""A real LiteLLM proxy under load: Foresail reads from its page what the backends served."""

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fleet.measured import client_spend
from fleet.spend import Client, Spend
from foresail.serve.wiring import Sources
from foresail.settings.file import Settings
from scaler.decision.answers import Reference
from scaler.decision.series import DemandSeries
from scaler.decision.tracker import DemandTracker, PollResult
from scaler.errors import SourceMisconfiguredError
from scaler.scope import Scope
from scaler.signals import Absent, Feed, Observation, Signal
from scaler.sources.catalogue import load
from scaler.sources.prometheus import PrometheusSource
from scaler.sources.prometheus_config import PrometheusConfig
from scaler.sources.reading import Limits
from scaler.sources.scrape import ScrapeConfig, ScrapeSource
from scaler.sources.targets import StaticTargets
from scaler.sources.text_format import samples_of
from scaler.trigger_parsing import parse
from tests import prometheus
from tests.exporter import Engine, served
from tests.integration.litellm_proxy import KEYS, OPERATOR, TOO_BUSY, Ask, Backend, Proxy, Served
from tests.prometheus import Job, PrometheusServer
from tests.scaler.fakes import NoForecast

# A real proxy, in real time.
pytestmark = pytest.mark.looptime(False)

LLAMA, QWEN = "llama-70b", "qwen3-32b"
PRICES = {LLAMA: (2e-6, 6e-6), QWEN: (1e-6, 3e-6)}
"""Model → dollars of a prompt token and of a generated one."""
CLIENTS = [(LLAMA, "sk-search-1"), (LLAMA, "sk-search-2"), (LLAMA, "sk-chat"), (QWEN, "sk-chat")]
WARM = [Ask(model, key, prompt) for model, key in CLIENTS for prompt in ("hello", TOO_BUSY)]


@dataclass(frozen=True)
class Gateway:
    """The proxy, and the backends of its models."""

    proxy: Proxy
    backends: dict[str, Backend]

    def ask(self, *asks: Ask) -> Counter[int]:
        """Ask, and wait until the proxy has counted all; it does so after its answer."""
        before = self.counted()
        statuses = self.proxy.ask(asks)
        prometheus.wait_for(
            lambda: self.counted() >= before + len(asks), "LiteLLM to count the requests"
        )
        return statuses

    def counted(self) -> float:
        totals = self.totals("litellm_proxy_total_requests_metric_total")
        return sum(count for labels, count in totals if labels["requested_model"])

    def totals(self, name: str) -> list[tuple[dict[str, str], float]]:
        text = self.proxy.page().text
        lines = [line.encode() for line in text.splitlines() if line.startswith(name)]
        samples = samples_of(lines, labels={}, at_seconds=0)
        return [(dict(one.labels), one.value) for one in samples]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    backends = {LLAMA: Backend(100, 20), QWEN: Backend(300, 7)}
    with backends[LLAMA].serving() as llama, backends[QWEN].serving() as qwen:
        models = [
            Served(model, address, *PRICES[model])
            for model, address in ((LLAMA, llama), (QWEN, qwen))
        ]
        proxy = Proxy(tmp_path_factory.mktemp("litellm"), models)
        try:
            proxy.wait()
            running = Gateway(proxy, backends)
            # The first value of a count is no increase.
            running.ask(*WARM)
            yield running
        finally:
            proxy.stop()


@pytest.fixture
async def feed_of(gateway: Gateway, tmp_path: Path) -> AsyncIterator[Callable[..., Feed]]:
    sources: list[ScrapeSource] = []
    (tmp_path / "key").write_text(OPERATOR)

    def made(model: str = LLAMA, *, key: bool = True) -> Feed:
        source = ScrapeSource(
            ScrapeConfig(
                name="gateway",
                discovery=StaticTargets(f"http://{gateway.proxy.address}/metrics/"),
                bearer_token_file=tmp_path / "key" if key else None,
                timeout_seconds=20,
            )
        )
        sources.append(source)
        return source.feed(preset=load("litellm"), scope=Scope(model=model, namespace="llm"))

    yield made
    for source in sources:
        await source.close()


async def in_a_minute(feed: Feed, between: Callable[[], object]) -> Observation:
    """The reading of a minute in which `between` happened, as if it had taken a minute."""
    await feed.observe(now_seconds=100)
    between()
    return await feed.observe(now_seconds=160)


async def test_token_rates_are_exactly_the_tokens_that_were_sent(
    gateway: Gateway, feed_of: Callable[..., Feed]
) -> None:
    load_of = [Ask(LLAMA, "sk-search-1")] * 24 + [Ask(LLAMA, "sk-chat")] * 12
    load_of += [Ask(QWEN, "sk-chat")] * 6
    seen = await in_a_minute(feed_of(), lambda: gateway.ask(*load_of))

    assert seen.value(Signal.REQUESTS) == pytest.approx(36 / 60, rel=1e-12)
    assert seen.value(Signal.PROMPT_TOKENS) == pytest.approx(36 * 100 / 60, rel=1e-12)
    assert seen.value(Signal.GENERATED_TOKENS) == pytest.approx(36 * 20 / 60, rel=1e-12)
    assert seen.value(Signal.REJECTED) == 0


async def test_a_429_of_a_backend_is_unmet_demand(
    gateway: Gateway, feed_of: Callable[..., Feed]
) -> None:
    refused = gateway.backends[LLAMA].served["429"]
    asks = [Ask(LLAMA, "sk-search-1", TOO_BUSY)] * 6 + [Ask(LLAMA, "sk-search-1")] * 3
    seen = await in_a_minute(feed_of(), lambda: gateway.ask(*asks))

    assert gateway.backends[LLAMA].served["429"] == refused + 6
    assert seen.value(Signal.REJECTED) == pytest.approx(6 / 60)
    assert seen.value(Signal.REQUESTS) == pytest.approx(3 / 60)


async def test_scrapes_of_the_gateway_and_wrong_keys_are_no_demand(
    gateway: Gateway, feed_of: Callable[..., Feed]
) -> None:
    def scrapes() -> None:
        for key in (None, OPERATOR) * 5:
            gateway.proxy.page(key)
        gateway.proxy.ask([Ask(LLAMA, "sk-of-nobody")] * 3)

    seen = await in_a_minute(feed_of(), scrapes)

    rates = (Signal.REQUESTS, Signal.REJECTED, Signal.PROMPT_TOKENS, Signal.GENERATED_TOKENS)
    assert {signal: seen.value(signal) for signal in rates} == dict.fromkeys(rates, 0.0)
    assert seen.value(Signal.RUNNING) == 0


async def test_a_scrape_without_a_key_says_so_and_is_not_zero(
    feed_of: Callable[..., Feed],
) -> None:
    with pytest.raises(
        SourceMisconfiguredError, match=r"HTTP 401: it wants a key.*bearerTokenFile"
    ):
        await feed_of(key=False).observe(now_seconds=100)


async def test_its_arrivals_lead_the_forecast_of_the_engine_behind_it(
    gateway: Gateway, tmp_path: Path
) -> None:
    """The engine reports 2 requests/s. Of the 12 that came to the gateway it turned 3 away."""
    (tmp_path / "key").write_text(OPERATOR)
    with served(Engine(model=LLAMA)) as (exporter,):
        sources = {
            "main": {"urls": [f"http://{exporter.address}/metrics"]},
            "gateways": {
                "urls": [f"http://{gateway.proxy.address}/metrics/"],
                "bearerTokenFile": str(tmp_path / "key"),
            },
        }
        settings = Settings.model_validate(
            {
                "sources": [
                    {"name": name, "scrape": {**scrape, "namespaces": ["llm"]}}
                    for name, scrape in sources.items()
                ],
                "defaultSource": "main",
            }
        )
        metadata = {"model": LLAMA, "gateway": "litellm", "gatewaySource": "gateways"}
        connected = Sources.of(settings)
        made: dict[DemandSeries, NoForecast] = {}
        tracker = DemandTracker(
            lambda series: made.setdefault(series, NoForecast(series)), step_seconds=60.0
        )
        reference = Reference.of("llm", "x", metadata)
        try:
            feed = connected.connect(reference, parse(metadata, settings.allowed)).feed
            await feed.observe(now_seconds=100)
            gateway.ask(*[Ask(LLAMA, "sk-chat")] * 9, *[Ask(LLAMA, "sk-chat", TOO_BUSY)] * 3)
            for now in (160, 220):
                seen = await feed.observe(now_seconds=now)
                tracker.take(PollResult(at_seconds=now, observation=seen))
        finally:
            await connected.close()

    assert made[DemandSeries.PROMPT_TOKENS].leading == [pytest.approx(12 / 60)]


@pytest.fixture(scope="module")
def monitoring(
    gateway: Gateway, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PrometheusServer]:
    """Scrapes the proxy twice: in the namespace `llm` with its key, in `keyless` without."""
    prometheus.require()
    server = PrometheusServer(tmp_path_factory.mktemp("prometheus"))
    server.configure(
        *(
            Job(
                name=namespace,
                address=gateway.proxy.address,
                path="/metrics/",
                labels={"namespace": namespace},
                bearer_token=key,
            )
            for namespace, key in (("llm", OPERATOR), ("keyless", None))
        )
    )
    server.start()
    prometheus.wait_for(lambda: "litellm_in_flight_requests" in server.names(), "a first scrape")
    yield server
    server.kill()


@dataclass
class Waiting:
    """For the next scrapes of a real Prometheus."""

    limit: float = field(default_factory=lambda: time.monotonic() + 20)  # noqa: TID251

    def on(self) -> bool:
        return time.monotonic() < self.limit  # noqa: TID251


async def test_through_a_prometheus_with_the_key_the_same_is_read_and_without_it_nothing(
    gateway: Gateway, monitoring: PrometheusServer
) -> None:
    source = PrometheusSource(
        PrometheusConfig(
            name="main",
            url=monitoring.url,
            limits=Limits(window_seconds=60, stale_after_seconds=30),
            timeout_seconds=10,
            concurrency=1,
        )
    )
    with_key, keyless = (
        source.feed(preset=load("litellm"), scope=Scope(model=LLAMA, namespace=namespace))
        for namespace in ("llm", "keyless")
    )
    gateway.ask(*[Ask(LLAMA, "sk-search-1")] * 8)
    waiting, served = Waiting(), None
    try:
        while not served and waiting.on():
            seen = await with_key.observe(now_seconds=time.time())  # noqa: TID251
            served = seen.value(Signal.REQUESTS)
        nothing = await keyless.observe(now_seconds=time.time())  # noqa: TID251
    finally:
        await source.close()

    assert served
    assert seen.value(Signal.PROMPT_TOKENS) == pytest.approx(100 * served, rel=1e-9)
    assert all(isinstance(one, Absent) for one in nothing.readings.values())


async def test_spend_of_a_model_team_and_key_is_the_price_times_the_tokens(
    gateway: Gateway, monitoring: PrometheusServer
) -> None:
    gateway.ask(*[Ask(model, key) for model, key in CLIENTS] * 3)
    waiting, found = Waiting(), dict[Client, Spend]()
    while waiting.on() and not all(one.tokens for one in found.values() or [Spend()]):
        found = dict(await client_spend(monitoring.url, 60.0))

    a_request = {  # dollars, tokens
        LLAMA: (100 * 2e-6 + 20 * 6e-6, 120),
        QWEN: (300 * 1e-6 + 7 * 3e-6, 307),
    }
    price = {model: usd / tokens * 1000 for model, (usd, tokens) in a_request.items()}
    assert {client: (one.usd or 0) / one.tokens * 1000 for client, one in found.items()} == {
        Client(model=model, team=KEYS[key], key=key): pytest.approx(price[model], rel=1e-9)
        for model, key in CLIENTS
    }
