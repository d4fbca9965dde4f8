"""Liveness and readiness: whether the loop turns, and whether KEDA's answers are current."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from unittest.mock import Mock

import pytest
from aiohttp import web
from aiohttp.payload import Payload
from aiohttp.test_utils import make_mocked_request
from prometheus_client import CollectorRegistry
from typing_extensions import override

from foresail.ports.open_connections import PortLimits
from foresail.ports.packed_text import PackedText
from foresail.ports.request_pace import RequestPace
from foresail.ports.sites import Sites
from foresail.serve.exported import WorkloadCollector, WorkloadSnapshot
from foresail.serve.http import FrontState, MetricsPage, Pages
from foresail.serve.pace import planning_settings
from foresail.settings.cycle import CycleSettings
from scaler.decision.answers import Reference
from scaler.errors import SourceUnavailableError
from scaler.limits import COUNTS, Limit
from scaler.serving.board import Board
from scaler.serving.cycle import PlanningCycle
from scaler.serving.feeds import Binding, WorkloadStatus
from scaler.serving.metrics import PlanningMetrics
from scaler.serving.state_book import NoStates
from scaler.signals import Observation, Signal, Value
from scaler.trigger import TriggerSpec
from scaler.trigger_parsing import AllowedOptions, parse
from tests.foresail.http_clients import Clients
from tests.scaler.fakes import binding

ALLOWED = AllowedOptions(
    engines={"vllm": False}, sources=frozenset({"main"}), default_source="main"
)


class FakeFeed:
    """Reads one number, fails, or never answers."""

    def __init__(self, *, hangs: bool = False, fails: bool = False) -> None:
        self.hangs = hangs
        self.fails = fails

    async def observe(self, *, now_seconds: float) -> Observation:
        if self.hangs:
            await asyncio.Event().wait()
        if self.fails:
            raise SourceUnavailableError("prometheus is down")
        reading = Value(value=1000.0, at_seconds=now_seconds)
        return Observation(at_seconds=now_seconds, readings={Signal.PROMPT_TOKENS: reading})

    async def history(self, **_: float) -> AsyncIterator[Observation]:
        raise NotImplementedError
        yield


class Site:
    """The pages over a cycle that learns of each object as KEDA asks about it."""

    def __init__(
        self,
        feeds: dict[str, FakeFeed],
        *,
        token_file: Path | None = None,
        period_seconds: float = 15.0,
        kind: type[PlanningCycle] = PlanningCycle,
    ) -> None:
        self.feeds = feeds
        steady, registry = asyncio.get_running_loop().time, CollectorRegistry()

        def connect(reference: Reference, trigger_spec: TriggerSpec) -> Binding:
            model = trigger_spec.model
            return binding(model, feeds[model], trigger_spec, source=model)

        self.board = Board(lambda _, m: parse(m, ALLOWED), clock=steady, objects_max=10_000)
        self.loop = kind(
            connect,
            planning_settings(CycleSettings(history=0)),
            publish=self.board.publish,
            wall=lambda: 1_800_000_000.0 + steady(),
            steady=steady,
            metrics=PlanningMetrics(registry),
            states=NoStates(),
        )
        self.front = FrontState(accepting=True)
        self.pages = Pages(
            loop=self.loop,
            registry=registry,
            workloads=WorkloadCollector(self.loop, clock=steady),
            clock=steady,
            front=self.front,
            period_seconds=period_seconds,
            token_file=token_file,
        )

    def ask(self, model: str) -> None:
        self.board.ask(Reference.of("llm", model, {"model": model, "mode": "act"}))
        self.loop.apply(self.board.take_changes())

    async def explain(
        self,
        namespace: str,
        name: str,
        remote: str | None,
        authorization: str | None,
        host: str = "localhost:8080",
    ) -> web.Response:
        headers = {"Host": host}
        if authorization is not None:
            headers["Authorization"] = authorization
        match = {"namespace": namespace, "name": name}
        transport = Mock()
        transport.get_extra_info.return_value = None if remote is None else (remote, 4711)
        request = make_mocked_request(
            "GET", "/", headers=headers, match_info=match, transport=transport
        )
        return await self.pages.explain(request)

    async def explained(self, *asked: str | None) -> int:
        return (await self.explain(*asked)).status  # type: ignore[arg-type]

    async def status(self, path: str) -> int:
        request = make_mocked_request("GET", path)
        page = {"/healthz": self.pages.healthz, "/readyz": self.pages.readyz}[path]
        return (await page(request)).status


@asynccontextmanager
async def running(site: Site) -> AsyncIterator[None]:
    task = asyncio.create_task(site.loop.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_hundreds_of_feeds_that_hang_leave_the_pod_alive_and_ready() -> None:
    feeds = {f"hung-{n}": FakeFeed(hangs=True) for n in range(200)}
    site = Site({**feeds, "sound": FakeFeed()})
    async with running(site):
        for model in (*feeds, "sound"):
            site.ask(model)
        for _ in range(40):
            await asyncio.sleep(15)

            assert await site.status("/healthz") == 200
            assert await site.status("/readyz") == 200


async def test_a_loop_that_does_not_turn_is_not_alive() -> None:
    site = Site({})  # nobody runs its loop

    await asyncio.sleep(45)
    assert await site.status("/healthz") == 200
    await asyncio.sleep(1)
    assert await site.status("/healthz") == 500


PAGE = b"x" * 21 * 2**20


@cache  # a mock takes a millisecond
def of(address: str, path: str = "/metrics") -> web.Request:
    transport = Mock()
    transport.get_extra_info.return_value = (address, 4711)
    return make_mocked_request("GET", path, transport=transport)


class LongPages:
    """Pages of metrics that are long, and take half a second."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self.given = 0

    async def ask(self, address: str, path: str = "/metrics") -> tuple[int, float]:
        """The status, and after how many seconds it came."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        page = self._page if path == "/metrics" else self._pages.healthz
        answer = await self._pages.paced(of(address, path), page)
        return answer.status, loop.time() - begun

    async def _page(self, _: web.Request) -> web.Response:
        await asyncio.sleep(0.5)
        self.given += 1
        return web.Response(body=PAGE)

    async def _ask_without_end(self, address: str) -> None:
        while True:
            await self.ask(address)

    @asynccontextmanager
    async def asked_without_end(self, address: str, connections: int) -> AsyncIterator[None]:
        asking = [asyncio.create_task(self._ask_without_end(address)) for _ in range(connections)]
        try:
            yield
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)


async def test_a_client_that_asks_without_end_delays_no_other_address() -> None:
    site = Site({})
    site.front.metrics = PAGE
    await site.pages.metrics(of("10.0.0.1"))  # a page counts by the size of the last one
    served = LongPages(site.pages)
    async with served.asked_without_end("10.0.0.66", 100):
        for _ in range(4):
            await asyncio.sleep(15)
            assert await served.ask("10.0.0.1") == (200, 0.5)

    # One of the first hundred, then one for each debt of three seconds; and the four of the other.
    assert served.given <= 1 + 60 / 2.9 + 4


async def test_health_is_answered_at_once_beside_all_other_connections_of_its_address() -> None:
    served = LongPages(Site({}).pages)
    async with served.asked_without_end("10.0.0.66", 255):
        for _ in range(4):
            await asyncio.sleep(2.9)
            assert await served.ask("10.0.0.66", "/healthz") == (200, 0)


async def test_health_asked_without_end_is_told_half_a_second_late_and_others_at_once() -> None:
    pages, loop = Site({}).pages, asyncio.get_running_loop()
    begun, answered = loop.time(), 0

    async def ask_without_end() -> None:
        nonlocal answered
        while True:
            assert (await pages.paced(of("10.0.0.66", "/healthz"), pages.healthz)).status == 200
            answered += 1
            await asyncio.sleep(0.001)

    flood = [asyncio.create_task(ask_without_end()) for _ in range(200)]
    for _ in range(10):
        await asyncio.sleep(1)
        asked = loop.time()
        assert (await pages.paced(of("10.0.0.1", "/healthz"), pages.healthz)).status == 200
        assert loop.time() == asked
        assert (await pages.paced(of("10.0.0.66", "/readyz"), pages.readyz)).status == 200
        assert loop.time() - asked <= 0.5  # the kubelet of a node whose address is shared
    for task in flood:
        task.cancel()

    # At once 50, then 10 a second; and one of each connection every half a second.
    assert answered <= 50 + (10 + 200 / 0.5) * (loop.time() - begun)


@pytest.mark.looptime(False)  # sockets need real time
@pytest.mark.parametrize("path", ["/healthz", "/metrics"])
async def test_answers_that_are_held_back_keep_no_kubelet_of_the_same_address_out(
    path: str,
) -> None:
    pages = replace(Site({}).pages, pace=RequestPace(a_second=1, at_once=1))
    for pace in (pages.pace, pages.health_pace):
        pace.charge("127.0.0.1", 1e9)
    beyond = COUNTS.snapshot().get(Limit.REQUESTS, 0)
    async with AsyncExitStack() as ends, Sites(PortLimits(connections=2)) as sites:
        clients = Clients(await sites.add(pages.application(), "127.0.0.1:0"))
        ends.push_async_callback(clients.close)
        flood = [await clients.connect() for _ in range(2)]
        for one in flood:
            one.writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        while COUNTS.snapshot().get(Limit.REQUESTS, 0) < beyond + 2:
            await asyncio.sleep(0.001)

        kubelet = await clients.connect()
        kubelet.writer.write(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        async with asyncio.timeout(60):
            assert "200 OK" in await kubelet.answer()
            assert await flood[0].is_closed()


async def test_a_request_beyond_the_pace_is_told_so_and_when_to_come_again() -> None:
    pages = replace(Site({}).pages, pace=RequestPace(a_second=1, at_once=1))
    assert (await pages.paced(of("a"), pages.metrics)).status == 200
    refused = await pages.paced(of("a"), pages.metrics)

    assert refused.status == 429
    assert refused.headers["Retry-After"] == "3"
    assert refused.keep_alive is False


LONG = b"x" * 4 * 2**18


@pytest.mark.parametrize(
    "respond",
    [
        pytest.param(lambda _: web.Response(body=LONG), id="as it is"),
        pytest.param(lambda one: PackedText([LONG]).answer(one, "text/plain"), id="unpacked"),
    ],
)
async def test_a_long_page_counts_as_many_requests_from_the_second_on(
    respond: Callable[[web.Request], web.Response],
) -> None:
    pages = replace(Site({}).pages, pace=RequestPace(a_second=1, at_once=10))

    async def answer(request: web.Request) -> web.Response:
        return respond(request)

    statuses = [(await pages.paced(of("a"), answer)).status for _ in range(3)]
    assert statuses == [200, 200, 429]  # five each


async def test_a_pod_that_is_not_accepting_is_not_ready() -> None:
    site = Site({})
    site.front.accepting = False

    assert await site.status("/readyz") == 503


async def test_an_object_that_was_never_read_makes_nobody_unready() -> None:
    site = Site({"a": FakeFeed()})
    site.ask("a")

    assert await site.status("/readyz") == 200


async def test_errors_that_say_why_are_current_and_old_answers_are_not() -> None:
    site = Site({"a": FakeFeed(fails=True)})
    async with running(site):
        site.ask("a")
        await asyncio.sleep(1000)
        assert await site.status("/readyz") == 200  # a source that is down is no fault of the pod

    await asyncio.sleep(301)  # and now nobody plans
    assert await site.status("/readyz") == 503


# Who may see what.


async def text_of(site: Site, request: web.Request) -> str:
    body = (await site.pages.metrics(request)).body
    assert isinstance(body, Payload)
    return body.decode()


@pytest.mark.parametrize(
    ("period_seconds", "kept_seconds"),
    [
        pytest.param(15.0, 5.0, id="the-default"),
        pytest.param(60.0, 5.0, id="slow-looks"),
        pytest.param(1.5, 0.5, id="fast-looks"),
    ],
)
async def test_a_page_of_metrics_is_made_off_the_loop_and_kept_for_seconds(
    period_seconds: float, kept_seconds: float, limits_exceeded: Callable[[], set[Limit]]
) -> None:
    site = Site({"sound": FakeFeed()}, period_seconds=period_seconds)
    site.ask("sound")
    request = make_mocked_request("GET", "/metrics")

    first = await text_of(site, request)
    site.feeds["late"] = FakeFeed()
    site.ask("late")
    assert await text_of(site, request) == first
    await asyncio.sleep(kept_seconds)

    assert "foresail_objects 1.0" in first
    assert "foresail_objects 2.0" in await text_of(site, request)
    assert not limits_exceeded(), "as two Prometheus ask"


async def test_a_page_of_metrics_that_takes_long_is_kept_for_longer_and_counted(
    limits_exceeded: Callable[[], set[Limit]],
) -> None:
    page, now, made = MetricsPage(), [0.0], []

    def begin() -> Callable[[], PackedText]:
        def work() -> PackedText:
            now[0] += 2
            made.append(now[0])
            return PackedText([b"page"])

        return work

    async def asked_at(seconds: float) -> None:
        now[0] = seconds
        assert (await page.current(begin, lambda: now[0], 5.0)).size == len("page")

    await asked_at(0)
    await asked_at(4.9)
    assert not limits_exceeded()
    await asked_at(7.9)  # a quarter of eight seconds are two
    assert limits_exceeded() == {Limit.METRICS_PAGE}
    await asked_at(8)
    assert made == [2, 10]


@pytest.mark.parametrize(
    ("remote", "authorization", "status"),
    [
        pytest.param("127.0.0.1", None, 200, id="port-forward"),
        pytest.param("::1", None, 200, id="loopback-6"),
        pytest.param("::ffff:127.0.0.1", None, 200, id="mapped"),
        pytest.param("10.0.0.9", None, 403, id="from-the-network"),
        pytest.param("::ffff:10.0.0.9", None, 403, id="from-the-network-mapped"),
        pytest.param(None, None, 403, id="unknown"),
        pytest.param("10.0.0.9", "Bearer s3cret", 200, id="token"),
        pytest.param("10.0.0.9", "Bearer guess", 403, id="wrong-token"),
        pytest.param("10.0.0.9", "Bearer ", 403, id="empty-token"),
        pytest.param("10.0.0.9", "Basic s3cret", 403, id="no-bearer"),
    ],
)
async def test_explanations_are_for_loopback_and_the_token(
    tmp_path: Path, remote: str | None, authorization: str | None, status: int
) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    site = Site({"sound": FakeFeed()}, token_file=token)
    site.ask("sound")

    assert await site.explained("llm", "sound", remote, authorization) == status


@pytest.mark.parametrize(
    ("host", "status"),
    [
        pytest.param("127.0.0.1:8080", 200, id="address"),
        pytest.param("[::1]:8080", 200, id="address-of-ipv6"),
        pytest.param("evil.example:8080", 403, id="a-foreign-name-that-points-here"),
        pytest.param("foresail.foresail.svc:8080", 403, id="a-proxy-in-the-pod"),
        pytest.param("[::1", 403, id="no-host"),
    ],
)
async def test_on_loopback_explanations_are_for_who_names_this_machine(
    tmp_path: Path, host: str, status: int
) -> None:
    # A service mesh's proxy asks from 127.0.0.6 for whoever is in the mesh.
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    site = Site({"sound": FakeFeed()}, token_file=token)
    site.ask("sound")

    assert (await site.explain("llm", "sound", "127.0.0.6", None, host)).status == status
    assert (await site.explain("llm", "sound", "127.0.0.6", "Bearer s3cret", host)).status == 200


async def test_without_a_token_in_the_settings_none_is_taken() -> None:
    site = Site({"sound": FakeFeed()})
    site.ask("sound")

    assert await site.explained("llm", "sound", "10.0.0.9", "Bearer ") == 403


async def test_an_unknown_name_is_compared_with_its_own_namespace_only() -> None:
    site = Site({"sound": FakeFeed()})
    site.ask("sound")

    answer = await site.explain("team-b", "sounds", "127.0.0.1", None)
    assert answer.status == 404
    assert "llm" not in str(answer.text)
    assert "did you mean llm/sound?" in str(
        (await site.explain("llm", "sounds", "127.0.0.1", None)).text
    )


async def test_an_unknown_name_is_compared_with_a_hundred_others_at_most(
    limits_exceeded: Callable[[], set[Limit]],
) -> None:
    site = Site({f"sound-{number}": FakeFeed() for number in range(101)})
    for name in site.feeds:
        site.ask(name)

    assert (await site.explain("llm", "sounds", "127.0.0.1", None)).status == 404
    assert limits_exceeded() == {Limit.NAMES_COMPARED}


class CountedSnapshots(WorkloadCollector):
    """Counts how often the workloads are copied, which takes the event loop milliseconds."""

    made = 0

    @override
    def snapshot(self) -> WorkloadSnapshot:
        self.made += 1
        return super().snapshot()


async def test_a_page_of_metrics_that_is_kept_costs_the_loop_nothing() -> None:
    site = Site({"sound": FakeFeed()})
    counted = CountedSnapshots(site.loop, clock=asyncio.get_running_loop().time)
    pages = replace(site.pages, workloads=counted)
    for _ in range(3):
        await pages.metrics(make_mocked_request("GET", "/metrics"))
    assert counted.made == 1


class CountedStatuses(PlanningCycle):
    """Counts how often all workloads are sorted and copied."""

    asked = 0

    @override
    def statuses(self) -> list[WorkloadStatus]:
        self.asked += 1
        return super().statuses()


async def test_readiness_costs_no_copy_of_the_workloads() -> None:
    site = Site({"sound": FakeFeed()}, kind=CountedStatuses)
    site.ask("sound")
    await site.loop.begin()
    assert await site.status("/readyz") == 200
    assert isinstance(site.loop, CountedStatuses)
    assert site.loop.asked == 0
