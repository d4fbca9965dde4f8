"""Parts of a pair that grow with its workloads or nodes, each measured at one size."""

import asyncio
import pickle
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import process_time
from typing import Final

from typing_extensions import override

from bench import decisions
from bench._console_fleet import begun_rounds, fleet, next_round, records
from bench._decisions_workloads import EPOCH, lived
from bench._rpc_calls import bench_object
from bench._rpc_source import prometheus
from bench.forecast_state import lived_through, resident_mib, restored
from fleet.cluster.kinds import Kind, Record
from fleet.cluster.pods import Pod
from foresail.console.fleet_html import nodes_html, summary_html, workloads_html
from foresail.console.listing import Asked
from foresail.controller.state_folder import StateFolder
from foresail.explain.decision_log import Bounds
from foresail.serve.exported import WorkloadSnapshot
from foresail.serve.link import Published
from scaler.decision.answers import Reference, TimedOutcome
from scaler.scope import Scope
from scaler.serving.state_book import NoStates
from scaler.sources.catalogue import load
from scaler.sources.prometheus import PrometheusSource
from scaler.sources.prometheus_config import PrometheusConfig
from scaler.sources.prometheus_feed import PrometheusFeed, PrometheusGroup
from scaler.state.records import WorkloadState
from scaler.state.workload_bytes import encode_workload

KIB: Final = 1024.0
Figures = Mapping[str, float]
_SERIES_OF_A_WORKLOAD: Final = 2
_LOOK_SECONDS: Final = 15.0
_LOOKS_A_MINUTE: Final = 4
_NEXT_ROUND_SECONDS: Final = 5.0
_EACH_NEW: Final = 10


class _States(NoStates):
    """Keeps the newest of each workload, packed."""

    def __init__(self) -> None:
        self.packed: dict[Reference, bytes] = {}

    @override
    def note(self, state: WorkloadState) -> None:
        self.packed[state.reference] = encode_workload(state)


def reads(workloads: int) -> Figures:
    """A minute's looks at a Prometheus, without what is made of them."""
    objects = [bench_object(index) for index in range(workloads)]
    together = [(one.namespace, one.scalerMetadata["model"]) for one in objects]
    alone = [(model, model) for _, model in together]
    return {
        "CPU of reading, a minute, ms": 1000 * asyncio.run(_reads(together)),
        "the same, each alone in a namespace, ms": 1000 * asyncio.run(_reads(alone)),
    }


async def _reads(workloads: Sequence[tuple[str, str]]) -> float:
    """CPU seconds of a minute's looks at these namespaces and models."""
    preset = load("vllm")
    with prometheus(len(workloads)) as port:
        url = f"http://127.0.0.1:{port}"
        config = PrometheusConfig(name="main", url=url, timeout_seconds=60.0, concurrency=4)
        source = PrometheusSource(config)
        scopes = (Scope(namespace=namespace, model=model) for namespace, model in workloads)
        groups: dict[PrometheusGroup, list[PrometheusFeed]] = {}
        for feed in (source.feed(preset=preset, scope=scope) for scope in scopes):
            groups.setdefault(feed.group, []).append(feed)
        begun = 0.0
        for look in range(1 + _LOOKS_A_MINUTE):
            if look == 1:  # the first one reads each workload alone
                begun = process_time()
            for group, feeds in groups.items():
                for part in group.parts(feeds):
                    answers = await group.observe(
                        [feeds[at] for at in part], now_seconds=EPOCH + _LOOK_SECONDS * look
                    )
                    if failed := [one for one in answers if isinstance(one, Exception)]:
                        raise failed[0]
        spent = process_time() - begun
        await source.close()
    return spent


def planned(workloads: int, *, hours: float) -> Figures:
    """Looks, forecasts and plans of one process, without a source's answers.

    A look a minute is made here for each workload.
    """
    states, link = _States(), dict[Reference, int]()

    def publish(reference: Reference, timed: TimedOutcome) -> None:
        link[reference] = len(
            pickle.dumps(Published(reference, timed, states.packed.get(reference)))
        )

    before_mib, begun = resident_mib(), process_time()
    statuses = asyncio.run(lived(hours=hours, workloads=workloads, publish=publish, states=states))
    spent = process_time() - begun
    grown = resident_mib() - before_mib
    assert len(statuses) == workloads  # kept until their memory was measured
    return {
        "CPU of a look with its forecast and plan, ms": 1000 * spent / (hours * 60),
        "memory of the planner, young, KiB": KIB * grown,
        "link, each look, KiB": sum(link.values()) / KIB,
        "state of the plan, KiB": sum(map(len, states.packed.values())) / KIB,
    }


