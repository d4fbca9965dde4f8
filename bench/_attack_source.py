"""Sources and pods of a tenant that does its worst: they hang, drip, send bombs or nonsense."""

import asyncio
import contextlib
import gzip
import itertools
import json
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from multiprocessing.queues import SimpleQueue
from typing import Final

from aiohttp import web

from bench._process_apart import served_apart

FAULTS: Final = ("hang", "drip", "gzip-bomb", "many-series", "absurd")
"""Paths below which a source has this fault."""
PAGE_FAULTS: Final = (
    "page-hang",
    "page-drip",
    "page-bomb",
    "page-lines",
    "page-series",
    "page-new-series",
    "page-absurd",
)
"""Paths at which a pod's metrics page has this fault."""
_DRIP_SECONDS: Final = 1.0
_UNPACKED_BYTES: Final = 2**28
_SERIES: Final = 120_000
_PAGE_BYTES: Final = 2**24
_PAGE_SERIES: Final = 20_000
_ABSURD: Final = ("1e308", "NaN", "-7", "18446744073709551615")


_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def hostile() -> AbstractContextManager[int]:
    """The port of the sources, in a process of their own."""
    return served_apart(_serve, None)


async def _hang(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    return web.Response()


async def _drip(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    with contextlib.suppress(ConnectionError):
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(_DRIP_SECONDS)
    return response


async def _send_absurd(request: web.Request) -> web.StreamResponse:
    form = await request.post()
    return web.Response(body=_absurd(float(str(form.get("time", "0")))))


def _sends(body: bytes, headers: Mapping[str, str]) -> _Handler:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=body, headers=headers)

    return answer


def _sends_new_series() -> _Handler:
    """Series in each answer that no answer before had."""
    numbers = itertools.count()

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=_page_of_series(next(numbers)))

    return answer


def _serve(_: None, ports: "SimpleQueue[int]") -> None:
    os.nice(19)  # scaffolding: on a small machine it must not take the answers' time
    bomb = gzip.compress(b'{"data":{"result":[' + b" " * _UNPACKED_BYTES + b"]}}", 1)
    series = b'{"metric":{"__name__":"vllm:num_requests_running"},"values":[[1,"1"]]}'
    many = b'{"data":{"result":[' + b",".join([series] * _SERIES) + b"]}}"
    packed = {"Content-Encoding": "gzip"}
    answers = (_hang, _drip, _sends(bomb, packed), _sends(many, {}), _send_absurd)
    page_bomb = gzip.compress(b"\n" * _UNPACKED_BYTES, 1)
    lines = b"vllm:num\n" * (_PAGE_BYTES // 9)
    pages = (
        _hang,
        _drip,
        _sends(page_bomb, packed),
        _sends(lines, {}),
        _sends(_page_of_series(0), {}),
        _sends_new_series(),
        _sends(_absurd_page(), {}),
    )

    async def run() -> None:
        app = web.Application()
        for fault, answer in zip(FAULTS, answers, strict=True):
            app.router.add_route("*", f"/{fault}/{{rest:.*}}", answer)
        for fault, answer in zip(PAGE_FAULTS, pages, strict=True):
            app.router.add_get(f"/{fault}", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        ports.put(int(runner.addresses[0][1]))
        await asyncio.Event().wait()

    asyncio.run(run())


def _absurd(now: float) -> bytes:
    names = (
        "vllm:num_requests_waiting",
        "vllm:generation_tokens_total",
        "vllm:prompt_tokens_total",
    )
    result = [
        {
            "metric": {"__name__": name, "pod": "a", "model_name": ""},
            "values": [[now - 15 * back, _ABSURD[back % len(_ABSURD)]] for back in (3, 2, 1, 0)],
        }
        for name in names
    ]
    return json.dumps({"status": "success", "data": {"result": result}}).encode()


def _page_of_series(number: int) -> bytes:
    """As many series of the engine as a page may have, in no more bytes than an engine's."""
    line = f'vllm:num_requests_running{{{{engine="{number}-{{}}"}}}} 1\n'
    return "".join(map(line.format, range(_PAGE_SERIES))).encode()


def _absurd_page() -> bytes:
    names = ("num_requests_waiting", "generation_tokens_total", "prompt_tokens_total")
    return "".join(f"vllm:{name} {value}\n" for name in names for value in _ABSURD).encode()
