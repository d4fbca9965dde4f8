"""Pods' own pages, served on loopback: found, fetched, bounded, and aged when they go."""

import asyncio
import gc
import gzip
import itertools
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from aiohttp import web
from kubernetes_asyncio import client
from typing_extensions import override

from scaler.errors import SourceError, SourceMisconfiguredError, SourceUnavailableError
from scaler.limits import Limit
from scaler.scope import Scope
from scaler.signals import Absent, Feed, Signal, Stale, Value
from scaler.sources import kept_pages
from scaler.sources.access import Basic, Tls
from scaler.sources.catalogue import load
from scaler.sources.held_bytes import HELD_BYTES_MAX, HeldBytes
from scaler.sources.kept_pages import KeptPages
from scaler.sources.pods import PodTargets
from scaler.sources.refused_time import RefusedTime
from scaler.sources.scrape import ScrapeConfig, ScrapeSource
from scaler.sources.series import Sample, SeriesStore
from scaler.sources.source_shares import SourceShares
from scaler.sources.targets import DiscoveredTargets, Discovery, DnsTargets, StaticTargets
from scaler.sources.text_format import PageLines
from tests.contracts.certificates import Authority
from tests.cpu_time import cpu_seconds
from tests.sources.pages import samples_on
from tests.sources.raw_server import CHUNKED, raw_server

# Sockets take real time.
pytestmark = pytest.mark.looptime(False)

VLLM = load("vllm")
SCOPE = Scope(model="m", namespace="llm")
LABELLED = Scope(model="m", namespace="llm", labels=(("app", "vllm"),))