def page(workloads: int, *, hours: float) -> Figures:
    """A page of metrics, without the series that are of no workload."""
    fleet = decisions.Fleet(asyncio.run(lived(hours=hours)), workloads, changed=1.0)
    snapshot = WorkloadSnapshot([fleet.status(one) for one in fleet.references], EPOCH)
    begun = process_time()
    size = sum(map(len, snapshot.text()))
    return {
        "page of metrics, KiB": size / KIB,
        "page of metrics, CPU ms": 1000 * (process_time() - begun),
    }


def forecasts(workloads: int, *, days: float) -> Figures:
    """Forecasts that have lived for days."""
    snapshots = [one.snapshot() for one in lived_through(days)]
    _, grown = restored(snapshots, workloads * _SERIES_OF_A_WORKLOAD)
    return {"memory of its forecasts, days old, KiB": KIB * grown}


def kept_decisions(workloads: int, *, minutes: int) -> Figures:
    """Decisions, a fifth of the workloads changing each minute."""
    statuses = asyncio.run(lived(hours=0.5))
    with tempfile.TemporaryDirectory() as folder:
        bounds = Bounds(seconds=7 * 86_400.0, per_workload=1000, size_bytes=2**29)
        timed = decisions.Timed(Path(folder), bounds)
        row = asyncio.run(decisions.kept(timed, decisions.Fleet(statuses, workloads, 0.2), minutes))
    return {
        "decisions a minute": float(row["decisions_a_minute"] or 0),
        "decisions, time on the planner's loop a minute, ms": float(row["loop_ms_a_minute"] or 0),
        "decisions on disk, a minute, KiB": float(row["bytes_a_decision"] or 0)
        * float(row["decisions_a_minute"] or 0)
        / KIB,
    }


def console(workloads: int, *, hours: float) -> Figures:
    """The first page of the console, drawn for the first time."""
    before = resident_mib()
    source = fleet(workloads, hours=hours)
    grown = resident_mib() - before
    begun = process_time()
    shown = source.fleet()
    html = summary_html(shown) + workloads_html(shown, Asked()) + nodes_html(shown)
    return {
        "console: rows and first page, CPU ms": 1000 * (process_time() - begun),
        f"console: memory with {hours:g} h of past, KiB": KIB * grown,
        "console: HTML of the page, KiB (25 rows)": len(html) / KIB,
    }


def controller(nodes: int) -> Figures:
    """Rounds of the controller over nodes of eight GPUs that are nearly full.

    The later one comes 5 s after the first, and nothing has changed. Another 5 s later each tenth
    pod is another one, so that the accounts of most nodes change. Neither learns of starts.
    """
    before = resident_mib()
    read, rounds = records(nodes), begun_rounds()
    held = resident_mib() - before
    begun = process_time()
    made = next_round(rounds, read)
    spent = process_time() - begun
    results = resident_mib() - before - held
    assert len(made.cluster.nodes) == nodes
    begun = process_time()
    next_round(rounds, read, after_seconds=_NEXT_ROUND_SECONDS)
    later = process_time() - begun
    moved = read | {Kind.POD: tuple(_with_new(read[Kind.POD]))}
    begun = process_time()
    next_round(rounds, moved, after_seconds=2 * _NEXT_ROUND_SECONDS)
    changed = process_time() - begun
    with tempfile.TemporaryDirectory() as folder:
        kept = StateFolder(Path(folder), made.cluster.name)
        begun = process_time()
        kept.write(rounds.state)
        written = process_time() - begun
    return {
        "controller: a round, CPU ms": 1000 * spent,
        "controller: a later round, CPU ms": 1000 * later,
        "controller: a later round, each tenth pod new, CPU ms": 1000 * changed,
        "controller: a write of the state, CPU ms": 1000 * written,
        "controller: objects read, KiB": KIB * held,
        "controller: a round's results, KiB": KIB * results,
    }


def _with_new(pods: Sequence[Record]) -> Iterator[Record]:
    """The same, but some are gone, each with another one in its place."""
    for number, pod in enumerate(pods):
        new = isinstance(pod, Pod) and number % _EACH_NEW == 0
        yield replace(pod, uid=f"{pod.uid}-new") if new else pod
