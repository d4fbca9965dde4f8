"""KEDA's real call pattern on one connection, against a live `foresail serve` process.

Every object is polled (GetMetricSpec, GetMetrics, IsActive in turn) each `--poll` seconds by KEDA's
scale loop and each `--hpa` seconds for its HPA, as facts of KEDA's source have it: no deadline, one
channel for all, no phase shift between objects beyond their start. The server is the shipped one in
processes of its own, and its objects are live: each has its own model, read from a metrics source
over HTTP every 15 s, forecast and planned while questions come. Latency is what the caller sees.

With `--hung N` as many of the objects name a second source, which takes every query and answers
none; errors and missed looks are then counted of the other objects only.

A twentieth as many calls go to a server that answers a constant (`bench._rpc_floor`), in the same
moments and by the same caller: their latency is the floor that this machine sets.

With `--restart` the server is killed instead and started again: how long until every object is
answered, and how many first answers are lower than the last ones before.
"""

import argparse
import asyncio
import contextlib
import os
import re
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter

import grpc
import grpc.aio
import numpy as np
from aiohttp import ClientConnectionError, ClientSession
from rich.progress import track

from bench._report import show
from bench._rpc_floor import floor
from bench._rpc_restart import first_answers, forecasts_on_disk, forecasts_resumed, last_answers
from bench._rpc_source import HUNG_PATH, prometheus
from scaler.rpc import externalscaler_pb2 as pb
from scaler.rpc import externalscaler_pb2_grpc as pb_grpc
from scaler.serving.service import METRIC_NAME

_LIVE_SECONDS_MAX = 300.0
_CALLS_PER_FLOOR_CALL = 20
_MIB = 2**20


@dataclass(slots=True)
class Tally:
    """Latencies of the counted calls, and how many failed."""

    seconds: list[float] = field(default_factory=list)
    errors: int = 0


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
            _serving(port) as server,
            _channel(server) as channel,
            floor() as floor_address,
            grpc.aio.insecure_channel(floor_address) as floor_channel,
        ):
            keda = pb_grpc.ExternalScalerStub(channel)
            await _until_live(keda, options)
            tally, floor_tally = Tally(), Tally()
            missed_before = await server.looks_missed()
            cpu_before, begun = server.cpu_seconds(), perf_counter()
            async with asyncio.TaskGroup() as group:
                _ = group.create_task(_drive(keda, options, options.objects, tally))
                constant = pb_grpc.ExternalScalerStub(floor_channel)
                few = max(1, options.objects // _CALLS_PER_FLOOR_CALL)
                _ = group.create_task(_drive(constant, options, few, floor_tally))
            wall = perf_counter() - begun
            if not tally.seconds or not floor_tally.seconds:
                sys.exit(
                    f"no call was answered in {options.seconds:g} s, so there is no latency: "
                    f"{tally.errors} of Foresail's and {floor_tally.errors} of the floor's failed"
                )
            cpu_percent = 100 * (server.cpu_seconds() - cpu_before) / wall
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
                "cpu_percent": cpu_percent,
                "rss_mib": sum(server.rss_bytes()) / _MIB,
                "rss_answering_mib": server.rss_bytes()[0] / _MIB,
                "errors": tally.errors,
                "looks_missed": await server.looks_missed() - missed_before,
            }


async def _restarted(options: argparse.Namespace) -> dict[str, float | int]:
    with prometheus(options.objects) as port, tempfile.TemporaryDirectory() as folder:
        states = Path(folder) / "states"
        async with _serving(port, states) as server, _channel(server) as channel:
            keda = pb_grpc.ExternalScalerStub(channel)
            await _until_live(keda, options)
            await forecasts_on_disk(states, options.objects)
            before = await last_answers(partial(_replicas, keda), options.objects)
            begun = perf_counter()
            server.kill()
        async with _serving(port, states) as server, _channel(server) as channel:
            keda = pb_grpc.ExternalScalerStub(channel)
            restart = await first_answers(partial(_replicas, keda), before, begun)
            resumed = await forecasts_resumed(server.http_port, options.objects, begun)
            rss_mib = sum(server.rss_bytes()) / _MIB
    return {
        "objects": options.objects,
        **restart.row(),
        "forecasts_seconds": resumed,
        "rss_mib": rss_mib,
    }


def _channel(server: "_Server") -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}")


def _reference(index: int, *, hung: int) -> pb.ScaledObjectRef:
    metadata = {
        "scalerAddress": "foresail:6500",
        "source": "hung" if index < hung else "main",
        "model": f"model-{index}",
        "mode": "act",
        "leadTime": "5m",
        "maxReplicas": "40",
        "replicaPromptTokensPerSecond": "4000",
    }
    return pb.ScaledObjectRef(name=f"so-{index}", namespace="bench", scalerMetadata=metadata)


async def _poll(
    keda: "pb_grpc.ExternalScalerAsyncStub", index: int, tally: Tally, *, hung: int
) -> None:
    """One poll: three calls, one after another; an error fails the rest of it."""
    reference = _reference(index, hung=hung)
    question = pb.GetMetricsRequest(scaledObjectRef=reference, metricName=METRIC_NAME)
    calls = (
        lambda: keda.GetMetricSpec(reference),
        lambda: keda.GetMetrics(question),
        lambda: keda.IsActive(reference),
    )
    for call in calls:
        begun = perf_counter()
        try:
            await call()
        except grpc.aio.AioRpcError:
            # What a hung source's object gets is an error, and right.
            tally.errors += index >= hung
            if index >= hung:
                return
        tally.seconds.append(perf_counter() - begun)