@dataclass
class Pod:
    """A metrics page whose answers a test may change."""

    running: float = 3
    tokens: float = 0
    status: int = 200
    extra: str = ""
    requests: list[web.Request] = field(default_factory=list)
    port: int = 0

    async def answer(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        page = (
            "# TYPE vllm:num_requests_running gauge\n"
            f'vllm:num_requests_running{{engine="0",model_name="m"}} {self.running}\n'
            f'vllm:generation_tokens_total{{engine="0",model_name="m"}} {self.tokens}\n'
        )
        return web.Response(text=page + self.extra, status=self.status)


@dataclass
class ByModel:
    """Other targets for each model."""

    targets: dict[str, StaticTargets]

    def required_labels(self, scope: Scope, reserved: Mapping[str, str]) -> Mapping[str, str]:
        return {}

    async def find(self, scope: Scope) -> DiscoveredTargets:
        return await self.targets[scope.model].find(scope)

    async def close(self) -> None:
        return


Serve = Callable[..., Awaitable[int]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    runners = []

    async def started(handler: Callable[..., Awaitable[web.StreamResponse]]) -> int:
        app = web.Application()
        app.router.add_get("/{path:.*}", handler)
        runner = web.AppRunner(app)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port: int = runner.addresses[0][1]
        return port

    yield started
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
async def pods(serve: Serve) -> list[Pod]:
    found = [Pod(), Pod(running=4)]
    for pod in found:
        pod.port = await serve(pod.answer)
    return found


@pytest.fixture
async def feed_of() -> AsyncIterator[Callable[..., Feed]]:
    sources = []

    def made(discovery: Discovery, *, scope: Scope = SCOPE, **settings: object) -> Feed:
        settings = {"timeout_seconds": 60} | settings
        source = ScrapeSource(ScrapeConfig(name="pods", discovery=discovery, **settings))
        sources.append(source)
        return source.feed(preset=VLLM, scope=scope)

    yield made
    for source in sources:
        await source.close()


def url(pod: Pod) -> str:
    return f"http://127.0.0.1:{pod.port}/metrics"


async def test_a_page_is_asked_for_unpacked_and_read_as_nothing_else(
    serve: Serve, feed_of: Callable[..., Feed]
) -> None:
    asked = []

    async def packed(request: web.Request) -> web.Response:
        asked.append(request.headers["Accept-Encoding"])
        return web.Response(body=gzip.compress(b"a 1\n"), headers={"Content-Encoding": "gzip"})

    feed = feed_of(StaticTargets(f"http://127.0.0.1:{await serve(packed)}/metrics"))
    with pytest.raises(SourceMisconfiguredError, match="Content-Encoding 'gzip', which was not"):
        await feed.observe(now_seconds=100)
    assert asked == ["identity"]


async def test_a_clock_that_is_set_back_leaves_no_newer_sample_to_be_read(
    pods: list[Pod], feed_of: Callable[..., Feed]
) -> None:
    feed = feed_of(StaticTargets(url(pods[0])))
    await feed.observe(now_seconds=10_000.0)

    pods[0].running = 5
    read = await feed.observe(now_seconds=6_415.0)

    assert read.value(Signal.RUNNING) == 5


async def test_pods_are_added_and_two_reads_make_a_rate(
    pods: list[Pod], feed_of: Callable[..., Feed]
) -> None:
    feed = feed_of(StaticTargets(*map(url, pods)))

    first = await feed.observe(now_seconds=100)
    for pod in pods:
        pod.tokens = 150
    second = await feed.observe(now_seconds=115)

    assert first.readings[Signal.RUNNING] == Value(value=7, at_seconds=100)
    assert isinstance(first.readings[Signal.GENERATED_TOKENS], Absent)
    assert second.value(Signal.GENERATED_TOKENS) == 20
    assert second.value(Signal.REPLICAS) == 2
    assert second.remarks == ()
    # Asked for OpenMetrics, an exporter of prometheus_client's would rename everything.
    assert {pod.requests[0].headers["Accept"] for pod in pods} == {"text/plain;version=0.0.4"}


async def test_a_pod_that_does_not_answer_ages_and_is_remarked(
    pods: list[Pod], feed_of: Callable[..., Feed]
) -> None:
    feed = feed_of(StaticTargets(*map(url, pods)))
    await feed.observe(now_seconds=100)
    pods[0].status = 500

    soon = await feed.observe(now_seconds=130)
    late = await feed.observe(now_seconds=161)

    assert soon.value(Signal.RUNNING) == 7
    assert soon.remarks == (f"1 of 2 targets do not answer: {url(pods[0])}",)
    assert late.value(Signal.RUNNING) == 4
    assert late.value(Signal.REPLICAS) == 1


@pytest.mark.parametrize("status", [200, 500], ids=["too large together", "one does not answer"])
async def test_a_look_that_fails_in_part_or_whole_leaves_nothing_of_its_pages(
    pods: list[Pod], feed_of: Callable[..., Feed], status: int
) -> None:
    pods[0].status, pods[1].extra = status, series(100)
    feed = feed_of(StaticTargets(*map(url, pods)), samples_of_all_max=103)
    gc.collect()
    gc.disable()  # what is in a cycle would stay until the next full collection
    try:
        with suppress(SourceUnavailableError):
            await feed.observe(now_seconds=100)
        async with asyncio.timeout(10):
            while [one for one in gc.get_objects() if isinstance(one, KeptPages | Sample)]:
                await asyncio.sleep(0.01)  # its thread may still be at its last step
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("status", "error"),
    [(500, SourceUnavailableError), (404, SourceUnavailableError), (401, SourceMisconfiguredError)],
)
async def test_when_none_answers_the_source_is_out(
    pods: list[Pod], feed_of: Callable[..., Feed], status: int, error: type[Exception]
) -> None:
    for pod in pods:
        pod.status = status
    with pytest.raises(error, match=f"none of 2 targets answers; http.*HTTP {status}"):
        await feed_of(StaticTargets(*map(url, pods))).observe(now_seconds=100)


async def test_a_page_that_wants_a_key_says_where_to_give_it(
    pods: list[Pod], feed_of: Callable[..., Feed]
) -> None:
    pods[0].status = 401
    with pytest.raises(
        SourceMisconfiguredError, match=r"HTTP 401: it wants a key.*bearerTokenFile"
    ):
        await feed_of(StaticTargets(url(pods[0]))).observe(now_seconds=100)


async def test_a_page_whose_path_ends_in_a_slash_is_asked_for_as_it_is(
    pods: list[Pod], feed_of: Callable[..., Feed]
) -> None:
    """A proxy that redirects `/metrics` to `/metrics/` would be asked for its page with no key."""
    await feed_of(StaticTargets(f"{url(pods[0])}/")).observe(now_seconds=100)
    assert pods[0].requests[-1].path == "/metrics/"


async def test_a_refused_connection_is_an_outage(feed_of: Callable[..., Feed]) -> None:
    with pytest.raises(SourceUnavailableError, match="source 'pods': none of 1 targets answers"):
        await feed_of(StaticTargets("http://127.0.0.1:9/metrics")).observe(now_seconds=100)


async def test_a_page_without_end_is_cut_off(
    serve: Serve,
    pods: list[Pod],
    feed_of: Callable[..., Feed],
    limits_exceeded: Callable[[], set[Limit]],
) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65535 + b"\n")

    port = await serve(endless)
    targets = StaticTargets(f"http://127.0.0.1:{port}/metrics", url(pods[0]))
    observation = await feed_of(targets, body_bytes_max=2**20).observe(now_seconds=100)
    assert observation.value(Signal.RUNNING) == 3
    assert observation.remarks[0].startswith("1 of 2 targets do not answer")
    assert Limit.PAGE_BYTES in limits_exceeded()


