"""What clients of an HTTP port can hold of it, on real sockets with tiny times."""

import asyncio
import contextlib
import gc
import ssl
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession, TCPConnector, web

from foresail.ports.open_connections import PortLimits
from foresail.ports.sites import Sites, certificates
from scaler.limits import COUNTS, Limit
from tests.contracts.certificates import Authority
from tests.foresail.http_clients import (
    ASKS,
    LARGE,
    LATE,
    SOON,
    Clients,
    check_unread_is_given_up,
    counted_once,
)

pytestmark = pytest.mark.looptime(False)  # sockets need real time


class Port(Clients):
    """One application on its address."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()
        """Until it is set, `/wait` has no answer."""
        self.waiting = asyncio.Semaphore(0)
        """Released by each request for `/wait`."""
        self.large_asked: asyncio.Queue[asyncio.Transport] = asyncio.Queue()
        """Where `/large` was asked for."""

    async def large(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        self.large_asked.put_nowait(request.transport)
        return web.Response(body=LARGE)

    async def wait(self, _: web.Request) -> web.Response:
        self.waiting.release()
        await self.open.wait()
        return web.Response(text="waited")


async def late(request: web.Request) -> web.Response:
    """An answer that comes when its client has left."""
    while request.transport is not None and not request.transport.is_closing():
        await asyncio.sleep(0)
    return web.Response(text="late")


async def small(_: web.Request) -> web.Response:
    return web.Response(text="small")


async def own(_: web.Request) -> web.Response:
    return web.Response(body=bytes(len(LARGE)))


async def echo(request: web.Request) -> web.Response:
    return web.Response(body=await request.read())


@asynccontextmanager
async def serving(
    limits: PortLimits, tls: ssl.SSLContext | None = None, *, takes_bodies: bool = True
) -> AsyncIterator[Port]:
    app = web.Application()
    async with asyncio.timeout(60), Sites(limits) as sites:
        port = Port()
        app.add_routes(
            [
                web.get("/", small),
                web.get("/large", port.large),
                web.get("/own", own),
                web.get("/wait", port.wait),
                web.get("/late", late),
                web.post("/echo", echo),
                web.post("/early", small),
            ]
        )
        port.number = await sites.add(app, "127.0.0.1:0", tls, takes_bodies=takes_bodies)
        try:
            yield port
        finally:
            port.open.set()
            await port.close()


# The time that a client may take.


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"GET / HTTP/1.1\r\nHo", id="half a head"),
        pytest.param(
            b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf", id="half a body"
        ),
    ],
)
async def test_a_client_that_does_not_send_its_request_is_closed(sent: bytes) -> None:
    async with serving(SOON) as port, counted_once(Limit.REQUEST_SECONDS):
        client = await port.connect()
        client.writer.write(sent)

        assert await client.is_closed()


async def test_where_no_request_has_a_body_one_that_has_is_told_so_and_closed() -> None:
    async with (
        serving(PortLimits(), takes_bodies=False) as port,
        counted_once(Limit.REQUEST_BYTES),
    ):
        client = await port.connect()
        client.writer.write(
            b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"
        )
        async with asyncio.timeout(60):
            answer = await client.reader.read()

        assert answer.startswith(b"HTTP/1.1 413 ")
        assert answer.endswith(b"nothing here takes a body\n")


async def test_nor_is_more_than_a_head_looked_at_there() -> None:
    async with serving(PortLimits(), takes_bodies=False) as port, counted_once(Limit.REQUEST_BYTES):
        client = await port.connect()
        client.writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 4000)

        assert await client.is_closed()


async def test_a_byte_now_and_then_wins_no_time() -> None:
    async with serving(SOON) as port, counted_once(Limit.REQUEST_SECONDS):
        client = await port.connect()
        client.writer.write(b"GET / HTTP/1.1\r\nHost: a")

        async def drip() -> None:
            with contextlib.suppress(ConnectionError):
                while True:
                    client.writer.write(b"a")
                    await client.writer.drain()
                    await asyncio.sleep(0.001)

        dripping = asyncio.create_task(drip())
        assert await client.is_closed()
        dripping.cancel()


async def test_an_answer_that_nobody_reads_is_given_up() -> None:
    async with serving(PortLimits(request_seconds=30, response_seconds=0.05)) as port:
        await check_unread_is_given_up(port)


async def test_an_answer_that_nobody_reads_is_not_copied() -> None:
    async with serving(LATE) as port:
        client = await port.connect()
        client.writer.write(ASKS.replace(b"/ ", b"/large ", 1))
        kept = await port.large_asked.get()
        while not kept.get_write_buffer_size():
            await asyncio.sleep(0)

        assert kept.get_write_buffer_size() < 2**18


async def test_readers_that_do_not_read_share_one_answer() -> None:
    async with serving(LATE) as port:
        tracemalloc.start()
        try:
            for _ in range(5):
                client = await port.connect()
                client.writer.write(ASKS.replace(b"/ ", b"/large ", 1))
                kept = await port.large_asked.get()
                while not kept.get_write_buffer_size():
                    await asyncio.sleep(0)

            assert tracemalloc.get_traced_memory()[1] < len(LARGE)
        finally:
            tracemalloc.stop()


async def test_an_answer_that_was_given_up_leaves_memory_without_the_garbage_collector() -> None:
    gc.disable()
    tracemalloc.start()
    try:
        async with serving(PortLimits(request_seconds=30, response_seconds=0.05)) as port:
            client = await port.connect()
            client.writer.write(ASKS.replace(b"/ ", b"/own ", 1))
            while tracemalloc.get_traced_memory()[0] < len(LARGE):
                await asyncio.sleep(0.001)
            while tracemalloc.get_traced_memory()[0] >= len(LARGE):  # for a minute at most
                await asyncio.sleep(0.01)
    finally:
        tracemalloc.stop()
        gc.enable()


async def test_an_answer_that_is_read_comes_whole() -> None:
    async with serving(LATE) as port:
        client = await port.connect()

        assert await client.ask("/large") == LARGE.decode()


async def test_a_client_that_left_before_its_answer_is_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving(LATE) as port:
        for _ in range(10):
            client = await port.connect()
            client.writer.write(b"GET /late HTTP/1.1\r\nHost: a\r\n\r\n")
            await client.writer.drain()
            client.writer.transport.abort()
        assert await (await port.connect()).ask() == "small"

    assert [record.getMessage() for record in caplog.records if record.name[:7] == "aiohttp"] == []


async def test_a_connection_may_rest_between_requests_and_a_handler_may_take_its_time() -> None:
    async def times_pass(port: Port) -> None:
        """Longer than a client may take: one that connects now and asks for nothing is closed."""
        assert await (await port.connect()).is_closed()

    async with serving(SOON) as port:
        client = await port.connect()
        while await client.ask() != "small":  # a busy core did not ask in time
            client = await port.connect()
        await times_pass(port)
        assert not client.reader.at_eof()

        waiting = asyncio.create_task(client.ask("/wait"))
        await port.waiting.acquire()
        await times_pass(port)
        assert not waiting.done()
        port.open.set()
        assert await waiting == "waited"


async def test_a_connection_that_rests_too_long_is_closed() -> None:
    async with serving(PortLimits(idle_seconds=0.2)) as port:
        client = await port.connect()
        assert await client.ask() == "small"
        client.writer.write(b"GET / HTTP/1.1\r\nHo")

        assert await client.is_closed()


# The number of connections.


async def test_a_client_that_takes_all_connections_keeps_no_other_out() -> None:
    async with serving(PortLimits(connections=3)) as port:
        first, rested, last = [await port.connect("127.0.0.2") for _ in range(3)]
        for one in (first, rested, last, first):
            assert await one.ask() == "small"

        async with counted_once(Limit.CONNECTIONS):
            other = await port.connect()
            assert await other.ask() == "small"

        assert await rested.is_closed()
        assert [await one.ask() for one in (first, last, other)] == ["small"] * 3


async def test_one_that_the_server_works_for_is_not_closed() -> None:
    async with serving(PortLimits(connections=2)) as port:
        clients = [await port.connect() for _ in range(2)]
        waiting = [asyncio.create_task(one.ask("/wait")) for one in clients]
        for _ in clients:
            await port.waiting.acquire()

        async with counted_once(Limit.CONNECTIONS):
            assert await (await port.connect()).is_closed()

        port.open.set()
        assert await asyncio.gather(*waiting) == ["waited"] * 2


async def test_a_client_that_the_server_works_for_keeps_no_other_out_either() -> None:
    async with serving(PortLimits(connections=2)) as port:
        first, newest = [await port.connect("127.0.0.2") for _ in range(2)]
        waiting = asyncio.create_task(first.ask("/wait"))
        await port.waiting.acquire()
        closed = asyncio.create_task(newest.ask("/wait"))
        await port.waiting.acquire()

        async with counted_once(Limit.CONNECTIONS):
            assert await (await port.connect()).ask() == "small"

        assert await closed == ""
        port.open.set()
        assert await waiting == "waited"


async def test_a_body_that_comes_after_its_answer_is_no_work_of_the_server() -> None:
    async with serving(PortLimits(connections=1)) as port:
        early = await port.connect("127.0.0.2")
        early.writer.write(b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n")
        assert (await early.answer()).endswith("small")
        early.writer.write(b"body" + ASKS)
        assert (await early.answer()).endswith("small")

        async with counted_once(Limit.CONNECTIONS):
            assert await (await port.connect()).ask() == "small"
        assert await early.is_closed()


async def test_an_ended_connection_leaves_its_place() -> None:
    before = COUNTS.snapshot().get(Limit.CONNECTIONS, 0)
    async with serving(PortLimits(connections=1)) as port:
        for _ in range(3):
            client = await port.connect()
            assert await client.ask() == "small"
            client.writer.write(ASKS.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            assert (await client.answer()).endswith("small")
            assert await client.is_closed()

    assert COUNTS.snapshot().get(Limit.CONNECTIONS, 0) == before


# TLS.


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Of a server, and of its clients."""
    folder: Path = tmp_path_factory.mktemp("pair")
    authority = Authority("a")
    signed = authority.sign("server")
    (folder / "tls.crt").write_bytes(signed.certificate)
    (folder / "tls.key").write_bytes(signed.key)
    trust = ssl.create_default_context(cadata=authority.certificate.decode())
    return certificates(folder / "tls.crt", folder / "tls.key"), trust


async def test_a_client_that_begins_no_tls_is_closed_and_counts_for_its_port(
    pair: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    served, trust = pair
    async with (
        serving(PortLimits(connections=2), served) as port,
        ClientSession(connector=TCPConnector(ssl=trust)) as session,
    ):
        silent, later = await port.connect("127.0.0.2"), await port.connect("127.0.0.2")
        url = f"https://127.0.0.1:{port.number}"
        async with (
            counted_once(Limit.CONNECTIONS),
            session.post(f"{url}/echo", data=LARGE[:400_000]) as answer,
        ):
            assert await answer.read() == LARGE[:400_000]
        assert await silent.is_closed()
        later.writer.write(b"no TLS\r\n\r\n")
        assert await later.is_closed()

    async with serving(SOON, served) as port, counted_once(Limit.REQUEST_SECONDS):
        assert await (await port.connect()).is_closed()
