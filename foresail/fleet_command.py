"""`foresail fleet`: from clusters or files to what is printed."""

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
from foresail.fleet_options import IN_CLUSTER, Wanted, clusters, known, servers, token
from foresail.fleet_table import Fleet, shown, told
from foresail.prices import priced_name
from scaler.errors import ForesailError

_REDRAW_SECONDS: Final = 1.0
"""Between two pictures, at least."""
_MEASURE_SECONDS: Final = 60.0

Activities = Mapping[str, Activity | str]
"""By cluster; a text says why there is none."""


async def show(wanted: Wanted, console: Console) -> None:
    """Print the fleet once.

    Raises:
        ForesailError: an option cannot be used, or no cluster can be read.
    """
    about = known(wanted)
    if wanted.files:
        answers: Sequence[Cluster | str] = [_recorded(file) for file in wanted.files]
    else:
        answers = await asyncio.gather(*(_read(wanted, name) for name in clusters(wanted)))
    read = [one for one in answers if isinstance(one, Cluster)]
    unreadable = [one for one in answers if isinstance(one, str)]
    if not read:
        raise ForesailError("\n".join(unreadable))
    activities = await _activities(wanted, [cluster.name for cluster in read])
    _print(_fleet(read, unreadable, about, activities), wanted, console)


async def watch(wanted: Wanted, console: Console) -> None:
    """Print the fleet with every change, for good.

    Raises:
        ForesailError: an option cannot be used, or there is no way to any cluster.
    """
    if wanted.files:
        raise ForesailError("--watch follows clusters: leave --file out")
    about, names, news = known(wanted), clusters(wanted), asyncio.Event()
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        mirrors, lost = await _mirrors(stack, wanted, names, news)
        if not mirrors:
            raise ForesailError("\n".join(lost))
        live = None
        if console.is_terminal and not wanted.as_json:
            live = stack.enter_context(Live(console=console, auto_refresh=False))
        due = 0.0
        activities: Activities = {}
        before: object = None
        while True:
            if wanted.prometheus and loop.time() >= due:
                activities = await _activities(wanted, names)
                due = loop.time() + _MEASURE_SECONDS
            await _news(news, wanted)
            read = [one.cluster for one in mirrors if not one.trouble]
            missing = [_missing(one.name, one.trouble) for one in mirrors if one.trouble]
            fleet = _fleet(read, [*lost, *missing], about, activities)
            if (fleet.snapshots, fleet.unreadable) == before:
                continue
            before = fleet.snapshots, fleet.unreadable
            if live is not None:
                live.update(shown(fleet, _bys(wanted, fleet), console.width), refresh=True)
            else:
                _print(fleet, wanted, console)


async def _mirrors(
    stack: AsyncExitStack, wanted: Wanted, names: Sequence[str], news: asyncio.Event
) -> tuple[list[Mirror], list[str]]:
    """Mirrors of the clusters there is a way to, and why there is none to the others."""
    mirrors: list[Mirror] = []
    lost: list[str] = []
    for name in names:
        try:
            client = await _client(wanted, name)
        except ClusterUnreachableError as error:
            lost.append(_missing(name, error))
            continue
        stack.push_async_callback(client.close)
        mirrors.append(await stack.enter_async_context(mirrored(client, name, news)))
    return mirrors, lost


async def _news(news: asyncio.Event, wanted: Wanted) -> None:
    """Until something changed, or is to be measured again; changes at once are one."""
    try:
        async with asyncio.timeout(_MEASURE_SECONDS if wanted.prometheus else None):
            await news.wait()
            await asyncio.sleep(_REDRAW_SECONDS)
    except TimeoutError:
        pass
    news.clear()


def _recorded(file: Path) -> Cluster | str:
    try:
        return recorded(file)
    except UnreadableRecordError as error:
        return str(error)


async def _read(wanted: Wanted, name: str) -> Cluster | str:
    """A cluster's objects, or why there are none: the other clusters are shown all the same."""
    try:
        client = await _client(wanted, name)
        async with client:
            return await read_cluster(client, name)
    except (ClusterUnreachableError, UnreadableError) as error:
        return _missing(name, error)


async def _client(wanted: Wanted, name: str) -> ApiClient:
    return await (connected(None) if name == IN_CLUSTER else connected(name, wanted.kubeconfig))


def _missing(name: str, error: object) -> str:
    return f"{name}: {error}"


async def _activities(wanted: Wanted, names: Sequence[str]) -> Activities:
    urls, secret = servers(wanted), token(wanted)

    async def one(name: str) -> Activity | str | None:
        url = urls.get(name) or urls.get("")
        if url is None:
            return None
        try:
            return await measured(url, wanted.idle_seconds, token=secret)
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
            remarks = (*cluster.remarks, f"{activity}; which GPUs are idle is unknown")
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
            f"your price of {name!r} is of no GPU that we know, and of no machine type here"
            for name in about.prices.own
            if about.catalogue.find(priced_name(name)) is None
            and priced_name(name) not in machine_types
        ],
    )


def _print(fleet: Fleet, wanted: Wanted, console: Console) -> None:
    if wanted.as_json:
        print(json.dumps(told(fleet, _bys(wanted, fleet))), flush=True)  # noqa: T201 - the output
    else:
        console.print(shown(fleet, _bys(wanted, fleet), console.width))


def _bys(wanted: Wanted, fleet: Fleet) -> tuple[By, ...]:
    several = len(fleet.snapshots) + len(fleet.unreadable) > 1
    return wanted.bys or ((By.GENERATION, By.CLUSTER) if several else (By.GENERATION,))
