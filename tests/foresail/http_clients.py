"""Clients of an HTTP port on real sockets, and what they can hold of it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from foresail.ports.open_connections import PortLimits
from scaler.limits import COUNTS, Limit

SOON = PortLimits(request_seconds=0.05, response_seconds=0.05)
"""Times that end within a test."""
LATE = PortLimits(request_seconds=30, response_seconds=30)
"""Times that do not."""
ASKS = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LARGE = b"x" * 2**24
"""More than the buffers of both sockets."""
READER_BYTES = 2**16


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, path: str = "/") -> str:
        """The last line of the answer; nothing if the connection was closed."""
        self.writer.write(ASKS.replace(b"/ ", f"{path} ".encode(), 1))
        return (await self.answer()).rpartition("\n")[2]

    async def answer(self) -> str:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            length = int(head.lower().partition("content-length: ")[2].partition("\r")[0])
            return head + (await self.reader.readexactly(length)).decode()
        return ""

    async def is_closed(self) -> bool:
        """Whether the server closed it: waits for an end, or for bytes."""
        with contextlib.suppress(ConnectionError):
            return await self.reader.read(1) == b""
        return True

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


class Clients:
    """The clients of one port of this machine."""

    def __init__(self, number: int = 0) -> None:
        self.number = number
        self._connected: list[Client] = []

    async def connect(self, host: str = "127.0.0.1") -> Client:
        """A connection from this address of this machine."""
        client = Client(
            *await asyncio.open_connection(
                "127.0.0.1", self.number, local_addr=(host, 0), limit=READER_BYTES
            )
        )
        self._connected.append(client)
        return client

    async def close(self) -> None:
        for one in self._connected:
            await one.close()


@asynccontextmanager
async def counted_once(limit: Limit) -> AsyncIterator[None]:
    """The limit is exceeded once in this block, which may end before that is seen."""
    before = COUNTS.snapshot().get(limit, 0)
    yield
    while COUNTS.snapshot().get(limit, 0) == before:
        await asyncio.sleep(0.01)
    assert COUNTS.snapshot()[limit] == before + 1


async def check_unread_is_given_up(clients: Clients) -> None:
    """An answer at `/large` that its client does not read is counted, and cut off."""
    client = await clients.connect()
    async with counted_once(Limit.RESPONSE_SECONDS):
        client.writer.write(ASKS.replace(b"/ ", b"/large ", 1))

    received = 0
    with contextlib.suppress(ConnectionError):
        while part := await client.reader.read(READER_BYTES):
            received += len(part)
    assert received < len(LARGE)
