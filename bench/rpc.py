"""KEDA's real call pattern on one connection, against a live `foresail serve` process.

Every object is polled (GetMetricSpec, GetMetrics, IsActive in turn) each `--poll` seconds by KEDA's
scale loop and each `--hpa` seconds for its HPA, as facts of KEDA's source have it: no deadline, one
channel for all, no phase shift between objects beyond their start. The server is the shipped one in
processes of its own, and its objects are live: each has its own model, read from a metrics source
over HTTP every 15 s, forecast and planned while questions come. No past is read: of 2,000 new
models that takes some time once, in the background. Latency is what the caller sees.

With `--hung N` as many of the objects name a second source, which takes every query and answers
none; errors and missed looks are then counted of the other objects only.

A twentieth as many calls go to a server that answers a constant (`bench._rpc_floor`), in the same
moments and by the same caller: their latency is the floor that this machine sets.

With `--restart` the server is killed instead and started again: how long until every object is
answered, and how many first answers are lower than the last ones before.
"""

import argparse
import asyncio
import sys
import tempfile
from functools import partial
from pathlib import Path
from time import perf_counter

import grpc
import grpc.aio
import numpy as np

from bench._report import show
from bench._rpc_calls import Tally, bench_object, drive, replicas, until_live
from bench._rpc_floor import floor
from bench._rpc_restart import first_answers, forecasts_on_disk, forecasts_resumed, last_answers
from bench._rpc_server import Server, serving
from bench._rpc_source import HUNG_PATH, prometheus
from scaler.rpc import externalscaler_pb2 as pb
from scaler.rpc import externalscaler_pb2_grpc as pb_grpc

_LIVE_SECONDS_MAX = 300.0
_CALLS_PER_FLOOR_CALL = 20
_MIB = 2**20


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench rpc", description=__doc__)
    parser.add_argument(
        "--objects", type=int, default=2000, help="ScaledObjects (default: %(default)s)"
    )
    parser.add_argument("--poll", type=float, default=15.0, help="seconds between KEDA's polls")
    parser.add_argument("--hpa", type=float, default=15.0, help="seconds between HPA syncs")
    parser.add_argument("--seconds", type=float, default=120.0, help="how long calls are counted")
    parser.add_argument("--hung", type=int, default=0, help="objects whose source never answers")
    parser.add_argument("--restart", action="store_true", help="kill the server and start it again")
    parser.add_argument("--quick", action="store_true", help="200 objects for 20 s")
    parser.add_argument("--json", type=Path, help="file for the rows as JSON")
    options = parser.parse_args(arguments)
    if options.quick:
        options.objects, options.seconds = 200, 20.0
    fault = _fault(options)
    if fault is not None:
        parser.error(fault)
    row = asyncio.run(_restarted(options) if options.restart else _measured(options))
    show("rpc", vars(options), [row], options.json)


def _fault(options: argparse.Namespace) -> str | None:
    """Why nothing can be measured with these options."""
    if options.objects < 1:
        return f"--objects {options.objects}: it takes 1 or more"
    if not 0 <= options.hung < options.objects:
        return f"--hung {options.hung}: it takes 0 to {options.objects - 1}, under --objects"
    for name in ("poll", "hpa"):
        if not getattr(options, name) > 0:
            return f"--{name} {getattr(options, name):g}: it takes seconds above 0"
    longest = max(options.poll, options.hpa)
    if not options.restart and not options.seconds >= longest:
        return (
            f"--seconds {options.seconds:g}: it takes {longest:g} or more, the longer of --poll "
            "and --hpa, so that each object is asked"
        )
    return None


