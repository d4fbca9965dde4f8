"""A long text that is kept packed, and unpacked for a reader as that one takes it.

A page of metrics about thousands of workloads has tens of megabytes of much the same lines, and a
reader that takes nothing keeps the page of its time.
"""

import asyncio
import re
import zlib
from collections.abc import Iterable
from io import BytesIO
from typing import Final

from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload
from typing_extensions import override

from scaler.sources.packing import WBITS, in_parts, unpacked

_LEVEL: Final = 1
"""The fastest: a page is made anew every few seconds."""
_PACKED_BYTES: Final = 2**12
"""Held at a time for a reader that takes nothing, with 64 KiB that were unpacked of them."""
_NEVER: Final = re.compile(r"q=0(\.0*)?")


class PackedText:
    """A text as gzip."""

    def __init__(self, parts: Iterable[bytes] = ()) -> None:
        """Pack the parts of a text. Blocks, for as long as they take to be made, too."""
        packer, packed, size = zlib.compressobj(_LEVEL, wbits=WBITS), BytesIO(), 0
        for part in parts:
            size += len(part)
            _ = packed.write(packer.compress(part))
        _ = packed.write(packer.flush())
        self.packed: Final = packed.getvalue()
        self.size: Final = size
        """Of the text, in bytes."""

    def bytes_for(self, request: web.Request) -> int:
        """How many bytes answer the request."""
        return len(self.packed) if _takes_gzip(request) else self.size

    def answer(self, request: web.Request, content_type: str) -> web.Response:
        """The text, packed for a client that accepts gzip, as Prometheus does."""
        headers = {hdrs.CONTENT_TYPE: content_type, hdrs.VARY: hdrs.ACCEPT_ENCODING}
        if not _takes_gzip(request):
            # Without the header its length is known to nobody before it is sent.
            headers[hdrs.CONTENT_LENGTH] = str(self.size)
            return web.Response(body=_Unpacked(self.packed, self.size), headers=headers)
        return web.Response(body=self.packed, headers={**headers, hdrs.CONTENT_ENCODING: "gzip"})


def _takes_gzip(request: web.Request) -> bool:
    for one in request.headers.get(hdrs.ACCEPT_ENCODING, "").lower().split(","):
        coding, *weights = "".join(one.split()).split(";")
        if coding == "gzip":
            return not any(map(_NEVER.fullmatch, weights))
    return False


class _Unpacked(Payload):
    """A body that is unpacked while it is sent."""

    def __init__(self, packed: bytes, size: int) -> None:
        super().__init__(b"")
        self._packed = packed
        self._size = size

    @override
    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return b"".join(unpacked(in_parts(self._packed))).decode(encoding, errors)

    @override
    async def write(self, writer: AbstractStreamWriter) -> None:
        for part in unpacked(in_parts(self._packed, _PACKED_BYTES)):
            await writer.write(part)
            await asyncio.sleep(0)  # a fast reader would keep the loop from all others
