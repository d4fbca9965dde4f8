"""kube-scheduler's calls to a live `foresail scheduler`: filter, then prioritise, then a binding.

The server is the shipped program in a process of its own, fed by a watch of an API server that this
process plays: nodes of eight GPUs that are part full, with slices, labels and images. Every call
names all nodes that have room, as with `percentageOfNodesToScore: 100`. Latency is what the caller
sees on a plain blocking connection, from the first byte sent to the last one read; `cpu_p50_ms` and
`cpu_p99_ms` are the part of it that the answering thread was on a processor, which does not grow
when the machine is busy with something else. `cpu_ms_per_pod` is all the server's processor time,
watch and background work included.

With `--claims` half of the nodes give GPUs and NICs by ResourceClaims only, and every second pod
has one: `firstAvailable`, constraints, two drivers; a tenth of those nodes has GPUs with counters.
With `--churn` as many pods leave as come, two nodes report for each, and every tenth time a node
goes with its pods and another one comes. A last row then tells of `--came` pods and a tenth as many
nodes that came and went while every hundredth pod was asked about: memory after a tenth, and at the
end.
"""

import argparse
import asyncio
import json
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from time import perf_counter

import numpy as np
from rich.progress import Progress, TaskID

from bench._extender_cluster import Cluster, Waiting
from bench._extender_objects import usual_pods
from bench._extender_server import Server, serving
from bench._report import Row, show

_MIB = 2**20
_WARM_PODS = 50
"""Not counted: a scheduler's first pods after a start."""
_AHEAD = 5
"""Pods that wait, and are known to do so, before one is placed."""
_UNTOLD_MAX = 200
"""Changes on their way to the program, when it is given time to read them."""
_SETTLED_SECONDS = 120.0
_NODE_EACH = 10
_ASK_EACH = 100


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench extender",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--nodes", type=_counts, default=[1000, 5000], help="such as 1000,5000")
    parser.add_argument("--pods", type=int, default=1000, help="pods placed, each in two calls")
    parser.add_argument("--claims", action="store_true", help="every second pod has a claim")
    parser.add_argument("--churn", action="store_true", help="pods leave, nodes come and go")
    parser.add_argument("--came", type=int, default=100_000, help="pods of the memory row")
    parser.add_argument("--via", choices=["http"], default="http", help="how it is asked")
    parser.add_argument("--seed", type=int, default=1, help="of the cluster and its pods")
    parser.add_argument("--quick", action="store_true", help="200 pods, 2,000 of the memory row")
    parser.add_argument("--json", type=Path, help="file for the rows as JSON")
    options = parser.parse_args(arguments)
    if options.quick:
        options.pods, options.came = 200, 2000
    rows: list[Row] = []
    with Progress(transient=True) as progress:
        for count in options.nodes:
            total = options.pods + (options.came if options.churn else 0)
            task = progress.add_task(f"{count} nodes", total=total)
            rows += asyncio.run(_measured(count, options, progress, task))
    show("extender", vars(options), rows, options.json)


