"""`foresail fleet`: reads clusters or files, and prints the fleet."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final

from kubernetes_asyncio.client import ApiClient
from rich.console import Console
from rich.live import Live

from fleet.activity import Activity
from fleet.cluster.follow.api import UnreadableError
from fleet.cluster.follow.clients import ClusterUnreachableError, connected
from fleet.cluster.follow.mirror import Mirror, mirrored, read_cluster
from fleet.cluster.reading import Cluster
from fleet.measured import UnmeasuredError, measured
from fleet.recorded import UnreadableRecordError, recorded
from fleet.snapshot import Known, snapshot_of
from fleet.tally import By
from foresail.clock import wall_clock
from foresail.fleet_options import (
    IN_CLUSTER,
    FleetOptions,
    bearer_token,
    clusters,
    prometheus_urls,
    reference_data,
)
from foresail.fleet_starts import StartBook
from foresail.fleet_table import Fleet, payload, render
from foresail.prices import priced_name
from scaler.errors import ForesailError

_REDRAW_SECONDS: Final = 1.0
"""The least time between two prints."""
_MEASURE_SECONDS: Final = 60.0

Activities = Mapping[str, Activity | str]
"""Cluster → its activity, or the reason why there is none."""


async def show(options: FleetOptions, console: Console) -> None:
    """Print the fleet once.

    Raises:
        ForesailError: an option cannot be used, or no cluster can be read.
    """
    about, book = reference_data(options), StartBook(options.starts_file)
    if options.files:
        answers: Sequence[Cluster | str] = [_recorded(file) for file in options.files]
    else:
        answers = await asyncio.gather(*(_read(options, name) for name in clusters(options)))
    read = [one for one in answers if isinstance(one, Cluster)]
    unreadable = [one for one in answers if isinstance(one, str)]
    if not read:
        raise ForesailError("\n".join(unreadable))
    activities = await _activities(options, [cluster.name for cluster in read])
    fleet = _fleet(read, unreadable, about, activities)
    _print(_with_starts(fleet, book, read, about, options), options, console)


async def watch(options: FleetOptions, console: Console) -> None:
    """Print the fleet again with every change, until interrupted.

    Raises:
        ForesailError: an option cannot be used, or no cluster can be reached.
    """
    if options.files:
        raise ForesailError("--watch follows clusters: leave --file out")
    about, names, changed = reference_data(options), clusters(options), asyncio.Event()
    loop, book = asyncio.get_running_loop(), StartBook(options.starts_file)
    async with AsyncExitStack() as stack:
        mirrors, unreachable = await _mirrors(stack, options, names, changed)
        if not mirrors:
            raise ForesailError("\n".join(unreachable))
        live = None
        if console.is_terminal and not options.as_json:
            live = stack.enter_context(Live(console=console, auto_refresh=False))
        due = 0.0
        activities: Activities = {}
        before: object = None
        while True:
            if options.prometheus and loop.time() >= due:
                activities = await _activities(options, names)
                due = loop.time() + _MEASURE_SECONDS
            await _change(changed)
            read = [one.cluster for one in mirrors if not one.trouble]
            missing = [_reason(one.name, one.trouble) for one in mirrors if one.trouble]
            fleet = _fleet(read, [*unreachable, *missing], about, activities)
            fleet = _with_starts(fleet, book, read, about, options)
            if _what_counts(fleet) == before:
                continue
            before = _what_counts(fleet)
            if live is not None:
                live.update(render(fleet, _bys(options, fleet), console.width), refresh=True)
            else:
                _print(fleet, options, console)


async def _mirrors(
    stack: AsyncExitStack, options: FleetOptions, names: Sequence[str], changed: asyncio.Event
) -> tuple[list[Mirror], list[str]]:
    """Mirrors of the clusters that can be reached, and the reasons for the others."""
    mirrors: list[Mirror] = []
    unreachable: list[str] = []
    for name in names:
        try:
            client = await _client(options, name)
        except ClusterUnreachableError as error:
            unreachable.append(_reason(name, error))
            continue
        stack.push_async_callback(client.close)
        mirrors.append(await stack.enter_async_context(mirrored(client, name, changed)))
    return mirrors, unreachable


async def _change(changed: asyncio.Event) -> None:
    """Wait for a change or the next minute, when GPUs are measured and machines may be late.

    Changes within a second count as one.
    """
    try:
        async with asyncio.timeout(_MEASURE_SECONDS):
            await changed.wait()
            await asyncio.sleep(_REDRAW_SECONDS)
    except TimeoutError:
        pass
    changed.clear()


def _recorded(file: Path) -> Cluster | str:
    try:
        return recorded(file)
    except UnreadableRecordError as error:
        return str(error)


async def _read(options: FleetOptions, name: str) -> Cluster | str:
    """A cluster's objects, or the reason why there are none; other clusters do not depend on it."""
    try:
        client = await _client(options, name)
        async with client:
            return await read_cluster(client, name)
    except (ClusterUnreachableError, UnreadableError) as error:
        return _reason(name, error)


