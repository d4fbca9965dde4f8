"""`foresail fleet`: reads clusters or files, and prints the fleet."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Final

from rich.console import Console
from rich.live import Live

from fleet.cluster.follow.clients import ClusterUnreachableError
from fleet.cluster.follow.mirror import Mirror, mirrored
from fleet.cluster.reading import Cluster
from fleet.snapshot import Known
from fleet.tally import By
from foresail.clock import wall_clock
from foresail.gpus.options import FleetOptions, clusters, reference_data
from foresail.gpus.reading import (
    Measured,
    client_of,
    measurements,
    read_once,
    reason,
    snapshot_with,
    told_apart,
    unused_prices,
)
from foresail.gpus.starts import StartBook
from foresail.gpus.table import Fleet, payload, render
from foresail.printed import print_document
from scaler.errors import ForesailError

_REDRAW_SECONDS: Final = 1.0
"""The least time between two prints."""
_MEASURE_SECONDS: Final = 60.0


async def show(options: FleetOptions, console: Console) -> None:
    """Print the fleet once.

    Raises:
        ForesailError: an option cannot be used, or no cluster can be read.
    """
    about, book = reference_data(options), StartBook(options.starts_file)
    read, unreadable = await read_once(options)
    measured = await measurements(options, [cluster.name for cluster in read])
    fleet = _fleet(read, unreadable, about, measured)
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
        if console.is_terminal and not options.as_document:
            live = stack.enter_context(Live(console=console, auto_refresh=False))
        due = 0.0
        measured: Mapping[str, Measured] = {}
        before: object = None
        while True:
            if options.prometheus and loop.time() >= due:
                measured = await measurements(options, names)
                due = loop.time() + _MEASURE_SECONDS
            await _change(changed)
            read = [one.cluster for one in mirrors if not one.trouble]
            missing = [reason(one.name, one.trouble) for one in mirrors if one.trouble]
            fleet = _fleet(read, [*unreachable, *missing], about, measured)
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
            client = await client_of(options, name)
        except ClusterUnreachableError as error:
            unreachable.append(reason(name, error))
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


def _fleet(
    read: Sequence[Cluster],
    unreadable: Sequence[str],
    about: Known,
    measured: Mapping[str, Measured],
) -> Fleet:
    now = wall_clock()
    return Fleet(
        snapshots=[
            snapshot_with(one, about, found, now) for one, found in told_apart(read, measured)
        ],
        unreadable=unreadable,
        at_seconds=now,
        measured=any(one.activity is not None for one in measured.values()),
        remarks=unused_prices(read, about),
    )


def _with_starts(
    fleet: Fleet, book: StartBook, read: Sequence[Cluster], about: Known, options: FleetOptions
) -> Fleet:
    refusal = [book.refusal] if book.refusal is not None else []
    return replace(
        fleet,
        starts=book.read(zip(read, fleet.snapshots, strict=True), about, fleet.at_seconds),
        with_lead_times=options.lead_times,
        remarks=[*fleet.remarks, *refusal],
    )


def _what_counts(fleet: Fleet) -> object:
    """What is worth another print; seconds that pass are not."""
    late = [(one.cluster, each.machine, each.stage) for one in fleet.starts for each in one.late]
    return fleet.snapshots, fleet.unreadable, late


def _print(fleet: Fleet, options: FleetOptions, console: Console) -> None:
    if options.as_document:
        print_document(payload(fleet, _bys(options, fleet)), options.form, indent=None)
    else:
        console.print(render(fleet, _bys(options, fleet), console.width))


def _bys(options: FleetOptions, fleet: Fleet) -> tuple[By, ...]:
    several = len(fleet.snapshots) + len(fleet.unreadable) > 1
    return options.bys or ((By.GENERATION, By.CLUSTER) if several else (By.GENERATION,))