async def _drive(
    keda: "pb_grpc.ExternalScalerAsyncStub",
    options: argparse.Namespace,
    objects: int,
    tally: Tally,
) -> None:
    """Poll every object by both clocks until the time is over.

    Both clocks of an object start at a moment of its own, as the reconciles that start them do.
    """
    loop = asyncio.get_running_loop()
    begun = loop.time()

    async def clock(index: int, period: float, phase: float) -> None:
        at = begun + phase * period
        while at < begun + options.seconds:
            await asyncio.sleep(at - loop.time())
            await _poll(keda, index, tally, hung=options.hung)
            at += period

    generator = np.random.default_rng(1)
    async with asyncio.TaskGroup() as group:
        for index in range(objects):
            for period in (options.poll, options.hpa):
                _ = group.create_task(clock(index, period, generator.random()))


async def _until_live(keda: "pb_grpc.ExternalScalerAsyncStub", options: argparse.Namespace) -> None:
    """Make every object known and wait until each has a plan: counted calls meet live objects."""
    deadline = perf_counter() + _LIVE_SECONDS_MAX
    objects, hung = options.objects, options.hung
    for index in track(range(objects), "objects made known", transient=True):
        await keda.GetMetricSpec(_reference(index, hung=hung))
    missing = list(range(hung, objects))
    while missing:
        if perf_counter() > deadline:
            sys.exit(
                f"{len(missing)} of {objects} objects have no plan after {_LIVE_SECONDS_MAX} s"
            )
        await asyncio.sleep(1.0)
        missing = [index for index in missing if not await _answers(keda, index, hung=hung)]


async def _answers(keda: "pb_grpc.ExternalScalerAsyncStub", index: int, *, hung: int) -> bool:
    return await _replicas(keda, index, hung=hung) is not None


async def _replicas(
    keda: "pb_grpc.ExternalScalerAsyncStub", index: int, *, hung: int = 0
) -> float | None:
    """The number for an object; None for an error."""
    reference = _reference(index, hung=hung)
    question = pb.GetMetricsRequest(scaledObjectRef=reference, metricName=METRIC_NAME)
    try:
        return (await keda.GetMetrics(question)).metricValues[0].metricValueFloat
    except grpc.aio.AioRpcError:
        return None


@dataclass(frozen=True, slots=True)
class _Server:
    """A `foresail serve`: the answering process and its planner."""

    grpc_port: int
    http_port: int
    pid: int

    def cpu_seconds(self) -> float:
        """User and system time of both processes so far."""
        ticks = 0
        for pid in self._pids():
            stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(stat[11]) + int(stat[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    async def looks_missed(self) -> int:
        """Looks that were due at the source that answers and not begun, so far."""
        url = f"http://127.0.0.1:{self.http_port}/metrics"
        async with ClientSession() as session, session.get(url) as response:
            page = await response.text()
        found = re.search(r'^foresail_looks_missed_total{source="main"} (\S+)$', page, re.MULTILINE)
        return int(float(found[1])) if found else 0

    def rss_bytes(self) -> list[int]:
        """Resident memory of the answering process and of its planner."""
        pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self._pids()]
        return [count * os.sysconf("SC_PAGE_SIZE") for count in pages]

    def kill(self) -> None:
        """End both processes as a crash does."""
        for pid in self._pids():
            os.kill(pid, signal.SIGKILL)

    def _pids(self) -> list[int]:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [self.pid, *map(int, children)]


@contextlib.asynccontextmanager
async def _serving(prometheus_port: int, states: Path | None = None) -> AsyncIterator[_Server]:
    """The shipped server, with settings as an operator writes them.

    Args:
        states: where it keeps them; None = nowhere.
    """
    # The made-up source has no past to tell; asking it for 2,000 weeks takes its time all the same.
    kept = f"state: {{directory: '{states}', every: 60s}}\ncycle: {{history: 0s}}\n"
    state = kept if states is not None else ""
    grpc_port, http_port = _free_port(), _free_port()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "foresail.yaml"
        config.write_text(
            f"listen: {{grpc: '127.0.0.1:{grpc_port}', http: '127.0.0.1:{http_port}'}}\n"
            "sources:\n"
            "  - name: main\n"
            f"    prometheus: {{url: 'http://127.0.0.1:{prometheus_port}'}}\n"
            "  - name: hung\n"
            f"    prometheus: {{url: 'http://127.0.0.1:{prometheus_port}{HUNG_PATH}'}}\n" + state
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "foresail.cli",
            "serve",
            "--config",
            str(config),
            "--log-level",
            "warning",
        )
        try:
            await _until_ready(http_port)
            yield _Server(grpc_port, http_port, process.pid)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()


async def _until_ready(http_port: int) -> None:
    async with asyncio.timeout(30), ClientSession() as session:
        while True:
            with contextlib.suppress(ClientConnectionError):
                async with session.get(f"http://127.0.0.1:{http_port}/readyz") as response:
                    if response.ok:
                        return
            await asyncio.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
