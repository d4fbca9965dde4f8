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
    delay_seconds: float = 0.0
    drips: bool = False
    drip: bytes = b" "
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
        if request.path.startswith("/api/v1/label"):
            return web.Response(text=self.lookups, status=self.lookup_status)
        return web.Response(text=self.body, status=self.status, headers=self.headers)

    async def _dripped(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with suppress(ConnectionError):
            while True:
                await response.write(self.drip)
                await asyncio.sleep(0.01)
        self.hung_up.set()
        return response


@asynccontextmanager
async def serving(stub: Stub) -> AsyncIterator[Stub]:
    """The stub at its `url`."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", stub.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    stub.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield stub
    await runner.cleanup()


def waiting(value: float, *, at: float) -> str:
    metric = {"__name__": "vllm:num_requests_waiting", "model_name": "m", "pod": "a"}
    result = [{"metric": metric, "values": [[at, str(value)]]}]
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}})