async def test_a_page_that_never_comes_holds_nobody_up(
    serve: Serve,
    pods: list[Pod],
    feed_of: Callable[..., Feed],
    limits_exceeded: Callable[[], set[Limit]],
) -> None:
    async def silent(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"vllm:")
        assert request.transport is not None
        while not request.transport.is_closing():
            await asyncio.sleep(0.01)
        return response

    port = await serve(silent)
    targets = StaticTargets(f"http://127.0.0.1:{port}/metrics", url(pods[0]))
    feed = feed_of(targets, timeout_seconds=0.3)
    async with asyncio.timeout(60):
        while True:  # a busy core may send neither page in that time
            with suppress(SourceUnavailableError):
                observation = await feed.observe(now_seconds=100)
                break
    assert observation.value(Signal.RUNNING) == 3
    assert Limit.READ_SECONDS in limits_exceeded()


async def test_targets_that_are_not_found_in_time_are_an_outage(
    serve: Serve, feed_of: Callable[..., Feed], limits_exceeded: Callable[[], set[Limit]]
) -> None:
    async def silent(_: web.Request) -> web.Response:
        await asyncio.sleep(1)
        return web.json_response({})

    settings = client.Configuration(host=f"http://127.0.0.1:{await serve(silent)}")
    discovery = PodTargets(port=8000, api=client.ApiClient(settings))
    feed = feed_of(discovery, scope=LABELLED, timeout_seconds=0.2)
    with pytest.raises(SourceUnavailableError, match=r"'pods': its targets .* within 0\.2 s"):
        await feed.observe(now_seconds=100)
    assert Limit.READ_SECONDS in limits_exceeded()


async def test_pods_of_one_workload_that_hang_hold_up_no_other(
    serve: Serve, pods: list[Pod], limits_exceeded: Callable[[], set[Limit]]
) -> None:
    asked, answered = asyncio.Semaphore(0), asyncio.Event()

    async def silent(_: web.Request) -> web.Response:
        asked.release()
        await answered.wait()
        return web.Response(status=500)

    port = await serve(silent)
    hung = [f"http://127.0.0.1:{port}/{page}" for page in range(8)]
    targets = ByModel({"hung": StaticTargets(*hung), "m": StaticTargets(url(pods[0]))})
    source = ScrapeSource(
        ScrapeConfig(name="pods", discovery=targets, concurrency=2, timeout_seconds=600)
    )
    hanging = source.feed(preset=VLLM, scope=Scope(model="hung", namespace="llm"))
    healthy = source.feed(preset=VLLM, scope=SCOPE)
    attack = asyncio.create_task(hanging.observe(now_seconds=100))
    for _ in range(2):
        await asked.acquire()

    async with asyncio.timeout(60):
        observation = await healthy.observe(now_seconds=100)

    assert observation.value(Signal.RUNNING) == 3
    assert not attack.done()
    answered.set()
    with pytest.raises(SourceUnavailableError, match="none of 8 targets answers"):
        await attack
    await source.close()
    assert Limit.PAGES_AT_ONCE in limits_exceeded()


@pytest.mark.parametrize(
    ("page", "why"),
    [
        ('vllm:num_requests_running{a="%d"} 1\n' * 101 % tuple(range(101)), "over 100 series"),
        ("x" * 70_000, "a line of over 65536 bytes"),
    ],
    ids=["series", "line"],
)
async def test_a_page_that_no_engine_writes_is_not_parsed(
    serve: Serve,
    feed_of: Callable[..., Feed],
    page: str,
    why: str,
    limits_exceeded: Callable[[], set[Limit]],
) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=page)

    targets = StaticTargets(f"http://127.0.0.1:{await serve(answer)}/metrics")
    with pytest.raises(SourceUnavailableError, match=why):
        await feed_of(targets, samples_max=100).observe(now_seconds=100)
    assert limits_exceeded() == {Limit.PAGE_SERIES if "series" in why else Limit.PAGE_LINE}


