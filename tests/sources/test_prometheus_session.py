"""Whose fault a failure is, and what is sent: Prometheus' API played by a stub."""

import asyncio
import base64
import gc
import gzip
import json
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from aiohttp import web
from typing_extensions import override

from scaler.errors import SourceMisconfiguredError, SourceUnavailableError
from scaler.limits import Limit
from scaler.scope import Scope
from scaler.signals import Absent, Feed, Signal
from scaler.sources import prometheus_transport
from scaler.sources.access import Basic, Tls
from scaler.sources.catalogue import load
from scaler.sources.held_bytes import HELD, HELD_BYTES_MAX, HeldBytes
from scaler.sources.prometheus import PrometheusSource
from scaler.sources.prometheus_config import PrometheusConfig
from scaler.sources.prometheus_feed import PrometheusFeed
from scaler.sources.prometheus_response import LARGE_TURNS, Response
from tests.sources.prometheus_stub import NOTHING, Stub, serving, waiting

# Sockets and threads take real time.
pytestmark = pytest.mark.looptime(False)


async def test_samples_from_before_those_that_were_read_are_refused(
    stub: Stub, feed_of: Callable[..., Feed]
) -> None:
    feed, now = feed_of(stub.url), 1_800_000_000.0
    stub.body = waiting(9, at=now - 5)
    assert (await feed.observe(now_seconds=now)).value(Signal.WAITING) == 9

    # Our clock is set back an hour: the server finds what it scraped then.
    stub.body = waiting(1, at=now - 3605)
    with pytest.raises(SourceUnavailableError, match="3600 s older than one that was read before"):
        await feed.observe(now_seconds=now - 3600)

    stub.body = waiting(8, at=now + 10)
    assert (await feed.observe(now_seconds=now + 15)).value(Signal.WAITING) == 8


async def test_a_query_arrives_as_it_was_written(stub: Stub) -> None:
    model = "\N{SNOWMAN}/a+b &=;%20 ?#'~`^|{}<>\N{GRINNING FACE}"
    source = PrometheusSource(
        PrometheusConfig(name="main", url=stub.url, timeout_seconds=60, concurrency=2)
    )
    scope = Scope(model=model, namespace="x")
    feed = source.feed(preset=load("vllm"), scope=scope)
    _ = await feed.observe(now_seconds=100)
    await source.close()

    request, form = stub.asked[0]
    assert request.content_type == "application/x-www-form-urlencoded"
    assert form["query"] == [f"{feed.group.selection.selector([scope])}[119999ms]"]
    assert (form["time"], form["partial_response"]) == (["100.000"], ["false"])


async def test_half_a_surrogate_pair_is_no_part_of_a_query(stub: Stub) -> None:
    source = PrometheusSource(
        PrometheusConfig(name="main", url=stub.url, timeout_seconds=60, concurrency=2)
    )
    feed = source.feed(preset=load("vllm"), scope=Scope(model="a\ud800", namespace="x"))
    with pytest.raises(SourceMisconfiguredError):
        _ = await feed.observe(now_seconds=100)
    await source.close()
    assert not stub.asked


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [
        (400, SourceMisconfiguredError, "HTTP 400: parse error at char 3; it rejects the query"),
        (401, SourceMisconfiguredError, "check its token, password, certificate or tenant"),
        (403, SourceMisconfiguredError, "check its token, password, certificate or tenant"),
        (404, SourceMisconfiguredError, "check the address"),
        (302, SourceMisconfiguredError, "check the address"),
        (422, SourceMisconfiguredError, "it rejects the query"),
        (429, SourceUnavailableError, "HTTP 429"),
        (500, SourceUnavailableError, "HTTP 500"),
        (503, SourceUnavailableError, "HTTP 503: parse error at char 3"),
    ],
)
async def test_a_refusal_says_who_has_to_act(
    stub: Stub,
    feed_of: Callable[..., Feed],
    status: int,
    error: type[Exception],
    said: str,
) -> None:
    stub.status = status
    stub.body = json.dumps({"status": "error", "error": "parse error\n at char 3"})
    stub.headers = {"Location": f"{stub.url}/login"}
    with pytest.raises(error) as caught:
        await feed_of(stub.url).observe(now_seconds=100)
    assert str(caught.value).startswith(f"source 'main' at {stub.url}: HTTP {status}")
    assert said in str(caught.value)
    assert len(stub.asked) == 1, "neither retried nor redirected"


