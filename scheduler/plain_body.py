"""The body of a request as it was sent.

API servers and kube-scheduler compress nothing, and a few bytes can be unpacked to any number: so
nothing is unpacked, and a compressed request is refused.
"""

from typing import Final

from aiohttp import web

_NONE: Final = "identity"
_SHOWN_CHARACTERS_MAX: Final = 32


async def plain_body(request: web.Request) -> bytes:
    """The body of a request that is not compressed.

    Raises:
        HTTPUnsupportedMediaType: it is compressed.
    """
    encoding = ", ".join(request.headers.getall("Content-Encoding", [_NONE]))
    if encoding.lower() != _NONE:
        shown = encoding[:_SHOWN_CHARACTERS_MAX]
        raise web.HTTPUnsupportedMediaType(
            text=f"foresail: Content-Encoding {shown!r} is not read; send the body as it is\n"
        )
    return await request.read()