def test_a_page_of_line_ends_costs_the_loop_less_than_looking_at_each_line() -> None:
    page = b"\n" * 2**19

    def picked() -> None:
        lines = PageLines(VLLM.spelled, bytes_max=2**20, lines_max=1)
        lines.add(page)
        assert lines.end() == []

    assert cpu_seconds(picked) < cpu_seconds(
        lambda: [line.find(b"{") for line in page.split(b"\n")]
    )


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        pytest.param(CHUNKED + b"1\r\n\n\r\n" * 200_000, "parts for its size", id="parts"),
        pytest.param(b"HTTP/1.1 102 x\r\n\r\n" * 200_000, "interim answers", id="interim"),
    ],
)
async def test_a_body_of_tiny_parts_is_not_taken_apart_and_its_namespace_pays(
    sent: bytes, why: str, limits_exceeded: Callable[[], set[Limit]]
) -> None:
    server = await raw_server(sent)
    port = server.sockets[0].getsockname()[1]
    refused_time = RefusedTime(burst_seconds=0.0)
    source = ScrapeSource(
        ScrapeConfig(
            name="pods",
            discovery=StaticTargets(f"http://127.0.0.1:{port}/metrics"),
            timeout_seconds=60,
        ),
        SourceShares(refused_time=refused_time),
    )
    feed = source.feed(preset=VLLM, scope=SCOPE)
    began = time.thread_time()
    with pytest.raises(SourceUnavailableError, match=why):
        await feed.observe(now_seconds=100)
    spent = time.thread_time() - began
    now = asyncio.get_running_loop().time()
    await source.close()
    server.close()

    assert spent < 0.5  # two hundred thousand take the double of it
    assert refused_time.wait_seconds("llm", now_seconds=now) > 0
    assert Limit.PARTS in limits_exceeded()


async def test_a_page_whose_lines_are_sent_one_by_one_is_read_and_costs_nothing(
    limits_exceeded: Callable[[], set[Limit]],
) -> None:
    line = b'vllm:num_requests_running{engine="%d",model_name="m"} 1\n'
    lines = [line % number for number in range(400)]
    parts = b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in lines)
    server = await raw_server(CHUNKED + parts + b"0\r\n\r\n")
    port = server.sockets[0].getsockname()[1]
    refused_time = RefusedTime(burst_seconds=0.0)
    source = ScrapeSource(
        ScrapeConfig(
            name="pods",
            discovery=StaticTargets(f"http://127.0.0.1:{port}/metrics"),
            timeout_seconds=60,
        ),
        SourceShares(refused_time=refused_time),
    )
    observation = await source.feed(preset=VLLM, scope=SCOPE).observe(now_seconds=100)
    now = asyncio.get_running_loop().time()
    await source.close()
    server.close()

    assert observation.value(Signal.RUNNING) == 400
    assert refused_time.wait_seconds("llm", now_seconds=now) == 0
    assert not limits_exceeded()


@pytest.mark.parametrize(
    "page", [("x" * 999 + "\n") * 2**11, "\n" * (2**20 - 1)], ids=["long", "slow"]
)
async def test_a_namespace_of_long_pages_is_asked_for_later_and_others_are_now(
    serve: Serve, pods: list[Pod], limits_exceeded: Callable[[], set[Limit]], page: str
) -> None:
    async def long(_: web.Request) -> web.Response:
        return web.Response(text=page)

    targets = StaticTargets(f"http://127.0.0.1:{await serve(long)}/metrics")
    hostile, good = (
        ScrapeSource(
            ScrapeConfig(name="pods", discovery=discovery, timeout_seconds=60),
            SourceShares(refused_time=refused_time),
        )
        for refused_time in [RefusedTime(burst_seconds=0.0)]
        for discovery in (targets, StaticTargets(url(pods[0])))
    )
    _ = await hostile.feed(preset=VLLM, scope=SCOPE).observe(now_seconds=100)
    with pytest.raises(SourceUnavailableError, match="pages for namespace 'llm' were too large"):
        await good.feed(preset=VLLM, scope=SCOPE).observe(now_seconds=100)
    other = Scope(model="m", namespace="other")
    observation = await good.feed(preset=VLLM, scope=other).observe(now_seconds=100)
    for source in (hostile, good):
        await source.close()

    assert observation.value(Signal.RUNNING) == 3
    assert limits_exceeded() == {Limit.REFUSED_TIME}


def series(count: int) -> str:
    """Lines that a preset reads, each a series of its own."""
    name = "vllm:num_requests_waiting"
    return "".join(f'{name}{{engine="{n}",model_name="m"}} 1\n' for n in range(count))