@pytest.mark.parametrize(
    "body",
    [
        "<html>Please log in</html>",
        "{}",
        "[]",
        '{"data": null}',
        '{"data": {"result": 7}}',
        '{"data": {"result": [{"metric": {"__name__": "x"}, "values": [[1, "one"]]}]}}',
        '{"data": {"result": [{"metric": {"__name__": "x"}, "values": [["NaN", "1"]]}]}}',
        '{"data": {"result": [{"metric": {}, "values": [[1, "1"]]}]}}',
        pytest.param("[" * 100_000, id="deep"),
        pytest.param('{"data": {"result": ' + "[" * 1000 + "]" * 1000 + "}}", id="deep-result"),
    ],
)
async def test_what_is_not_prometheus_answer_is_no_reading(
    stub: Stub, feed_of: Callable[..., Feed], body: str
) -> None:
    stub.body = body
    with pytest.raises(SourceMisconfiguredError, match="not Prometheus'; check the address"):
        await feed_of(stub.url).observe(now_seconds=100)


async def test_a_long_error_page_is_cut(
    stub: Stub, feed_of: Callable[..., Feed], limits_exceeded: Callable[[], set[Limit]]
) -> None:
    stub.status, stub.body = 502, "<html>" * 10_000
    with pytest.raises(SourceUnavailableError) as caught:
        await feed_of(stub.url).observe(now_seconds=100)
    assert len(str(caught.value)) < 400
    assert Limit.ERROR_PAGE in limits_exceeded()


async def test_no_answer_in_time_is_an_outage(stub: Stub, feed_of: Callable[..., Feed]) -> None:
    stub.delay_seconds = 3600
    with pytest.raises(SourceUnavailableError, match=r"no answer within 0\.1 s"):
        await feed_of(stub.url, timeout_seconds=0.1).observe(now_seconds=100)


async def test_a_read_has_one_limit_for_all_its_questions(
    stub: Stub, feed_of: Callable[..., Feed], limits_exceeded: Callable[[], set[Limit]]
) -> None:
    # Nothing is found, so hints are looked up: three questions of 0.2 s, each in time by itself.
    stub.delay_seconds = 0.2
    with pytest.raises(SourceUnavailableError, match=r"no answer within 0\.5 s"):
        await feed_of(stub.url, timeout_seconds=0.5).observe(now_seconds=100)
    assert Limit.READ_SECONDS in limits_exceeded()


async def test_a_prometheus_that_drips_keeps_no_thread_and_no_socket(
    stub: Stub, feed_of: Callable[..., Feed]
) -> None:
    stub.drips = True
    feed = feed_of(stub.url, timeout_seconds=0.2, concurrency=1)
    with pytest.raises(SourceUnavailableError, match=r"no answer within 0\.2 s"):
        await feed.observe(now_seconds=100)
    await asyncio.wait_for(stub.hung_up.wait(), 60)

    # The source's only thread is free for the next read, which busy cores may need to try again.
    stub.drips = False
    async with asyncio.timeout(60):
        while True:
            with suppress(SourceUnavailableError):
                reading = (await feed.observe(now_seconds=115)).readings[Signal.RUNNING]
                break
    assert isinstance(reading, Absent)


