"""Long texts that are kept packed: whole for every reader, and small for those that do not read."""

import asyncio
import socket
import tracemalloc
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack

import aiohttp
import pytest
from aiohttp import web

from foresail.ports.packed_text import PackedText
from foresail.ports.sites import Sites

# Sockets take real time.
pytestmark = pytest.mark.looptime(False)

LINES = [f'foresail_replicas{{object="so-{index}"}} {index}\n'.encode() for index in range(100_000)]
TEXT = b"".join(LINES)
PACKED = PackedText(LINES)


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async def page(request: web.Request) -> web.Response:
        return PACKED.answer(request, "text/plain")

    app = web.Application()
    app.add_routes([web.get("/", page)])
    async with Sites() as sites:
        yield await sites.add(app, "127.0.0.1:0")


@pytest.mark.parametrize(
    ("headers", "encoding", "bytes_max"),
    [
        pytest.param({"Accept-Encoding": "identity"}, None, len(TEXT), id="plain"),
        pytest.param({"Accept-Encoding": "gzip;\tq=0.0, br"}, None, len(TEXT), id="refused"),
        pytest.param(
            {"Accept-Encoding": "br, gzip;q=0.5"}, "gzip", len(TEXT) / 5, id="among others"
        ),
        pytest.param({"Accept-Encoding": "gzip"}, "gzip", len(TEXT) / 5, id="as Prometheus asks"),
    ],
)
async def test_a_reader_gets_the_whole_text_packed_if_it_takes_that(
    port: int, headers: Mapping[str, str], encoding: str | None, bytes_max: float
) -> None:
    url = f"http://127.0.0.1:{port}/"
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
        assert await answer.read() == TEXT
        assert answer.headers.get("Content-Encoding") == encoding
        assert int(answer.headers["Content-Length"]) <= bytes_max
        assert answer.headers["Vary"] == "Accept-Encoding"


async def test_readers_that_take_nothing_hold_no_more_than_the_packed_texts(port: int) -> None:
    loop = asyncio.get_running_loop()
    with ExitStack() as ends:
        tracemalloc.start()
        ends.callback(tracemalloc.stop)
        for _ in range(5):
            reader = ends.enter_context(socket.create_connection(("127.0.0.1", port)))
            reader.setblocking(False)
            await loop.sock_sendall(reader, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert await loop.sock_recv(reader, 1) == b"H"
        assert tracemalloc.get_traced_memory()[1] < len(TEXT)


def test_a_text_of_nothing_is_empty() -> None:
    assert PackedText().size == 0