async def test_the_loop_turns_while_long_pages_are_parsed(
    pods: list[Pod], feed_of: Callable[..., Feed]
) -> None:
    pods[0].extra = pods[1].extra = series(19_000)
    # Of the loop's thread at work: a core that is taken from it is no gap.
    gaps, begun = [time.thread_time()], time.process_time()

    async def tick() -> None:
        while True:
            await asyncio.sleep(0.001)
            gaps.append(time.thread_time())

    ticking = asyncio.create_task(tick())
    observation = await feed_of(StaticTargets(*map(url, pods)), timeout_seconds=600).observe(
        now_seconds=100
    )
    ticking.cancel()

    assert observation.value(Signal.WAITING) == 38_000
    longest = max(after - before for before, after in itertools.pairwise(gaps))
    assert longest < (time.process_time() - begun) / 4


async def test_pages_of_one_workload_are_limited_together(
    pods: list[Pod], feed_of: Callable[..., Feed], limits_exceeded: Callable[[], set[Limit]]
) -> None:
    pods[0].extra = pods[1].extra = series(100)
    feed = feed_of(StaticTargets(*map(url, pods)), samples_of_all_max=200)

    with pytest.raises(SourceUnavailableError, match="over 200 series of the engine on the pages"):
        await feed.observe(now_seconds=100)
    assert Limit.PAGES_SERIES in limits_exceeded()


async def test_a_look_whose_pages_are_too_large_together_asks_for_no_further_one(
    pods: list[Pod],
    feed_of: Callable[..., Feed],
    limits_exceeded: Callable[[], set[Limit]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kept_pages, "BYTES_MAX", 2000)
    pods[0].extra = series(100)
    feed = feed_of(StaticTargets(*map(url, pods)), concurrency=1)

    with pytest.raises(SourceUnavailableError, match="over 2000 bytes on the pages of one"):
        await feed.observe(now_seconds=100)
    assert [len(pod.requests) for pod in pods] == [1, 0]
    assert Limit.PAGES_BYTES in limits_exceeded()

    pods[0].extra = ""
    assert (await feed.observe(now_seconds=115)).value(Signal.RUNNING) == 7


def test_pages_share_the_memory_of_all_answers_and_give_it_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kept_pages, "HELD", held := HeldBytes())
    looks = [KeptPages("pages of llm", source="pods", lines_max=10**6) for _ in range(4)]
    for look in looks[:2]:
        look.add(1, 31 * 2**20)

    with pytest.raises(SourceUnavailableError, match="over 67108864 bytes at a time"):
        looks[3].add(1, 31 * 2**20)

    for look in looks:
        look.let_go()
    assert held.take("another", HELD_BYTES_MAX)


async def test_the_feeds_of_a_namespace_share_the_memory_for_series(pods: list[Pod]) -> None:
    config = ScrapeConfig(
        name="pods", discovery=StaticTargets(*map(url, pods)), timeout_seconds=5.0
    )
    source = ScrapeSource(config, SourceShares(series=HeldBytes(2**20)))
    try:
        pods[0].extra = series(400)
        first = source.feed(preset=VLLM, scope=SCOPE)
        await first.observe(now_seconds=100)
        with pytest.raises(SourceUnavailableError, match=r"limits\.seriesMebibytesMax"):
            await source.feed(preset=VLLM, scope=SCOPE).observe(now_seconds=100)
        del first
        await source.feed(preset=VLLM, scope=SCOPE).observe(now_seconds=100)
    finally:
        await source.close()


def test_lines_are_kept_as_they_came() -> None:
    """As text, one sign of four bytes makes all others of its line as large."""
    lines = PageLines(VLLM.spelled, bytes_max=2**20, lines_max=10)
    line = 'vllm:num_requests_running{engine="\N{GRINNING FACE}"} 1'.encode()
    lines.add(line)

    assert lines.end() == [line]


async def test_more_targets_than_any_workload_has_are_not_asked(
    pods: list[Pod], feed_of: Callable[..., Feed], limits_exceeded: Callable[[], set[Limit]]
) -> None:
    feed = feed_of(StaticTargets(*[url(pods[0])] * 1001))

    with pytest.raises(SourceUnavailableError, match="1001 targets, over 1000"):
        await feed.observe(now_seconds=100)
    assert not pods[0].requests
    assert Limit.TARGETS in limits_exceeded()