def _counts(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


async def _measured(
    count: int, options: argparse.Namespace, progress: Progress, task: TaskID
) -> list[Row]:
    cluster = Cluster(count, options.seed, has_claims=options.claims)
    async with cluster.serving() as api, serving(api) as server:
        caller = _Caller(cluster, server, options)
        for number in range(_WARM_PODS):
            await caller.place(number)
        before = caller.begin()
        for number in range(options.pods):
            await caller.place(number)
            progress.advance(task)
        rows = caller.rows(before, options.pods)
        if options.churn:
            rows.append(await caller.flat(options.came, progress, task))
        caller.connection.close()
    return [{"nodes": count, **row} for row in rows]


@dataclass(frozen=True, slots=True)
class _Before:
    cpu_seconds: float
    at_seconds: float
    rss_mib: float


@dataclass(slots=True)
class _Caller:
    """kube-scheduler, and all others who change the cluster."""

    cluster: Cluster
    server: Server
    options: argparse.Namespace
    connection: HTTPConnection = field(init=False)
    seconds: dict[str, list[float]] = field(init=False)
    on_cpu_seconds: dict[str, list[float]] = field(init=False)
    _random: np.random.Generator = field(init=False)
    _ahead: list[Waiting] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.connection = HTTPConnection("127.0.0.1", self.server.port)
        self.begin()
        self._random = np.random.default_rng(self.options.seed)

    def begin(self) -> _Before:
        """What is measured begins now."""
        self.seconds = {"filter": [], "prioritize": []}
        self.on_cpu_seconds = {"filter": [], "prioritize": []}
        return _Before(self.server.cpu_seconds(), perf_counter(), self.server.rss_bytes() / _MIB)

    def rows(self, before: _Before, pods: int) -> list[Row]:
        wall = perf_counter() - before.at_seconds
        return [
            {
                "verb": verb,
                "p50_ms": 1000 * float(np.quantile(times, 0.5)),
                "p99_ms": 1000 * float(np.quantile(times, 0.99)),
                "cpu_p50_ms": 1000 * float(np.quantile(self.on_cpu_seconds[verb], 0.5)),
                "cpu_p99_ms": 1000 * float(np.quantile(self.on_cpu_seconds[verb], 0.99)),
                "pods_per_second": pods / wall,
                "rss_mib": self.server.rss_bytes() / _MIB,
                "rss_before_mib": before.rss_mib,
                "cpu_ms_per_pod": 1000 * (self.server.cpu_seconds() - before.cpu_seconds) / pods,
            }
            for verb, times in self.seconds.items()
        ]

    async def place(self, number: int) -> None:
        """One pod, and what changes beside it."""
        self._ahead.append(self._next(number))
        self.cluster.waits(self._ahead[-1])
        if len(self._ahead) > _AHEAD:
            self._ask(self._ahead.pop(0))
        if self.options.churn:
            self.cluster.some_leave()
            self.cluster.node_tells()
            self.cluster.node_tells()
            if number % _NODE_EACH == 0:
                self.cluster.node_is_replaced()
        # kube-scheduler's own cycle, and this process's turn to tell of the binding.
        await asyncio.sleep(0.001)

    async def flat(self, came: int, progress: Progress, task: TaskID) -> Row:
        """Pods that come and go, and nodes with them: memory after a tenth, and at the end."""
        before = self.begin()
        for number in range(came):
            if number == came // 10:
                await self._settled()
                before = self.begin()
            waiting = self._next(number)
            self.cluster.waits(waiting)
            if number % _ASK_EACH == 0:
                self._ask(waiting)
            else:
                self._bind(waiting, self.cluster.fitting(waiting))
            self.cluster.some_leave()
            if number % _NODE_EACH == 0:
                self.cluster.node_is_replaced()
            await self.cluster.told(but=_UNTOLD_MAX)
            progress.advance(task)
        await self._settled()
        return {**self.rows(before, came - came // 10)[0], "verb": f"{came} came and went"}

    def _next(self, number: int) -> Waiting:
        (shape,) = usual_pods(self._random, 1)
        is_claimed = self.options.claims and number % 2 == 1
        return self.cluster.made(shape, 0 if is_claimed else None)

    def _ask(self, waiting: Waiting) -> None:
        names = self.cluster.fitting(waiting)
        if names:
            names = self._asked("filter", waiting, names)
        if len(names) > 1:
            names = self._asked("prioritize", waiting, names)
        self._bind(waiting, names)

    def _bind(self, waiting: Waiting, names: list[str]) -> None:
        if names:
            self.cluster.bind(waiting, names[0])
        else:
            self.cluster.withdraw(waiting)

    def _asked(self, verb: str, waiting: Waiting, names: list[str]) -> list[str]:
        """The nodes that are left, or those with the highest score."""
        asked = {"Pod": waiting.document, "Nodes": None, "NodeNames": names}
        body = json.dumps(asked).encode()
        on_cpu, begun = self.server.on_cpu_seconds(), perf_counter()
        self.connection.request("POST", f"/{verb}", body)
        text = self.connection.getresponse().read()
        self.seconds[verb].append(perf_counter() - begun)
        self.on_cpu_seconds[verb].append(self.server.on_cpu_seconds() - on_cpu)
        answer = json.loads(text)
        if verb == "filter":
            if answer["Error"]:
                raise RuntimeError(answer["Error"])
            return list(answer["NodeNames"])
        top = max(one["Score"] for one in answer)
        return [one["Host"] for one in answer if one["Score"] == top]

    async def _settled(self) -> None:
        """Until the program knows what runs."""
        await self.cluster.told(but=0)
        async with asyncio.timeout(_SETTLED_SECONDS):
            # Another process has no event to wait for.
            while await self.server.pods() != self.cluster.running:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
