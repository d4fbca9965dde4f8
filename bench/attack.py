"""One tenant does its worst on all fronts at once; what it costs a thousand honest workloads.

The tenant has sources and pods that hang, drip, send bombs and absurd numbers, with hundreds of
ScaledObjects on them; it floods its receiver of OTLP, edits one object without end, makes up
thousands of names and sends metadata of megabytes. Beside it a client of the network floods the
second port, and holds connections that it never reads. The honest workloads are on another source
of the shipped server; KEDA's calls about them are counted, beside those to a server that answers a
constant (`bench._rpc_floor`).

Every run is made twice: the row `control` has the same server, workloads and calls without the
tenant and the client. Only what the row `attack` has beyond it is the attack's. `server_cores` is
the processor time that the two processes took; `machine_cores` is everybody's, with whatever else
ran. The table `cores` has the processes of the attack's run one by one, and the bench's: on a
small machine they take what the server does not get. `short moments` are those in which not every
honest workload was asked for within 13 s; looks that came later count among those of the next one,
and are not missed. `--fronts` attacks on some fronts only.

The status is 1 if in the attack an honest look was missed, the 99th percentile of KEDA's calls is
over 10 ms or memory over 600 MiB.
"""

import argparse
import asyncio
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import grpc.aio
import numpy as np

from bench._attack_fronts import FRONTS, NAMESPACE, Attack, Victim
from bench._attack_source import FAULTS, PAGE_FAULTS, hostile
from bench._ports import free_port
from bench._report import Row, show
from bench._rpc_calls import Tally, bench_object, drive, until_live
from bench._rpc_floor import floor
from bench._rpc_server import Server, cpu_seconds_of, serving
from bench._rpc_source import asked_of, prometheus
from foresail.clock import wall_clock
from scaler.rpc import externalscaler_pb2_grpc as pb_grpc

_P99_MS_MAX = 10.0
_MEMORY_MIB_MAX = 600.0
_LIVE_SECONDS_MAX = 300.0
_PERIOD_SECONDS = 15.0
_AFTER_MOMENT_SECONDS = 13.0
"""Looks are counted so long after a moment at which all are due."""
_CALLS_PER_FLOOR_CALL = 20
_MIB = 2**20


@dataclass(slots=True)
class _Peak:
    """The most memory seen, in MiB."""

    answering: float = 0.0
    planning: float = 0.0
    together: float = 0.0

    def take(self, server: Server) -> None:
        answering, *others = (count / _MIB for count in server.rss_bytes())
        self.answering = max(self.answering, answering)
        self.planning = max(self.planning, sum(others))
        self.together = max(self.together, answering + sum(others))


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench attack", description=__doc__)
    parser.add_argument(
        "--minutes", type=float, default=10.0, help="of the attack (default: %(default)s)"
    )
    parser.add_argument(
        "--workloads", type=int, default=1000, help="honest ones (default: %(default)s)"
    )
    parser.add_argument(
        "--fronts",
        type=_fronts,
        default=FRONTS,
        help=f"of {','.join(FRONTS)} (default: all)",
        metavar="A,B",
    )
    parser.add_argument("--json", type=Path, help="file for the rows as JSON")
    options = parser.parse_args(arguments)
    control, attack = (
        asyncio.run(_measured(options.workloads, 60 * options.minutes, fronts))
        for fronts in ((), options.fronts)
    )
    show(
        "attack",
        vars(options),
        [control.row, attack.row],
        options.json,
        further={"fronts": attack.fronts, "cores": attack.cores, "short moments": attack.short},
    )
    if not attack.row["ok"]:
        sys.exit(1)