async def test_a_series_of_many_labels_is_not_parsed(
    pods: list[Pod], feed_of: Callable[..., Feed], limits_exceeded: Callable[[], set[Limit]]
) -> None:
    labels = ",".join(f'l{number}="x"' for number in range(1000))
    pods[0].extra = f"vllm:num_requests_running{{{labels}}} 1\n"

    observation = await feed_of(StaticTargets(*map(url, pods))).observe(now_seconds=100)

    assert observation.value(Signal.RUNNING) == 4
    assert observation.remarks[0].startswith("1 of 2 targets do not answer")
    assert Limit.LABELS in limits_exceeded()


class CountedTime(RefusedTime):
    """Keeps whose time was counted."""

    def __init__(self) -> None:
        super().__init__()
        self.of: set[str | None] = set()

    @override
    def add(
        self, namespace: str | None, seconds: float, received_bytes: int, *, now_seconds: float
    ) -> None:
        self.of.add(namespace)


async def test_a_namespace_pays_for_the_time_that_its_pages_take_of_a_thread(
    pods: list[Pod],
) -> None:
    page_time = RefusedTime(burst_seconds=0.0, share=1e-6)
    config = ScrapeConfig(name="pods", discovery=StaticTargets(url(pods[0])), timeout_seconds=60)
    source = ScrapeSource(config, SourceShares(page_time=page_time))
    other = replace(SCOPE, namespace="other")
    try:
        feed = source.feed(preset=VLLM, scope=SCOPE)
        await feed.observe(now_seconds=100)
        with pytest.raises(SourceUnavailableError, match=r"'llm' .* too much time to read"):
            await feed.observe(now_seconds=115)
        await source.feed(preset=VLLM, scope=other).observe(now_seconds=115)
    finally:
        await source.close()


def test_pods_at_one_address_are_found_without_comparing_each_with_each() -> None:
    def read(count: int) -> float:
        store = SeriesStore(VLLM)
        name = "vllm:num_requests_running"
        for number in range(count):
            for labels in ({"pod": str(number)}, {"engine_type": str(number)}):
                known = {"instance": "10.0.0.1:8000", **labels}
                sample = Sample(name=name, labels=known, value=1, at_seconds=100)
                store.add([sample], latest_seconds=100)
        return cpu_seconds(store.by_exporter)

    assert read(4000) < 10 * read(1000)  # each with each: sixteen times


async def test_a_triggers_label_chooses_series_of_a_fixed_page(
    pods: list[Pod], feed_of: Callable[..., Feed]
) -> None:
    pods[0].extra = 'vllm:num_requests_running{engine="1",model_name="m",role="decode"} 40\n'
    decode = Scope(model="m", namespace="llm", labels=(("role", "decode"),))
    observation = await feed_of(StaticTargets(url(pods[0])), scope=decode).observe(now_seconds=100)
    assert observation.value(Signal.RUNNING) == 40


async def test_feeds_share_one_look_up_of_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    all_ask, asked = threading.Event(), []

    def looked_up(host: str, port: int, **_: object) -> list[object]:
        asked.append(host)
        assert all_ask.wait(600)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", looked_up)
    targets = DnsTargets(host="engines", port=8000)
    finding = [asyncio.create_task(targets.find(SCOPE)) for _ in range(64)]
    await asyncio.sleep(0)  # each has begun
    all_ask.set()
    found = await asyncio.gather(*finding)
    await targets.close()
    assert {one.targets[0].url for one in found} == {"http://127.0.0.1:8000/metrics"}
    assert asked == ["engines"]


