"""The shipped `foresail serve` under KEDA's calls, at one size: both processes and their source."""

import asyncio
from collections.abc import Mapping
from time import perf_counter

import grpc.aio
from aiohttp import ClientSession

from bench._rpc_calls import Tally, bench_object, drive, until_live
from bench._rpc_server import serving
from bench._rpc_source import asked_of, prometheus
from scaler.rpc import externalscaler_pb2_grpc as pb_grpc

_LIVE_SECONDS_MAX = 300.0
_QUIET_SECONDS = 10.0
_PERIODS = (15.0, 15.0)
"""KEDA's scale loop and the HPA's."""


def served(workloads: int, *, seconds: float) -> Mapping[str, float]:
    """What a server takes for live objects that are asked about and looked at every 15 s."""
    return asyncio.run(_served(workloads, seconds))


async def _until_pasts_are_read(port: int) -> None:
    """Wait until no query about the past comes any more: each workload's is read once."""
    before = -1
    while (pasts := (await asked_of(port)).pasts) != before:
        before = pasts
        await asyncio.sleep(_QUIET_SECONDS)


async def _served(workloads: int, seconds: float) -> Mapping[str, float]:
    with prometheus(workloads) as port:
        sources = f"sources:\n  - name: main\n    prometheus: {{url: 'http://127.0.0.1:{port}'}}\n"
        async with (
            serving(sources) as server,
            grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
            ClientSession() as session,
        ):
            keda = pb_grpc.ExternalScalerStub(channel)
            objects = [bench_object(index) for index in range(workloads)]
            await until_live(keda, objects, seconds_max=_LIVE_SECONDS_MAX)
            await _until_pasts_are_read(port)
            asked = await asked_of(port)
            cpu, tally, begun = server.cpu_seconds(), Tally(), perf_counter()
            await drive(keda, objects, tally, periods=_PERIODS, seconds=seconds)
            minutes = (perf_counter() - begun) / 60
            answering, planning = (
                after - before for after, before in zip(server.cpu_seconds(), cpu, strict=True)
            )
            queries = (await asked_of(port)).queries - asked.queries
            answering_bytes, planning_bytes = server.rss_bytes()
            async with session.get(f"http://127.0.0.1:{server.http_port}/metrics") as response:
                page = await response.text()
    if tally.errors:
        raise RuntimeError(f"{tally.errors} of {len(tally.seconds)} calls failed")
    return {
        "calls of KEDA and the HPA a minute": len(tally.seconds) / minutes,
        "answering process: CPU a minute, ms": 1000 * answering / minutes,
        "planning process: CPU a minute, ms": 1000 * planning / minutes,
        "queries to Prometheus a minute": queries / minutes,
        "answering process: memory, KiB": answering_bytes / 1024,
        "planning process: memory, young, KiB": planning_bytes / 1024,
        "whole page of metrics, KiB": len(page) / 1024,
    }