async def test_an_answer_that_unpacks_to_more_than_the_limit_is_refused(
    stub: Stub, feed_of: Callable[..., Feed], limits_exceeded: Callable[[], set[Limit]]
) -> None:
    page = json.dumps(NOTHING)
    stub.packed = gzip.compress((page + " " * 2**20).encode())
    assert len(stub.packed) < 2**11
    with pytest.raises(SourceUnavailableError, match=r"main.*an answer of over 65536 bytes"):
        await feed_of(stub.url, body_bytes_max=2**16).observe(now_seconds=100)
    assert Limit.ANSWER_BYTES in limits_exceeded()


async def test_a_packed_answer_is_read(stub: Stub, feed_of: Callable[..., Feed]) -> None:
    begun, rest = waiting(9, at=95.0)[:20], waiting(9, at=95.0)[20:]
    stub.packed = gzip.compress(begun.encode()) + gzip.compress(rest.encode())  # of two members
    assert (await feed_of(stub.url).observe(now_seconds=100)).value(Signal.WAITING) == 9
    (request, _) = stub.asked[0]
    assert request.headers["Accept-Encoding"] == "gzip"


async def test_unpacking_takes_the_event_loop_no_time(
    stub: Stub, feed_of: Callable[..., Feed]
) -> None:
    size = 24 * 2**20
    stub.packed = gzip.compress((waiting(9, at=95.0) + " " * size).encode(), 1)
    begun = time.thread_time()
    assert len(gzip.decompress(stub.packed)) > size
    alone = time.thread_time() - begun
    feed = feed_of(stub.url)

    took = []
    for _ in range(3):  # the first one imports, and a collection of garbage may come into another
        begun = time.thread_time()
        assert (await feed.observe(now_seconds=100)).value(Signal.WAITING) == 9
        took.append(time.thread_time() - begun)
    assert min(took) < alone / 2


@pytest.mark.parametrize(
    ("packed", "encoding", "told"),
    [
        pytest.param(gzip.compress(b"{}")[:-4], "gzip", "whose gzip is cut off", id="cut-off"),
        pytest.param(b"no gzip", "gzip", "whose gzip is damaged", id="damaged"),
        pytest.param(b"{}", "br", "Content-Encoding 'br'", id="not-asked-for"),
    ],
)
async def test_a_packed_answer_that_cannot_be_read_is_named(
    stub: Stub, feed_of: Callable[..., Feed], packed: bytes, encoding: str, told: str
) -> None:
    stub.packed, stub.encoding = packed, encoding
    with pytest.raises(SourceUnavailableError, match=rf"main.*{told}"):
        await feed_of(stub.url).observe(now_seconds=100)


async def test_a_packed_error_page_is_shown(stub: Stub, feed_of: Callable[..., Feed]) -> None:
    stub.status, stub.packed = 503, gzip.compress(b"store is down" + b" " * 2**20)
    with pytest.raises(SourceUnavailableError, match="HTTP 503: store is down"):
        await feed_of(stub.url).observe(now_seconds=100)


async def test_a_packed_answer_gives_back_all_that_it_held(
    stub: Stub, feed_of: Callable[..., Feed]
) -> None:
    noise = base64.b64encode(os.urandom(2**20)).decode()
    body = json.dumps({**json.loads(waiting(9, at=95.0)), "noise": noise})
    stub.packed = gzip.compress(body.encode())
    assert len(stub.packed) > 2**20
    assert (await feed_of(stub.url).observe(now_seconds=100)).value(Signal.WAITING) == 9

    # All of it is free again, and not a byte more.
    assert HELD.take("another", HELD_BYTES_MAX)
    HELD.give_back("another", HELD_BYTES_MAX)
    assert not HELD.take("another", HELD_BYTES_MAX + 1)
    HELD.give_back("another", HELD_BYTES_MAX + 1)