async def test_credentials_come_from_files_as_they_are_now(
    pods: list[Pod], feed_of: Callable[..., Feed], tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("one\n")
    feed = feed_of(StaticTargets(url(pods[0])), bearer_token_file=token)
    await feed.observe(now_seconds=100)
    token.write_text("two\n")
    await feed.observe(now_seconds=115)
    sent = [request.headers["Authorization"] for request in pods[0].requests]
    assert sent == ["Bearer one", "Bearer two"]

    basic = Basic(username="u", password_file=token)
    await feed_of(StaticTargets(url(pods[0])), basic=basic).observe(now_seconds=100)
    assert pods[0].requests[-1].headers["Authorization"] == "Basic dTp0d28="

    token.unlink()
    with pytest.raises(SourceMisconfiguredError, match="secret file"):
        await feed.observe(now_seconds=130)


async def test_the_loop_reads_no_file_of_a_secret(
    pods: list[Pod],
    feed_of: Callable[..., Feed],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    token, readers, read_text = tmp_path / "token", [], Path.read_text
    token.write_text("one\n")

    def noted(path: Path, encoding: str) -> str:
        readers.append(threading.current_thread())
        return read_text(path, encoding=encoding)

    monkeypatch.setattr(Path, "read_text", noted)
    await feed_of(StaticTargets(url(pods[0])), bearer_token_file=token).observe(now_seconds=100)

    assert pods[0].requests[0].headers["Authorization"] == "Bearer one"
    assert readers
    assert threading.current_thread() not in readers


async def test_there_is_no_past(pods: list[Pod], feed_of: Callable[..., Feed]) -> None:
    feed = feed_of(StaticTargets(url(pods[0])))
    assert [o async for o in feed.history(start_seconds=0, end_seconds=1e9, step_seconds=60)] == []


async def test_a_name_is_resolved_to_its_addresses(
    pods: list[Pod], feed_of: Callable[..., Feed]
) -> None:
    feed = feed_of(DnsTargets(host="localhost", port=pods[0].port))
    assert (await feed.observe(now_seconds=100)).value(Signal.RUNNING) == 3


async def test_a_service_without_a_ready_pod_is_absence(feed_of: Callable[..., Feed]) -> None:
    feed = feed_of(DnsTargets(host="no-such-service.invalid", port=8000))
    try:
        observation = await feed.observe(now_seconds=100)
    except SourceUnavailableError as error:
        pytest.skip(f"no name server here to say that a name does not exist: {error}")
    assert observation.remarks == ("no-such-service.invalid has no address",)
    assert isinstance(observation.readings[Signal.RUNNING], Absent)


def pod_record(name: str, *, ready: bool = True, ending: bool = False) -> dict[str, object]:
    metadata = {"name": name, "namespace": "llm"}
    if ending:
        metadata["deletionTimestamp"] = "2026-11-22T00:00:00Z"
    status = "True" if ready else "False"
    return {
        "metadata": metadata,
        "spec": {"containers": [{"name": "engine"}]},
        "status": {"podIP": "127.0.0.1", "conditions": [{"type": "Ready", "status": status}]},
    }


async def test_ready_pods_that_do_not_end_are_read(
    serve: Serve, pods: list[Pod], feed_of: Callable[..., Feed]
) -> None:
    asked = []
    records = [
        pod_record("serving"),
        pod_record("loading", ready=False),
        pod_record("ending", ending=True),
    ]

    async def api(request: web.Request) -> web.Response:
        asked.append((request.path, request.query["labelSelector"]))
        return web.json_response(
            {"kind": "PodList", "metadata": {"resourceVersion": "7"}, "items": records}
        )

    port = await serve(api)
    settings = client.Configuration(host=f"http://127.0.0.1:{port}")
    targets = PodTargets(
        port=pods[0].port, labels={"role": "decode"}, api=client.ApiClient(settings)
    )
    feed = feed_of(targets, scope=LABELLED)

    observation = await feed.observe(now_seconds=100)

    assert asked == [("/api/v1/namespaces/llm/pods", "app=vllm,role=decode")]
    assert observation.value(Signal.RUNNING) == 3
    assert observation.remarks == ("2 of 3 pods not ready or ending",)

    # The last pod goes: its words are held while they are fresh, then they are old; never zero.
    records.clear()
    held = await feed.observe(now_seconds=120)
    assert held.value(Signal.RUNNING) == 3
    assert held.remarks == ("no pod in namespace 'llm' with app=vllm,role=decode",)
    old = await feed.observe(now_seconds=161)
    assert old.readings[Signal.RUNNING] == Stale(at_seconds=100)


def api_of_giants(count: int) -> Callable[[web.Request], Awaitable[web.Response]]:
    """An API server that lists pods of 100 KB each that are not ready."""
    record = pod_record("giant", ready=False) | {"spec": {"containers": [{"name": "x" * 100_000}]}}
    listed = {"kind": "PodList", "metadata": {"resourceVersion": "7"}, "items": [record] * count}

    async def api(_: web.Request) -> web.Response:
        return web.json_response(listed)

    return api


async def test_a_list_of_giant_pods_is_not_read_to_its_end(
    serve: Serve,
    feed_of: Callable[..., Feed],
    limits_exceeded: Callable[[], set[Limit]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("scaler.sources.pods.LIST_BYTES_MAX", 2**20)
    settings = client.Configuration(host=f"http://127.0.0.1:{await serve(api_of_giants(20))}")
    feed = feed_of(PodTargets(port=8000, api=client.ApiClient(settings)), scope=LABELLED)

    with pytest.raises(SourceUnavailableError, match="in 'llm': pods of over 1048576 bytes"):
        await feed.observe(now_seconds=100)
    assert Limit.PODS_BYTES in limits_exceeded()


@pytest.mark.parametrize(("giants", "counts"), [(20, True), (3, False)])
async def test_a_list_of_pods_larger_than_an_engines_counts_for_its_namespace(
    serve: Serve, feed_of: Callable[..., Feed], *, giants: int, counts: bool
) -> None:
    counted = CountedTime()
    settings = client.Configuration(host=f"http://127.0.0.1:{await serve(api_of_giants(giants))}")
    pods = PodTargets(port=8000, api=client.ApiClient(settings), refused_time=counted)

    await feed_of(pods, scope=LABELLED).observe(now_seconds=100)

    assert counted.of == ({"llm"} if counts else set())


@pytest.mark.parametrize(
    ("status", "error"), [(403, SourceMisconfiguredError), (500, SourceUnavailableError)]
)
async def test_an_api_server_that_refuses_is_no_empty_cluster(
    serve: Serve, feed_of: Callable[..., Feed], status: int, error: type[Exception]
) -> None:
    async def api(_: web.Request) -> web.Response:
        return web.json_response({}, status=status)

    settings = client.Configuration(host=f"http://127.0.0.1:{await serve(api)}")
    feed = feed_of(PodTargets(port=8000, api=client.ApiClient(settings)), scope=LABELLED)
    with pytest.raises(error, match=f"listing pods in 'llm': HTTP {status}"):
        await feed.observe(now_seconds=100)


async def test_an_api_server_that_hangs_up_is_an_outage(
    serve: Serve, feed_of: Callable[..., Feed]
) -> None:
    async def api(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    settings = client.Configuration(host=f"http://127.0.0.1:{await serve(api)}")
    feed = feed_of(PodTargets(port=8000, api=client.ApiClient(settings)), scope=LABELLED)
    with pytest.raises(SourceUnavailableError, match=r"listing pods in 'llm': .*[Dd]isconnected"):
        await feed.observe(now_seconds=100)


async def test_certificates_are_checked_on_both_sides_and_may_be_replaced(
    pods: list[Pod], feed_of: Callable[..., Feed], tmp_path: Path
) -> None:
    ours, theirs = Authority("ours"), Authority("theirs")
    server = ours.sign("server")
    files = {name: tmp_path / name for name in ("ca", "server.pem", "server.key", "pem", "key")}
    files["server.pem"].write_bytes(server.certificate)
    files["server.key"].write_bytes(server.key)
    files["ca"].write_bytes(ours.certificate)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=files["ca"])
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(files["server.pem"], files["server.key"])
    app = web.Application()
    app.router.add_get("/metrics", pods[0].answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()

    def have(authority: Authority) -> None:
        pair = authority.sign("client")
        files["pem"].write_bytes(pair.certificate)
        files["key"].write_bytes(pair.key)

    have(theirs)
    page = f"https://127.0.0.1:{runner.addresses[0][1]}/metrics"
    tls = Tls(ca_file=files["ca"], cert_file=files["pem"], key_file=files["key"])
    feed = feed_of(StaticTargets(page), tls=tls)
    with pytest.raises(SourceError):
        await feed.observe(now_seconds=100)
    have(ours)
    assert (await feed.observe(now_seconds=115)).value(Signal.RUNNING) == 3

    files["ca"].write_bytes(theirs.certificate)
    stranger = feed_of(StaticTargets(page), tls=tls)
    with pytest.raises(SourceMisconfiguredError, match=r"TLS: .*certificate verify failed"):
        await stranger.observe(now_seconds=100)
    files["ca"].unlink()
    assert (await feed.observe(now_seconds=130)).value(Signal.RUNNING) == 3, "the old ones serve"
    with pytest.raises(SourceMisconfiguredError, match=r"TLS: .*No such file"):
        await feed_of(StaticTargets(page), tls=tls).observe(now_seconds=100)
    await runner.cleanup()


def test_only_the_named_lines_are_parsed() -> None:
    page = 'junk{"\nvllm:num_requests_running{model_name="a } b,\\"c\\""} 3\nother 1\n\n# HELP x\n'
    (sample,) = samples_on(page, VLLM, at_seconds=1, pod="p")
    assert sample.labels == {"pod": "p", "model_name": 'a } b,"c"'}
    assert sample.value == 3
