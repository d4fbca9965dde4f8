"""A server that sends bytes as they are, whatever they are."""

import asyncio
from contextlib import suppress
from typing import Final

CHUNKED: Final = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
"""The head of an answer in parts."""


async def raw_server(sent: bytes) -> asyncio.Server:
    """Answers every request with these bytes."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        with suppress(ConnectionError):
            writer.write(sent)
            await writer.drain()
        writer.close()

    return await asyncio.start_server(answer, "127.0.0.1", 0)
