"""Faults of sources: answers and pages that take memory, or the event loop, from everybody."""

import asyncio
import gzip
import itertools
from collections.abc import Callable
from multiprocessing.queues import SimpleQueue
from pathlib import Path

from aiohttp import web

from bench._faults_row import Fault, Observed
from bench._process_apart import served_apart
from scaler.errors import SourceError
from scaler.scope import Scope
from scaler.signals import Feed
from scaler.sources.catalogue import load
from scaler.sources.prometheus import PrometheusSource
from scaler.sources.prometheus_config import PrometheusConfig
from scaler.sources.scrape import ScrapeConfig, ScrapeSource
from scaler.sources.targets import StaticTargets

_MIB_MAX = 400.0
"""Of memory that one bad source may take beyond what is held before."""
_GAP_SECONDS_MAX = 1.5
_PAGES = 6
_SCOPE = Scope(model="m", namespace="llm")
_TICK_SECONDS = 0.002


def faults() -> list[Fault]:
    return [
        _of_prometheus("gzip-bomb", "Prometheus answers with 1 GiB of blanks, packed"),
        _of_prometheus("million-series", "Prometheus answers with a million series"),
        _of_prometheus("nested-answer", "Prometheus answers with 33 million brackets"),
        Fault(
            name="long-pages",
            part="serve",
            by="process",
            fault="Six pods have metrics pages of 9,000 lines",
            expected=f"read or left out, {_expected()}",
            run=lambda: _observed("long-pages", _scrape),
        ),
    ]


def _of_prometheus(name: str, fault: str) -> Fault:
    return Fault(
        name=name,
        part="serve",
        by="process",
        fault=fault,
        expected=f"left out, {_expected()}",
        run=lambda: _observed(name, _prometheus),
    )


def _expected() -> str:
    return f"loop stops ≤ {_GAP_SECONDS_MAX} s, ≤ {_MIB_MAX:.0f} MiB"


Source = PrometheusSource | ScrapeSource


def _prometheus(url: str) -> tuple[Source, Feed]:
    source = PrometheusSource(
        PrometheusConfig(name="bad", url=url, timeout_seconds=8.0, concurrency=4)
    )
    return source, source.feed(preset=load("vllm"), scope=_SCOPE)


def _scrape(url: str) -> tuple[Source, Feed]:
    pages = StaticTargets(*(f"{url}/{page}" for page in range(_PAGES)))
    source = ScrapeSource(ScrapeConfig(name="bad", discovery=pages, timeout_seconds=8.0))
    return source, source.feed(preset=load("vllm"), scope=_SCOPE)


def _observed(body: str, source_of: Callable[[str], tuple[Source, Feed]]) -> Observed:
    with served_apart(_serve, body) as port:
        return asyncio.run(_look(f"http://127.0.0.1:{port}", source_of))


async def _look(url: str, source_of: Callable[[str], tuple[Source, Feed]]) -> Observed:
    source, feed = source_of(url)
    loop = asyncio.get_running_loop()
    ticks = [loop.time()]

    async def tick() -> None:
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            ticks.append(loop.time())

    before = _reset_peak()
    ticking = asyncio.create_task(tick())
    try:
        await feed.observe(now_seconds=100.0)
        text = "read"
    except SourceError:
        text = "left out"
    finally:
        ticking.cancel()
        await source.close()
    gap = max(after - before for before, after in itertools.pairwise((*ticks, loop.time())))
    mebibytes = (_memory("VmHWM") - before) / 1024
    return Observed(
        text=f"{text}, loop stopped {gap:.2f} s, {mebibytes:.0f} MiB",
        wrong_scale_downs=None,
        lost=int(gap > _GAP_SECONDS_MAX),
        recovered_seconds=None,
        ok=gap <= _GAP_SECONDS_MAX and mebibytes <= _MIB_MAX,
    )


def _reset_peak() -> float:
    """Begin to count the peak of this process's memory anew; what it holds now, in KiB."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _memory("VmRSS")


def _memory(field: str) -> float:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return float(value.split()[0])
    raise AssertionError(field)


def _body(name: str) -> tuple[bytes, dict[str, str]]:
    match name:
        case "gzip-bomb":
            unpacked = b'{"data":{"result":[' + b" " * 2**30 + b"]}}"
            return gzip.compress(unpacked, 1), {"Content-Encoding": "gzip"}
        case "million-series":
            series = b'{"metric":{"__name__":"vllm:num_requests_running"}}'
            return b'{"data":{"result":[' + b",".join([series] * 1_000_000) + b"]}}", {}
        case "nested-answer":
            return b"[" * 2**25, {}
        case _:
            line = 'vllm:num_requests_waiting{{engine="{}",model_name="m"}} 1\n'
            return "".join(map(line.format, range(9_000))).encode(), {}


def _serve(name: str, ports: "SimpleQueue[int]") -> None:
    body, headers = _body(name)

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, headers=headers)

    async def run() -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        ports.put(runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(run())
