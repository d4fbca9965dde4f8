"""The metrics source of `bench rpc`: Prometheus' protocol over made-up vLLM replicas."""

import asyncio
import math
import os
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from multiprocessing.queues import SimpleQueue

from aiohttp import ClientSession, web

from bench._process_apart import served_apart

HUNG_PATH = "/hung"
"""Below it there is a source that takes every question and answers none."""
_ASKED_PATH = "/asked"
_SCRAPE_SECONDS = 15.0
_MODELS = re.compile(r'model_name=~"([^"]*)"')
"""As the scaler asks for models, or for series without one."""
_MODEL = re.compile(r"model\\\\-(\d+)\|")


def prometheus(models: int) -> AbstractContextManager[int]:
    """What answers the scaler's queries: one vLLM replica's series for each of the models.

    Only the protocol is Prometheus', in a process of its own: the subject here is the scaler.
    """
    return served_apart(_answer_queries, models)


@dataclass(slots=True)
class Asked:
    """What was asked so far."""

    queries: int = 0
    looks: int = 0
    """Models that the queries named: one query looks at many workloads."""
    pasts: int = 0
    """Queries about the past."""


async def asked_of(port: int) -> Asked:
    """What was asked so far of the one at this port."""
    url = f"http://127.0.0.1:{port}{_ASKED_PATH}"
    async with ClientSession() as session, session.get(url) as response:
        return Asked(**await response.json())


def _answer_queries(models: int, ports: "SimpleQueue[int]") -> None:
    asked = Asked()

    async def query(request: web.Request) -> web.Response:
        form = await request.post()
        found = _MODELS.search(str(form["query"]))
        named = [] if found is None else [int(one) for one in _MODEL.findall(found[1])]
        asked.queries += 1
        asked.looks += len(named)
        at = float(str(form["time"]))
        known = (_series(model, at) for model in named if model < models)
        return web.json_response(_matrix([series for page in known for series in page]))

    async def asked_so_far(_: web.Request) -> web.Response:
        return web.json_response(asdict(asked))

    async def query_range(_: web.Request) -> web.Response:
        asked.pasts += 1
        return web.json_response(_matrix([]))

    async def hang(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    os.nice(19)  # scaffolding: on a small machine it must not take the answers' time

    async def serve() -> None:
        app = web.Application()
        app.add_routes(
            [
                web.post("/api/v1/query", query),
                web.post("/api/v1/query_range", query_range),
                web.get(_ASKED_PATH, asked_so_far),
                web.post(f"{HUNG_PATH}/{{rest:.*}}", hang),
            ]
        )
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        ports.put(int(runner.addresses[0][1]))
        await asyncio.Event().wait()

    asyncio.run(serve())


def _matrix(result: list[dict[str, object]]) -> dict[str, object]:
    return {"status": "success", "data": {"resultType": "matrix", "result": result}}


def _series(model: int, now: float) -> list[dict[str, object]]:
    """Eight scrapes of one replica's page: gauges that wander, counters that grow."""
    times = [now // _SCRAPE_SECONDS * _SCRAPE_SECONDS - _SCRAPE_SECONDS * k for k in range(8)]
    times.reverse()
    return [
        {
            "metric": {
                "__name__": name,
                "model_name": f"model-{model}",
                "engine": "0",
                "namespace": "bench",
                "pod": f"model-{model}-0",
                "job": "vllm",
                **labels,
            },
            "values": [[at, f"{value(at + model):.3f}"] for at in times],
        }
        for name, labels, value in _PAGE
    ]


def _gauge(mean: float) -> Callable[[float], float]:
    return lambda at: mean * (1 + 0.5 * math.sin(at / 3000))


def _counter(per_second: float) -> Callable[[float], float]:
    return lambda at: per_second * (at % 1e7) - 1500 * per_second * math.cos(at / 3000)


_EDGES = ("0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "+Inf")
_PAGE: tuple[tuple[str, dict[str, str], Callable[[float], float]], ...] = (
    ("vllm:num_requests_running", {}, _gauge(30)),
    ("vllm:num_requests_waiting", {}, _gauge(0)),
    ("vllm:num_requests_waiting_by_reason", {"reason": "capacity"}, _gauge(0)),
    ("vllm:num_requests_waiting_by_reason", {"reason": "deferred"}, _gauge(0)),
    ("vllm:kv_cache_usage_perc", {}, _gauge(0.4)),
    ("vllm:engine_sleep_state", {"sleep_state": "awake"}, lambda _: 1.0),
    ("vllm:prompt_tokens_total", {}, _counter(3000)),
    ("vllm:prompt_tokens_by_source_total", {"source": "local_compute"}, _counter(3000)),
    ("vllm:generation_tokens_total", {}, _counter(900)),
    ("vllm:request_success_total", {"finished_reason": "stop"}, _counter(3)),
    ("vllm:request_success_total", {"finished_reason": "length"}, _counter(0.1)),
    *(("vllm:time_to_first_token_seconds_bucket", {"le": le}, _counter(3)) for le in _EDGES),
    *(("vllm:inter_token_latency_seconds_bucket", {"le": le}, _counter(900)) for le in _EDGES),
)
