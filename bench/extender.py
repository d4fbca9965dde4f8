"""kube-scheduler's calls to a live `foresail scheduler`: filter, then prioritise, then a binding.

The server is the shipped program in a process of its own, fed by a watch of an API server that this
process plays: nodes of eight GPUs that are part full, with slices, labels and images. Every call
names all nodes, as with `percentageOfNodesToScore: 100`. Latency is what the caller sees on a
plain blocking connection, from the first byte sent to the last one read; `cpu_ms` is the server's
processor time for one pod, watch and background work included, and does not grow when the machine
is busy with something else.
"""

import argparse
import asyncio
import contextlib
import json
import os
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from time import perf_counter

import numpy as np
from aiohttp import ClientConnectionError, ClientSession
from rich.progress import Progress, TaskID

from bench._extender_cluster import Cluster, pod, usual_pods
from bench._report import Row, show

_MIB = 2**20
_READY_SECONDS = 180.0
_WARM_PODS = 50
"""Not counted: a scheduler's first pods after a start."""


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench extender", description=__doc__)
    parser.add_argument("--nodes", type=_counts, default=[1000, 5000], help="such as 1000,5000")
    parser.add_argument("--pods", type=int, default=1000, help="pods placed, each in two calls")
    parser.add_argument("--via", choices=["http"], default="http")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="200 pods")
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args(arguments)
    if options.quick:
        options.pods = 200
    rows: list[Row] = []
    with Progress(transient=True) as progress:
        for count in options.nodes:
            task = progress.add_task(f"{count} nodes", total=options.pods)
            rows += asyncio.run(_measured(count, options, progress, task))
    show("extender", vars(options), rows, options.json)


def _counts(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


async def _measured(
    count: int, options: argparse.Namespace, progress: Progress, task: TaskID
) -> list[Row]:
    cluster = Cluster(count, options.seed)
    random = np.random.default_rng(options.seed)
    seconds: dict[str, list[float]] = {"filter": [], "prioritize": []}
    async with cluster.serving() as api, _serving(api) as server:
        connection = HTTPConnection("127.0.0.1", server.port)
        shapes = usual_pods(random, _WARM_PODS + options.pods)
        cpu_before, begun = server.cpu_seconds(), perf_counter()
        for number, shape in enumerate(shapes):
            if number == _WARM_PODS:
                cpu_before, begun = server.cpu_seconds(), perf_counter()
                seconds = {verb: [] for verb in seconds}
            document = pod(shape, f"asked-{number}")
            names = _asked(connection, "filter", document, cluster.names, seconds)
            if names:
                best = _asked(connection, "prioritize", document, names, seconds)
                cluster.bind(document, best[0])
            # kube-scheduler's own cycle, and this process's turn to tell of the binding.
            await asyncio.sleep(0.001)
            progress.update(task, completed=number)
        wall = perf_counter() - begun
        cpu_ms = 1000 * (server.cpu_seconds() - cpu_before) / options.pods
        rss_mib = server.rss_bytes() / _MIB
        connection.close()
    return [
        {
            "nodes": count,
            "verb": verb,
            "p50_ms": 1000 * float(np.quantile(times, 0.5)),
            "p99_ms": 1000 * float(np.quantile(times, 0.99)),
            "pods_per_second": options.pods / wall,
            "rss_mib": rss_mib,
            "cpu_ms": cpu_ms,
        }
        for verb, times in seconds.items()
    ]


def _asked(
    connection: HTTPConnection,
    verb: str,
    document: dict[str, object],
    names: list[str],
    seconds: dict[str, list[float]],
) -> list[str]:
    """The nodes that are left, or those with the highest score."""
    body = json.dumps({"Pod": document, "Nodes": None, "NodeNames": names}).encode()
    begun = perf_counter()
    connection.request("POST", f"/{verb}", body)
    text = connection.getresponse().read()
    seconds[verb].append(perf_counter() - begun)
    answer = json.loads(text)
    if verb == "filter":
        if answer["Error"]:
            raise RuntimeError(answer["Error"])
        return list(answer["NodeNames"])
    top = max(one["Score"] for one in answer)
    return [one["Host"] for one in answer if one["Score"] == top]


@dataclass(frozen=True, slots=True)
class _Server:
    port: int
    pid: int

    def cpu_seconds(self) -> float:
        stat = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")

    def rss_bytes(self) -> int:
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


@contextlib.asynccontextmanager
async def _serving(api: str) -> AsyncIterator[_Server]:
    """The shipped program, following the API server at this address."""
    port, http_port = _free_port(), _free_port()
    with tempfile.TemporaryDirectory() as folder:
        kubeconfig = Path(folder) / "kubeconfig"
        kubeconfig.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "bench",
                    "clusters": [{"name": "bench", "cluster": {"server": api}}],
                    "users": [{"name": "bench", "user": {}}],
                    "contexts": [
                        {"name": "bench", "context": {"cluster": "bench", "user": "bench"}}
                    ],
                }
            )
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "foresail.cli", "scheduler", "--log-level", "warning",
            "--kubeconfig", str(kubeconfig), "--listen", f"127.0.0.1:{port}",
            "--http", f"127.0.0.1:{http_port}",
        )  # fmt: skip
        try:
            await _until_ready(process, http_port)
            yield _Server(port, process.pid)
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def _until_ready(process: asyncio.subprocess.Process, http_port: int) -> None:
    async with asyncio.timeout(_READY_SECONDS), ClientSession() as session:
        while True:
            if process.returncode is not None:
                sys.exit(f"foresail scheduler ended with status {process.returncode}")
            with contextlib.suppress(ClientConnectionError):
                async with session.get(f"http://127.0.0.1:{http_port}/readyz") as response:
                    if response.ok:
                        break
            await asyncio.sleep(0.1)
        # Its scores are worked out ahead; a scheduler's first pods rarely come in this second.
        await asyncio.sleep(2.0)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
