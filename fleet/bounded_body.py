"""The body of an answer from a server that may send without end."""

from collections.abc import AsyncIterator
from typing import Protocol


class Chunks(Protocol):
    """The content of aiohttp's answers."""

    def iter_chunked(self, n: int) -> AsyncIterator[bytes]: ...


_CHUNK_BYTES = 2**16


async def body_of(content: Chunks, bytes_max: int) -> bytes | None:
    """The body; None = it is larger than any answer of use."""
    found = bytearray()
    async for chunk in content.iter_chunked(_CHUNK_BYTES):
        found += chunk
        if len(found) > bytes_max:
            return None
    return bytes(found)