def _fronts(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    unknown = sorted(set(names) - set(FRONTS))
    if unknown:
        raise argparse.ArgumentTypeError(f"no front {unknown[0]!r}; known: {', '.join(FRONTS)}")
    return names


@dataclass(frozen=True, slots=True)
class _Run:
    row: Row
    fronts: list[Row]
    """What the attack did; empty in the control."""
    cores: list[Row]
    """The processor time of each process."""
    short: list[Row]
    """The moments in which fewer honest workloads were asked for in time than there are."""


async def _measured(workloads: int, seconds: float, attacked_on: Sequence[str]) -> _Run:
    with prometheus(workloads) as honest_port, hostile() as hostile_port:
        references = [bench_object(index) for index in range(workloads)]
        namespaces = sorted({one.namespace for one in references})
        otlp_port = free_port()
        sources = _sources(honest_port, hostile_port, otlp_port, namespaces)
        async with (
            serving(sources, log=subprocess.DEVNULL) as server,
            grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
            floor() as floor_address,
            grpc.aio.insecure_channel(floor_address) as floor_channel,
        ):
            keda = pb_grpc.ExternalScalerStub(channel)
            await until_live(keda, references, seconds_max=_LIVE_SECONDS_MAX)
            victim = Victim(
                grpc_port=server.grpc_port,
                http_port=server.http_port,
                otlp_port=otlp_port,
                source_port=hostile_port,
            )
            tally, floor_tally, peak = Tally(), Tally(), _Peak()
            missed = await server.looks_missed()
            with Attack(victim, attacked_on) if attacked_on else nullcontext() as attack:
                begun = await _between_moments()
                cpu_before, machine_before = _cpu_seconds(server), _machine_cpu_seconds()
                looks = (await asked_of(honest_port)).looks
                short: list[Row] = []
                watching = [
                    asyncio.create_task(_watch(server, peak)),
                    asyncio.create_task(_watch_moments(honest_port, workloads, begun, short)),
                ]
                periods = (_PERIOD_SECONDS, _PERIOD_SECONDS)
                few = references[: max(1, workloads // _CALLS_PER_FLOOR_CALL)]
                constant = pb_grpc.ExternalScalerStub(floor_channel)
                async with asyncio.TaskGroup() as group:
                    for stub, some, counted in (
                        (keda, references, tally),
                        (constant, few, floor_tally),
                    ):
                        driving = drive(stub, some, counted, periods=periods, seconds=seconds)
                        _ = group.create_task(driving)
                ended = await _between_moments()
                looks = (await asked_of(honest_port)).looks - looks
                cpu = {name: now - cpu_before[name] for name, now in _cpu_seconds(server).items()}
                machine_cpu = _machine_cpu_seconds() - machine_before
                for watch in watching:
                    _ = watch.cancel()
                fronts = {} if attack is None else attack.counts()
            missed = await server.looks_missed() - missed
    due = workloads * round((ended - begun) / _PERIOD_SECONDS)
    p99, floor_p99 = (1000 * float(np.quantile(t.seconds, 0.99)) for t in (tally, floor_tally))
    row: Row = {
        "run": "attack" if attacked_on else "control",
        "workloads": workloads,
        "seconds": ended - begun,
        "looks_due": due,
        "looks_asked": looks,
        "looks_missed": missed,
        "calls": len(tally.seconds),
        "errors": tally.errors,
        "p99_ms": p99,
        "floor_p99_ms": floor_p99,
        "answering_mib": peak.answering,
        "planning_mib": peak.planning,
        "together_mib": peak.together,
        "server_cores": (cpu["answering"] + cpu["planning"]) / (ended - begun),
        "machine_cores": machine_cpu / (ended - begun),
        "ok": looks >= due
        and missed == 0
        and tally.errors == 0
        and p99 <= _P99_MS_MAX
        and peak.together <= _MEMORY_MIB_MAX,
    }
    shown: list[Row] = [
        {"front": front, "times": times, "a_second": times / (ended - begun)}
        for front, times in sorted(fronts.items())
    ]
    cores: list[Row] = [
        {"process": name, "cores": taken / (ended - begun)} for name, taken in cpu.items()
    ]
    return _Run(row, shown, cores, short)


def _cpu_seconds(server: Server) -> Mapping[str, float]:
    """Processor time of each process so far."""
    answering, *others = server.cpu_seconds()
    of_bench = {
        one.name: cpu_seconds_of(one.pid)
        for one in multiprocessing.active_children()
        if one.pid is not None
    }
    caller = time.process_time()
    return {"answering": answering, "planning": sum(others), "caller": caller, **of_bench}


def _machine_cpu_seconds() -> float:
    """Processor time of everything on this machine so far."""
    user, nice, system, _idle, _waiting, *interrupts = (
        int(ticks) for ticks in Path("/proc/stat").read_text().splitlines()[0].split()[1:8]
    )
    return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")


async def _between_moments() -> float:
    """The next time at which all looks of a moment are over, and those of the next not begun."""
    now = wall_clock()
    at = now // _PERIOD_SECONDS * _PERIOD_SECONDS + _AFTER_MOMENT_SECONDS
    if at < now:
        at += _PERIOD_SECONDS
    await asyncio.sleep(at - now)
    return at


async def _watch(server: Server, peak: _Peak) -> None:
    while True:
        peak.take(server)
        await asyncio.sleep(1.0)


async def _watch_moments(port: int, workloads: int, begun: float, short: list[Row]) -> None:
    before = (await asked_of(port)).looks
    while True:
        at = await _between_moments()
        looks = (await asked_of(port)).looks
        if looks - before < workloads:
            short.append({"second": at - begun, "looks": looks - before})
        before = looks


def _sources(honest_port: int, hostile_port: int, otlp_port: int, namespaces: Sequence[str]) -> str:
    base = f"http://127.0.0.1:{hostile_port}"
    own = "".join(f"  - {{name: {f}, prometheus: {{url: '{base}/{f}'}}}}\n" for f in FAULTS)
    for fault in PAGE_FAULTS:
        pages = f"urls: ['{base}/{fault}'], namespaces: [{NAMESPACE}]"
        own += f"  - {{name: {fault}, scrape: {{{pages}}}}}\n"
    receiver = f"http: '127.0.0.1:{otlp_port}', namespaces: [{NAMESPACE}]"
    own += f"  - {{name: otlp, otlp: {{{receiver}}}}}\n"
    return (
        "sources:\n"
        f"  - {{name: main, prometheus: {{url: 'http://127.0.0.1:{honest_port}'}}}}\n"
        f"{own}"
        f"limits: {{metadataAddresses: ['{base}']}}\n"
        "tenants:\n"
        f"  - {{namespaces: [{', '.join(namespaces)}], sources: [main]}}\n"
        f"  - namespaces: [{NAMESPACE}]\n"
        f"    sources: [{', '.join((*FAULTS, *PAGE_FAULTS, 'otlp'))}]\n"
        f"    metadataAddresses: ['{base}']\n"
    )