async def _client(options: FleetOptions, name: str) -> ApiClient:
    return await (connected(None) if name == IN_CLUSTER else connected(name, options.kubeconfig))


def _reason(name: str, error: object) -> str:
    return f"{name}: {error}"


async def _activities(options: FleetOptions, names: Sequence[str]) -> Activities:
    urls, secret = prometheus_urls(options), bearer_token(options)

    async def one(name: str) -> Activity | str | None:
        url = urls.get(name) or urls.get("")
        if url is None:
            return None
        try:
            return await measured(url, options.idle_seconds, token=secret)
        except UnmeasuredError as error:
            return str(error)

    found = await asyncio.gather(*(one(name) for name in names))
    return {name: one for name, one in zip(names, found, strict=True) if one is not None}


def _fleet(
    read: Sequence[Cluster], unreadable: Sequence[str], about: Known, activities: Activities
) -> Fleet:
    now = wall_clock()
    snapshots = []
    for cluster in read:
        activity = activities.get(cluster.name)
        if isinstance(activity, str):
            remarks = (*cluster.remarks, f"{activity}; idle GPUs are unknown")
            snapshots.append(snapshot_of(replace(cluster, remarks=remarks), about, None, now))
        else:
            snapshots.append(snapshot_of(cluster, about, activity, now))
    machine_types = {node.instance_type for cluster in read for node in cluster.nodes}
    return Fleet(
        snapshots=snapshots,
        unreadable=unreadable,
        at_seconds=now,
        measured=any(isinstance(one, Activity) for one in activities.values()),
        remarks=[
            f"the price of {name!r} is not used: no GPU and no machine type here has that name"
            for name in about.prices.own
            if about.catalogue.find(priced_name(name)) is None
            and priced_name(name) not in machine_types
        ],
    )


def _with_starts(
    fleet: Fleet, book: StartBook, read: Sequence[Cluster], about: Known, options: FleetOptions
) -> Fleet:
    refusal = [book.refusal] if book.refusal is not None else []
    return replace(
        fleet,
        starts=book.read(read, about, fleet.at_seconds),
        with_lead_times=options.lead_times,
        remarks=[*fleet.remarks, *refusal],
    )


def _what_counts(fleet: Fleet) -> object:
    """What is worth another print; seconds that pass are not."""
    late = [(one.cluster, each.machine, each.stage) for one in fleet.starts for each in one.late]
    return fleet.snapshots, fleet.unreadable, late


def _print(fleet: Fleet, options: FleetOptions, console: Console) -> None:
    if options.as_json:
        print(json.dumps(payload(fleet, _bys(options, fleet))), flush=True)  # noqa: T201 - the output
    else:
        console.print(render(fleet, _bys(options, fleet), console.width))


def _bys(options: FleetOptions, fleet: Fleet) -> tuple[By, ...]:
    several = len(fleet.snapshots) + len(fleet.unreadable) > 1
    return options.bys or ((By.GENERATION, By.CLUSTER) if several else (By.GENERATION,))
