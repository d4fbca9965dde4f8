"""Prometheus' API, played by a server that answers every query alike."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from aiohttp import web

NOTHING = {"status": "success", "data": {"resultType": "matrix", "result": []}}


@dataclass
class Stub:
    """Answers every query alike and keeps what it was asked."""

    status: int = 200
    body: str = json.dumps(NOTHING)
    headers: dict[str, str] = field(default_factory=dict)
    lookups: str = json.dumps({"status": "success", "data": []})
    lookup_status: int = 200
    lookup_released: asyncio.Event | None = None
    """Until it is set, no look-up is answered."""
    delay_seconds: float = 0.0
    drips: bool = False
    drip: bytes = b" "
    drips_max: int = 2**62
    """After so many drips of an answer nothing more comes, until some client has hung up."""
    released: asyncio.Event | None = None
    """Until it is set, the last byte of no body is sent."""
    packed: bytes = b""
    """Sent with `Content-Encoding` in place of the body."""
    encoding: str = "gzip"
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    pages: dict[str, str] = field(default_factory=dict)
    """The answers at other paths than Prometheus' API."""
    url: str = ""
    asked: list[tuple[web.Request, dict[str, list[str]]]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request, parse_qs(await request.text())))
        if request.path in self.pages:
            return web.Response(text=self.pages[request.path])
        if self.drips:
            return await self._dripped(request)
        if self.packed:
            headers = {"Content-Encoding": self.encoding}
            return web.Response(body=self.packed, status=self.status, headers=headers)
        await asyncio.sleep(self.delay_seconds)
        if self.released is not None:
            return await self._held(request, self.released)
        if request.path.startswith("/api/v1/label"):
            if self.lookup_released is not None:
                await self.lookup_released.wait()
            return web.Response(text=self.lookups, status=self.lookup_status)
        return web.Response(text=self.body, status=self.status, headers=self.headers)

    async def _dripped(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        drips = 0
        with suppress(ConnectionError):
            while request.transport is not None and not request.transport.is_closing():
                if drips < self.drips_max:
                    await response.write(self.drip)
                    drips += 1
                elif self.hung_up.is_set():
                    return response
                await asyncio.sleep(0.01)
        self.hung_up.set()
        return response

    async def _held(self, request: web.Request, released: asyncio.Event) -> web.StreamResponse:
        response, body = web.StreamResponse(status=self.status), self.body.encode()
        await response.prepare(request)
        with suppress(ConnectionError):
            await response.write(body[:-1])
            await released.wait()
            await response.write(body[-1:])
        return response


@asynccontextmanager
async def serving(stub: Stub) -> AsyncIterator[Stub]:
    """The stub at its `url`."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", stub.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    stub.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield stub
    await runner.cleanup()


def waiting(value: float, *, at: float) -> str:
    metric = {"__name__": "vllm:num_requests_waiting", "model_name": "m", "pod": "a"}
    result = [{"metric": metric, "values": [[at, str(value)]]}]
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}})
