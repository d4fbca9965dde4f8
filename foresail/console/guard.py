"""Before the pages: who may see them, how they may be asked, and the headers on answers."""

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from foresail.ports.access import has_token
from foresail.ports.loopback import is_loopback, names_loopback

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

# The UI library starts from inline scripts, and its Vue compiles templates at run time.
_POLICY: Final = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; "
    "connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
HEADERS: Final = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-frame-options", b"DENY"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
_READS: Final = frozenset({"GET", "HEAD"})
_POLICY_VIOLATION: Final = 1008


@dataclass(frozen=True, slots=True)
class Guard:
    """An ASGI application that lets through what may be answered by another one."""

    app: Application
    token_file: Path | None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, refuse, or pass on."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        refusal = await self._refusal(scope)
        if refusal is None:
            await self.app(scope, receive, _with_headers(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
        else:
            await _refuse(_with_headers(send), *refusal, browser=self.token_file is not None)

    async def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Status and reason; None = it may be answered."""
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        peer = (scope.get("client") or (None,))[0]
        if scope.get("method", "GET") not in _READS:
            return 405, "the console only shows: ask with GET"
        host, origin = headers.get(b"host", ""), headers.get(b"origin")
        if origin is not None and _host_of(origin) != host:
            return 403, "a page of another site asks"
        if await has_token(headers.get(b"authorization", ""), self.token_file):
            return None
        if not is_loopback(peer):
            status = 401 if self.token_file is not None else 403
            return (
                status,
                "the console shows tenants' traffic: ask on this machine, or with the token",
            )
        if not names_loopback(host):
            # A name of another site that was made to point here would read pages with its scripts,
            # which may send any header but the token.
            return 403, f"{host!r} does not name this machine: ask 127.0.0.1 or localhost"
        return None


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _with_headers(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *HEADERS]
        await send(message)

    return sent


async def _refuse(send: Send, status: int, why: str, *, browser: bool) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    if browser and status == 401:  # noqa: PLR2004 - HTTP's
        headers.append((b"www-authenticate", b'Basic realm="foresail console"'))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": f"{why}\n".encode()})