async def _measured(options: argparse.Namespace) -> dict[str, float | int]:
    with prometheus(options.objects) as port:
        async with (
            serving(_sources(port)) as server,
            _channel(server) as channel,
            floor() as floor_address,
            grpc.aio.insecure_channel(floor_address) as floor_channel,
        ):
            keda = pb_grpc.ExternalScalerStub(channel)
            objects = _references(options)
            for hanging in objects[: options.hung]:
                await keda.GetMetricSpec(hanging)
            await until_live(keda, objects[options.hung :], seconds_max=_LIVE_SECONDS_MAX)
            hung = {one.name for one in objects[: options.hung]}
            # What a hung source's object gets is an error, and right.
            tally, floor_tally = Tally(lambda one: one.name not in hung), Tally()
            missed_before = await server.looks_missed()
            cpu_before, begun = server.cpu_seconds(), perf_counter()
            async with asyncio.TaskGroup() as group:
                drive_by = partial(
                    drive, periods=(options.poll, options.hpa), seconds=options.seconds
                )
                _ = group.create_task(drive_by(keda, objects, tally))
                constant = pb_grpc.ExternalScalerStub(floor_channel)
                few = max(1, options.objects // _CALLS_PER_FLOOR_CALL)
                _ = group.create_task(drive_by(constant, objects[:few], floor_tally))
            wall = perf_counter() - begun
            if not tally.seconds or not floor_tally.seconds:
                sys.exit(
                    f"no call was answered in {options.seconds:g} s, so there is no latency: "
                    f"{tally.errors} of Foresail's and {floor_tally.errors} of the floor's failed"
                )
            answering, planning = np.subtract(server.cpu_seconds(), cpu_before)
            latencies = 1000 * np.array(tally.seconds)
            p50, p99 = np.quantile(latencies, (0.5, 0.99))
            floor_p50, floor_p99 = np.quantile(1000 * np.array(floor_tally.seconds), (0.5, 0.99))
            return {
                "objects": options.objects,
                "hung": options.hung,
                "calls": len(tally.seconds),
                "p50_ms": float(p50),
                "p99_ms": float(p99),
                "max_ms": float(latencies.max()),
                "floor_p50_ms": float(floor_p50),
                "floor_p99_ms": float(floor_p99),
                "cpu_percent": float(100 * (answering + planning) / wall),
                "answering_us_a_call": float(1e6 * answering / len(tally.seconds)),
                "rss_mib": sum(server.rss_bytes()) / _MIB,
                "rss_answering_mib": server.rss_bytes()[0] / _MIB,
                "errors": tally.errors,
                "looks_missed": await server.looks_missed() - missed_before,
            }


async def _restarted(options: argparse.Namespace) -> dict[str, float | int]:
    with prometheus(options.objects) as port, tempfile.TemporaryDirectory() as folder:
        states = Path(folder) / "states"
        async with serving(_sources(port, states)) as server, _channel(server) as channel:
            keda = pb_grpc.ExternalScalerStub(channel)
            objects = _references(options)
            await until_live(keda, objects, seconds_max=_LIVE_SECONDS_MAX)
            await forecasts_on_disk(states, options.objects)
            before = await last_answers(partial(_replicas, keda, objects), options.objects)
            begun = perf_counter()
            server.kill()
        async with serving(_sources(port, states)) as server, _channel(server) as channel:
            keda = pb_grpc.ExternalScalerStub(channel)
            restart = await first_answers(partial(_replicas, keda, objects), before, begun)
            resumed = await forecasts_resumed(server.http_port, options.objects, begun)
            rss_mib = sum(server.rss_bytes()) / _MIB
    return {
        "objects": options.objects,
        **restart.row(),
        "forecasts_seconds": resumed,
        "rss_mib": rss_mib,
    }


def _channel(server: Server) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}")


def _references(options: argparse.Namespace) -> list[pb.ScaledObjectRef]:
    return [
        bench_object(index, source="hung" if index < options.hung else "main")
        for index in range(options.objects)
    ]


async def _replicas(
    keda: "pb_grpc.ExternalScalerAsyncStub", objects: list[pb.ScaledObjectRef], index: int
) -> float | None:
    return await replicas(keda, objects[index])


def _sources(prometheus_port: int, states: Path | None = None) -> str:
    """Settings of the server.

    Args:
        states: where it keeps them; None = nowhere.
    """
    kept = f"state: {{directory: '{states}', every: 60s}}\n"
    return (
        # The made-up source has no past; asking it for 2,000 weeks takes its time all the same.
        "cycle: {history: 0s}\n"
        "sources:\n"
        "  - name: main\n"
        f"    prometheus: {{url: 'http://127.0.0.1:{prometheus_port}'}}\n"
        "  - name: hung\n"
        f"    prometheus: {{url: 'http://127.0.0.1:{prometheus_port}{HUNG_PATH}'}}\n"
    ) + (kept if states is not None else "")
