"""Who may see what concerns a tenant: programs on this machine, and those that have the token."""

import asyncio
import hmac
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from aiohttp import web

from foresail.ports.loopback import is_from_this_machine
from scaler.errors import ForesailError
from scaler.sources.access import secret

_BEARER: Final = "Bearer "
_BASIC: Final = "Basic "


async def allowed(peer: str | None, host: str, authorization: str, token_file: Path | None) -> bool:
    """Whether a request may be answered.

    Args:
        peer: the address that it came from.
        host: its Host header: on loopback it must name this machine.
        authorization: its header: `Bearer` with the token or, as browsers ask for it, `Basic` with
            the token as the password.
        token_file: None = only loopback is answered.
    """
    return is_from_this_machine(peer, host) or await has_token(authorization, token_file)


def on_this_machine(
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The handler of a page that shows what tenants run, for programs on this machine alone.

    `kubectl port-forward` arrives as one of them, and asks the API server whether its user may.
    """

    async def answered(request: web.Request) -> web.StreamResponse:
        if is_from_this_machine(request.remote, request.headers.get("Host", "")):
            return await answer(request)
        text = "this page shows what tenants run: ask through kubectl port-forward\n"
        return web.Response(status=403, text=text)

    return answered


async def has_token(authorization: str, token_file: Path | None) -> bool:
    """Whether a request shows the token."""
    given = _given(authorization)
    if token_file is None or given is None:
        return False
    try:
        token = await asyncio.to_thread(secret, token_file)
    except ForesailError:
        return False
    return bool(token) and hmac.compare_digest(given, token.encode())


def bearer_token(authorization: str) -> str | None:
    """The token of an Authorization header of the kind `Bearer`."""
    if not authorization.startswith(_BEARER):
        return None
    return authorization.removeprefix(_BEARER)


def _given(authorization: str) -> bytes | None:
    token = bearer_token(authorization)
    if token is not None:
        return token.encode(errors="surrogateescape")
    if authorization.startswith(_BASIC):
        try:
            pair = b64decode(authorization.removeprefix(_BASIC), validate=True)
        except (Base64Error, ValueError):
            return None
        return pair.partition(b":")[2]
    return None