async def test_a_packed_answer_is_held_once_while_it_is_unpacked(
    stub: Stub, feed_of: Callable[..., Feed], monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = base64.b64encode(os.urandom(3 * 2**20)).decode()  # packed it has three quarters
    body = json.dumps({**json.loads(waiting(9, at=95.0)), "noise": noise})
    stub.packed = gzip.compress(body.encode())
    monkeypatch.setattr(prometheus_transport, "HELD", HeldBytes(5 * 2**20))

    assert (await feed_of(stub.url).observe(now_seconds=100)).value(Signal.WAITING) == 9


async def test_an_answer_of_too_many_series_or_values_is_refused_before_it_takes_memory(
    stub: Stub, feed_of: Callable[..., Feed], limits_exceeded: Callable[[], set[Limit]]
) -> None:
    series = '{"metric":{"__name__":"x"}}'
    stub.body = f'{{"data":{{"result":[{",".join([series] * 100_001)}]}}}}'
    with pytest.raises(SourceUnavailableError, match="an answer of over 100000 series"):
        await feed_of(stub.url).observe(now_seconds=100)

    stub.body = f'{{"data":{{"result":[{",".join("7" * 2_500_001)}]}}}}'
    with pytest.raises(SourceUnavailableError, match="an answer of over 2500000 values"):
        await feed_of(stub.url).observe(now_seconds=100)
    assert {Limit.ANSWER_SERIES, Limit.ANSWER_VALUES} <= limits_exceeded()


def answers_of(stub: Stub) -> list[Response]:
    """Those in memory; answers of other tests may still be there."""
    found = [one for one in gc.get_objects() if isinstance(one, Response)]
    return [one for one in found if str(one.url).startswith(stub.url)]


async def test_the_traceback_of_a_refusal_holds_no_answer(
    stub: Stub, feed_of: Callable[..., Feed]
) -> None:
    series = '{"metric":{"__name__":"x"}}'
    stub.body = f'{{"data":{{"result":[{",".join([series] * 120_000)}]}}}}'
    with pytest.raises(SourceUnavailableError, match="over 100000 series") as refused:
        await feed_of(stub.url).observe(now_seconds=100)

    answers = answers_of(stub)
    assert refused.tb is not None
    assert answers, "of the traceback"
    assert not any(one.body for one in answers)


async def test_a_refused_answer_leaves_memory_without_the_garbage_collector(
    stub: Stub, feed_of: Callable[..., Feed]
) -> None:
    series = '{"metric":{"__name__":"x"}}'
    stub.body = f'{{"data":{{"result":[{",".join([series] * 120_000)}]}}}}'
    feed = feed_of(stub.url)
    assert isinstance(feed, PrometheusFeed)
    gc.collect()
    gc.disable()
    try:
        (refusal,) = await feed.group.observe([feed], now_seconds=100)
        assert "over 100000 series" in str(refusal)
        del refusal
        async with asyncio.timeout(60):
            while answers_of(stub):
                await asyncio.sleep(0.05)  # its thread may still be at its last step
    finally:
        gc.enable()


async def test_answers_that_come_at_a_time_are_limited_together(
    stub: Stub, feed_of: Callable[..., Feed], limits_exceeded: Callable[[], set[Limit]]
) -> None:
    # Three of 61,440 bytes: each is within its limit, and two of them are within that of all.
    stub.drips, stub.drip, stub.drips_max = True, b" " * 4096, 15
    feed = feed_of(stub.url, body_bytes_max=2**16, concurrency=3)
    ends = await asyncio.gather(
        *(feed.observe(now_seconds=100) for _ in range(3)), return_exceptions=True
    )

    assert any("answers of over 131072 bytes at a time" in str(end) for end in ends)

    # What they held is free again.
    stub.drips = False
    assert (await feed.observe(now_seconds=115)).readings
    assert Limit.ANSWERS_AT_ONCE in limits_exceeded()


async def test_of_an_error_page_only_the_beginning_is_read(
    stub: Stub, feed_of: Callable[..., Feed], limits_exceeded: Callable[[], set[Limit]]
) -> None:
    stub.status, stub.body = 502, "no upstream " * 2**17

    with pytest.raises(SourceUnavailableError, match="HTTP 502: no upstream no upstream"):
        await feed_of(stub.url, body_bytes_max=2**17).observe(now_seconds=100)
    assert Limit.ERROR_PAGE in limits_exceeded()


@pytest.mark.parametrize("status", [400, 401, 403, 502])
async def test_a_token_that_a_refusal_repeats_is_not_passed_on(
    stub: Stub, feed_of: Callable[..., Feed], tmp_path: Path, status: int
) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret-token")
    stub.status, stub.body = status, "no access with s3cret-token here"

    with pytest.raises((SourceMisconfiguredError, SourceUnavailableError)) as caught:
        await feed_of(stub.url, bearer_token_file=token).observe(now_seconds=100)

    assert f"HTTP {status}" in str(caught.value)
    assert "s3cret" not in str(caught.value)


async def test_neither_a_header_nor_a_password_that_a_refusal_repeats_is_passed_on(
    stub: Stub, feed_of: Callable[..., Feed], tmp_path: Path
) -> None:
    password = tmp_path / "password"
    password.write_text("correct-horse")
    stub.status, stub.body = 400, "got X-API-Key: k3y-of-ours, reader:correct-horse; X-Org: 7"
    feed = feed_of(
        stub.url,
        headers={"X-API-Key": "k3y-of-ours", "X-Org": "7"},
        basic=Basic(username="reader", password_file=password),
    )

    with pytest.raises(SourceMisconfiguredError) as caught:
        await feed.observe(now_seconds=100)

    assert "got X-API-Key: …, reader:…; X-Org: 7" in str(caught.value)


async def test_a_hanging_prometheus_takes_no_more_threads_than_its_own(
    stub: Stub, feed_of: Callable[..., Feed]
) -> None:
    stub.delay_seconds = 3600
    feed = feed_of(stub.url, timeout_seconds=0.2, concurrency=2)
    reads = [feed.observe(now_seconds=100) for _ in range(20)]
    answers = await asyncio.gather(*reads, return_exceptions=True)
    assert {type(answer) for answer in answers} == {SourceUnavailableError}
    assert len(stub.asked) <= 4


async def test_names_that_do_not_resolve_hold_up_no_work_of_the_process(
    feed_of: Callable[..., Feed], monkeypatch: pytest.MonkeyPatch
) -> None:
    resolver_gave_up = threading.Event()

    def hang(*_: object, **__: object) -> list[object]:
        resolver_gave_up.wait()
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    try:
        # asyncio has 32 threads at most.
        feeds = [feed_of(f"http://{n}.hangs.test", timeout_seconds=0.2) for n in range(33)]
        reads = [feed.observe(now_seconds=100) for feed in feeds]
        answers = await asyncio.gather(*reads, return_exceptions=True)
        async with asyncio.timeout(60):
            assert await asyncio.to_thread(int, "7") == 7
    finally:
        resolver_gave_up.set()
    assert {type(answer) for answer in answers} == {SourceUnavailableError}


async def test_the_query_travels_in_the_body_with_the_tenants_header(
    stub: Stub, feed_of: Callable[..., Feed], tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    headers = {"X-Scope-OrgID": "team-a"}
    feed = feed_of(stub.url, bearer_token_file=token, headers=headers)
    await feed.observe(now_seconds=1234.5)
    token.write_text("second\n")
    await feed.observe(now_seconds=1235)

    queries = [(r, form) for r, form in stub.asked if r.path == "/api/v1/query"]
    first, form = queries[0]
    assert (first.method, first.query_string) == ("POST", "")
    assert form["time"] == ["1234.500"]
    # Else Thanos adds up what is left of a store and calls it success.
    assert form["partial_response"] == ["false"]
    assert form["query"][0].startswith('{__name__=~"vllm:')
    assert form["query"][0].endswith('",model_name=~"m|"}[119999ms]')
    assert {request.headers["X-Scope-OrgID"] for request, _ in stub.asked} == {"team-a"}
    sent = [request.headers["Authorization"] for request, _ in queries]
    assert sent == ["Bearer first", "Bearer second"]


async def test_basic_credentials_come_from_a_file(
    stub: Stub, feed_of: Callable[..., Feed], tmp_path: Path
) -> None:
    password = tmp_path / "password"
    password.write_text("two")
    await feed_of(stub.url, basic=Basic(username="u", password_file=password)).observe(
        now_seconds=100
    )
    assert stub.asked[0][0].headers["Authorization"] == "Basic dTp0d28="


async def test_a_missing_secret_is_named(
    stub: Stub, feed_of: Callable[..., Feed], tmp_path: Path
) -> None:
    feed = feed_of(stub.url, bearer_token_file=tmp_path / "none")
    with pytest.raises(SourceMisconfiguredError, match=r"secret file .*/none: No such file"):
        await feed.observe(now_seconds=100)


@pytest.mark.parametrize(
    "url", ["http://user:hunter2@prometheus:9090", "prometheus:9090", "ftp://x", "http://"]
)
def test_an_address_with_credentials_or_without_a_scheme_is_refused(url: str) -> None:
    with pytest.raises(SourceMisconfiguredError) as caught:
        PrometheusSource(PrometheusConfig(name="main", url=url, timeout_seconds=5, concurrency=2))
    assert "hunter2" not in str(caught.value)


def test_half_a_client_certificate_is_refused() -> None:
    with pytest.raises(SourceMisconfiguredError, match="go together"):
        Tls(cert_file=Path("/x"))


async def test_a_hint_is_looked_up_once_a_minute_and_never_in_the_way(
    stub: Stub, feed_of: Callable[..., Feed]
) -> None:
    feed = feed_of(stub.url)
    stub.lookups = json.dumps({"status": "success", "data": ["b", "a"]})
    readings = [
        (await feed.observe(now_seconds=at)).readings[Signal.RUNNING] for at in (100, 115, 130)
    ]
    why = "no vllm series for model 'm'; models seen there: a, b"
    assert readings == [Absent(why=why)] * 3
    assert [request.path for request, _ in stub.asked].count("/api/v1/label/model_name/values") == 1

    stub.lookup_status = 403
    later = (await feed.observe(now_seconds=161)).readings[Signal.RUNNING]
    assert later == Absent(why="no vllm series for model 'm'")


async def test_reads_under_way_when_their_source_is_closed_end_as_an_outage(stub: Stub) -> None:
    stub.delay_seconds = 3600
    config = PrometheusConfig(name="main", url=stub.url, timeout_seconds=3600, concurrency=1)
    source = PrometheusSource(config)
    feed = source.feed(preset=load("vllm"), scope=Scope(model="m"))
    reads = [asyncio.create_task(feed.observe(now_seconds=100)) for _ in range(2)]
    while not stub.asked:
        await asyncio.sleep(0.01)

    async with asyncio.timeout(60):
        await source.close()
        ends = await asyncio.gather(*reads, return_exceptions=True)

    assert [type(end) for end in ends] == [SourceUnavailableError] * 2


class ClosesItsReader(Stub):
    """Sends a part of an answer, and some turns of the loop later its reader is closed."""

    source: PrometheusSource
    turns: int

    @override
    async def answer(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with suppress(ConnectionError):
            await response.write(b" ")
            for _ in range(self.turns):
                await asyncio.sleep(0)
            await self.source.close()
        return response


@pytest.mark.parametrize("turns", range(3))
async def test_an_answer_of_which_a_part_came_when_its_source_is_closed_is_an_outage(
    turns: int,
) -> None:
    stub = ClosesItsReader()
    async with serving(stub):
        config = PrometheusConfig(name="main", url=stub.url, timeout_seconds=5, concurrency=1)
        stub.source, stub.turns = PrometheusSource(config), turns
        feed = stub.source.feed(preset=load("vllm"), scope=Scope(model="m"))

        with pytest.raises(SourceUnavailableError):
            await feed.observe(now_seconds=100)


async def test_a_large_answer_that_waits_for_another_is_counted(
    stub: Stub, feed_of: Callable[..., Feed], limits_exceeded: Callable[[], set[Limit]]
) -> None:
    label = "a" * 200
    series = f'{{"metric":{{"__name__":"x","a":"{label}"}},"values":[[1,"1"]]}}'
    stub.body = f'{{"data":{{"result":[{",".join([series] * 8000)}]}}}}'
    feed = feed_of(stub.url, concurrency=4)

    assert LARGE_TURNS.take("another", seconds_max=60)
    reads = [asyncio.create_task(feed.observe(now_seconds=100)) for _ in range(4)]
    while not LARGE_TURNS.waiting():
        await asyncio.sleep(0.01)
    LARGE_TURNS.give_back()
    await asyncio.gather(*reads)

    assert limits_exceeded() == {Limit.LARGE_ANSWERS}


async def test_of_answers_that_unpack_to_many_bytes_one_is_unpacked_at_a_time(
    stub: Stub, feed_of: Callable[..., Feed]
) -> None:
    stub.packed = gzip.compress((waiting(9, at=95.0) + " " * 24 * 2**20).encode(), 1)
    feed = feed_of(stub.url, concurrency=4, timeout_seconds=60)

    assert LARGE_TURNS.take("another", seconds_max=60)
    reads = [asyncio.create_task(feed.observe(now_seconds=100)) for _ in range(2)]
    while LARGE_TURNS.waiting() < 2:
        await asyncio.sleep(0.01)
    # Each holds its beginning alone: there is room for all but 3 MiB.
    room = HELD_BYTES_MAX - 3 * 2**20
    has_room = HELD.take("another", room)
    HELD.give_back("another", room)
    LARGE_TURNS.give_back()

    found = await asyncio.gather(*reads)
    assert has_room
    assert [one.value(Signal.WAITING) for one in found] == [9, 9]


async def test_a_source_that_drips_after_a_large_answer_holds_no_large_answer_of_others_up(
    stub: Stub, feed_of: Callable[..., Feed]
) -> None:
    stub.body = '{"data":{"result":[]}}' + " " * 2**21
    stub.lookup_released = asyncio.Event()
    reading = asyncio.create_task(feed_of(stub.url, timeout_seconds=60).observe(now_seconds=100))
    while len(stub.asked) < 2:  # the query and, as it had no samples, a look-up for a hint
        await asyncio.sleep(0.01)

    assert not LARGE_TURNS.is_held()
    stub.lookup_released.set()
    await reading


async def test_sources_of_one_tenant_take_no_memory_from_the_answers_of_others(
    stub: Stub, feed_of: Callable[..., Feed], limits_exceeded: Callable[[], set[Limit]]
) -> None:
    stub.body = '{"data":{"result":[]}}' + " " * 30 * 2**20
    stub.released = asyncio.Event()  # so that none of them ends before another is there
    bombs = [feed_of(stub.url, owner="team-b", timeout_seconds=60) for _ in range(4)]
    reads = [asyncio.create_task(feed.observe(now_seconds=100)) for feed in bombs]
    await asyncio.wait(reads, return_when=asyncio.FIRST_EXCEPTION)
    released, stub.released = stub.released, None
    stub.body = '{"data":{"result":[]}}' + " " * 2**20

    observation = await feed_of(stub.url, owner="team-a").observe(now_seconds=100)

    assert observation.readings
    released.set()
    ends = await asyncio.gather(*reads, return_exceptions=True)
    assert any("answers of all sources of over 67108864 bytes" in str(end) for end in ends)
    assert Limit.ANSWERS_OF_ALL in limits_exceeded()
