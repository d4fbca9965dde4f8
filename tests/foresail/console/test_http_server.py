"""What browsers and others can hold of the console's port, on real sockets with tiny times."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientError, ClientSession, TCPConnector, WSMsgType

from foresail.console.guard import Receive, Scope, Send
from foresail.console.http_server import served
from foresail.ports.open_connections import PortLimits
from scaler.errors import ForesailError
from scaler.limits import COUNTS, Limit
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
UNREAD = PortLimits(request_seconds=30, response_seconds=0.05)
"""Where an answer that is not taken ends within a test."""
OPENS = (
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\n"
)


async def page(scope: Scope, receive: Receive, send: Send) -> None:
    """`/` and `/large` as pages, and a WebSocket that answers each message with itself.

    A POST is waited for until its client leaves.
    """
    if scope["type"] == "lifespan":
        for _ in range(2):
            await send({"type": f"{(await receive())['type']}.complete"})
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
    elif scope["method"] == "POST":
        while (await receive())["type"] != "http.disconnect":
            pass
    else:
        body = LARGE if scope["path"] == "/large" else b"small"
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def serving(limits: PortLimits) -> AsyncIterator[Clients]:
    listening = socket.create_server(("127.0.0.1", 0))
    port = Clients(listening.getsockname()[1])
    async with asyncio.timeout(60), served(page, listening, "an address", limits):
        try:
            yield port
        finally:
            await port.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_console_that_does_not_start_names_its_address() -> None:
    async def fails(_: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no"})

    listening = socket.create_server(("127.0.0.1", 0))
    with pytest.raises(ForesailError, match="the console on localhost:8081 did not start"):
        async with asyncio.timeout(60), served(fails, listening, "localhost:8081", PortLimits()):
            pass


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"GET / HTTP/1.1\r\nHo", id="half a head"),
        pytest.param(OPENS, id="half a WebSocket"),
    ],
)
async def test_a_client_that_does_not_send_its_request_is_closed(sent: bytes) -> None:
    async with serving(SOON) as port, counted_once(Limit.REQUEST_SECONDS):
        client = await port.connect()
        client.writer.write(sent)

        assert await client.is_closed()


async def test_the_next_request_has_as_long_as_an_answer() -> None:
    async with serving(UNREAD) as port, counted_once(Limit.RESPONSE_SECONDS):
        client = await port.connect()
        assert await client.ask() == "small"
        client.writer.write(b"GET / HTTP/1.1\r\nHo")

        assert await client.is_closed()


@pytest.mark.parametrize(
    ("asks", "begins"),
    [
        pytest.param(
            OPENS + b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", b" 101 ", id="a page"
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
            b" 100 ",
            id="an answer that is made",
        ),
    ],
)
async def test_a_client_that_left_is_not_late(asks: bytes, begins: bytes) -> None:
    async with serving(UNREAD) as port:
        leaves = await port.connect()
        leaves.writer.write(asks)
        assert begins in await leaves.reader.readline()

        # It would be late before one that asks for nothing after its answer.
        async with counted_once(Limit.RESPONSE_SECONDS):
            leaves.writer.write_eof()
            while not await leaves.is_closed():
                pass
            stays = await port.connect()
            stays.writer.write(ASKS)
            while not await stays.is_closed():
                pass


async def test_an_answer_that_nobody_reads_is_given_up() -> None:
    async with serving(UNREAD) as port:
        await check_unread_is_given_up(port)


async def test_an_answer_that_is_read_comes_whole() -> None:
    async with serving(LATE) as port:
        client = await port.connect()

        assert await client.ask("/large") == LARGE.decode()


async def test_a_page_that_is_open_is_not_closed_for_its_silence() -> None:
    async with serving(SOON) as port, ClientSession() as session:
        while True:
            with contextlib.suppress(ClientError):  # a busy core did not ask in time
                page_of = await session.ws_connect(f"http://127.0.0.1:{port.number}")
                break
        # As long as a client may take: one that asks for nothing is closed.
        assert await (await port.connect()).is_closed()

        await page_of.send_str("here")
        assert await page_of.receive_str() == "here"
        await page_of.close()


async def test_a_client_that_takes_all_connections_keeps_neither_others_nor_their_pages_out() -> (
    None
):
    from_page = TCPConnector(local_addr=("127.0.0.2", 0))
    async with (
        serving(PortLimits(connections=3)) as port,
        ClientSession(connector=from_page) as session,
        session.ws_connect(f"http://127.0.0.1:{port.number}") as socket_of_page,
    ):
        first, second = [await port.connect("127.0.0.2") for _ in range(2)]

        async with counted_once(Limit.CONNECTIONS):
            assert await (await port.connect()).ask() == "small"

        assert await first.is_closed()
        assert await second.ask() == "small"
        await socket_of_page.send_str("here")
        assert await socket_of_page.receive_str() == "here"


async def test_open_pages_count_and_the_newest_of_the_address_with_the_most_is_closed() -> None:
    from_page = TCPConnector(local_addr=("127.0.0.2", 0))
    async with serving(PortLimits(connections=2)) as port, ClientSession(connector=from_page) as s:
        url = f"http://127.0.0.1:{port.number}"
        async with s.ws_connect(url) as older, s.ws_connect(url) as newest:
            async with counted_once(Limit.CONNECTIONS):
                assert await (await port.connect()).ask() == "small"

            assert (await newest.receive()).type in {WSMsgType.CLOSED, WSMsgType.ERROR}
            await older.send_str("here")
            assert await older.receive_str() == "here"


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n", id="opened"),
        pytest.param(b"", id="refused"),
    ],
)
async def test_a_websocket_that_ended_leaves_its_place(key: bytes) -> None:
    before = COUNTS.snapshot().get(Limit.CONNECTIONS, 0)
    async with serving(PortLimits(connections=1)) as port:
        for _ in range(3):
            client = await port.connect()
            client.writer.write(OPENS + key + b"\r\n")
            assert b" 101 " in await client.reader.readline() or not key
            client.writer.write_eof()
            while not await client.is_closed():
                pass

    assert COUNTS.snapshot().get(Limit.CONNECTIONS, 0) == before
