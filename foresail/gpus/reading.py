"""Readings of clusters or of files, as the options of a verb name them, with what is measured."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from kubernetes_asyncio.client import ApiClient

from fleet.activity import Activity
from fleet.cluster.follow.api import UnreadableError
from fleet.cluster.follow.clients import ClusterUnreachableError, connected
from fleet.cluster.follow.mirror import read_cluster
from fleet.cluster.kinds import SNAPSHOT_KINDS, Kind
from fleet.cluster.reading import Cluster
from fleet.measured import UnmeasuredError, measured, node_prices
from fleet.opencost import NodePrice
from fleet.recorded import UnreadableRecordError, name_of, recorded
from fleet.snapshot import FleetSnapshot, Known, snapshot_of
from foresail.gpus.options import (
    IN_CLUSTER,
    FleetOptions,
    bearer_token,
    clusters,
    prometheus_urls,
    url_of,
)
from foresail.prices import priced_name
from scaler.errors import ForesailError


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What the Prometheus of a cluster tells."""

    activity: Activity | None = None
    """Of its GPUs; None = not measured."""
    prices: Mapping[str, NodePrice] = field(default_factory=dict)
    """Of its nodes, by OpenCost."""
    url: str | None = None
    """Of the Prometheus."""
    remarks: tuple[str, ...] = ()
    """What it did not tell."""


_NOTHING: Final = Measured()
"""Of a cluster without a Prometheus."""
_OWN_PROMETHEUS: Final = "name one Prometheus a cluster with --prometheus CLUSTER=URL"


async def read_once(
    options: FleetOptions, kinds: Sequence[Kind] = SNAPSHOT_KINDS
) -> tuple[list[Cluster], list[str]]:
    """The clusters that can be read, and the reasons for the others.

    Raises:
        ForesailError: an option cannot be used, or no cluster can be read.
    """
    if options.files:
        _refuse_namesakes(options.files)
        answers: Sequence[Cluster | str] = [_recorded(file) for file in options.files]
    else:
        names = clusters(options)
        answers = await asyncio.gather(*(_read(options, name, kinds) for name in names))
    read = [one for one in answers if isinstance(one, Cluster)]
    unreadable = [one for one in answers if isinstance(one, str)]
    if not read:
        raise ForesailError("\n".join(unreadable))
    return read, unreadable


def named(options: FleetOptions) -> Sequence[str]:
    """The clusters to read, by name.

    Raises:
        ForesailError: there is no kubeconfig, or no current context in it.
    """
    return [name_of(file) for file in options.files] or clusters(options)


async def client_of(options: FleetOptions, name: str) -> ApiClient:
    """A client of a cluster.

    Raises:
        ClusterUnreachableError: nothing says how to reach it.
    """
    return await (connected(None) if name == IN_CLUSTER else connected(name, options.kubeconfig))


def reason(name: str, error: object) -> str:
    """Why a cluster is not shown."""
    return f"{name}: {error}"


async def measurements(options: FleetOptions, names: Sequence[str]) -> Mapping[str, Measured]:
    """What is measured of each cluster.

    Raises:
        ForesailError: an option cannot be used.
    """
    urls, secret = prometheus_urls(options), bearer_token(options)
    found = await asyncio.gather(
        *(_measured(options, url_of(urls, name), secret) for name in names)
    )
    return dict(zip(names, found, strict=True))


async def _measured(options: FleetOptions, url: str | None, secret: str | None) -> Measured:
    if url is None:
        return _NOTHING
    try:
        return Measured(
            activity=await measured(url, options.idle_seconds, token=secret),
            prices=await node_prices(url, token=secret),
            url=url,
        )
    except UnmeasuredError as error:
        remark = f"{error}; idle GPUs and OpenCost's prices are unknown"
        return Measured(url=url, remarks=(remark,))


def told_apart(
    read: Iterable[Cluster], found: Mapping[str, Measured]
) -> Sequence[tuple[Cluster, Measured]]:
    """Each cluster with what is measured of it, but for nodes called as one of another cluster.

    A Prometheus of several clusters tells nodes apart by their names alone.
    """
    pairs = [(one, found.get(one.name, _NOTHING)) for one in read]
    clusters_of = Counter((each.url, node.name) for one, each in pairs for node in one.nodes)
    return [
        (
            one,
            _without(
                each, {node.name for node in one.nodes if clusters_of[each.url, node.name] > 1}
            ),
        )
        for one, each in pairs
    ]


def _without(found: Measured, nodes: AbstractSet[str]) -> Measured:
    hosts = found.activity.hosts if found.activity is not None else {}
    lost = sorted(nodes & (hosts.keys() | found.prices.keys()))
    if not lost:
        return found
    activity = found.activity and replace(
        found.activity, hosts={name: host for name, host in hosts.items() if name not in nodes}
    )
    more = f", or as {len(lost) - 1} more," if len(lost) > 1 else ""
    remark = (
        f"{found.url} measures nodes of several clusters that are called {lost[0]}{more}: their "
        f"idle GPUs and OpenCost's prices are unknown; {_OWN_PROMETHEUS}"
    )
    prices = {name: price for name, price in found.prices.items() if name not in nodes}
    return replace(found, activity=activity, prices=prices, remarks=(*found.remarks, remark))


def snapshot_with(
    cluster: Cluster, known: Known, found: Measured, now_seconds: float
) -> FleetSnapshot:
    """The GPUs of a cluster, with what is measured of it."""
    known = replace(known, prices=replace(known.prices, measured=found.prices))
    cluster = replace(cluster, remarks=(*cluster.remarks, *found.remarks))
    return snapshot_of(cluster, known, found.activity, now_seconds)


def unused_prices(read: Sequence[Cluster], known: Known) -> list[str]:
    """A remark for each price of the operator that is of nothing here."""
    machine_types = {node.instance_type for cluster in read for node in cluster.nodes}
    return [
        f"the price of {name!r} is not used: no GPU and no machine type here has that name"
        for name in known.prices.own
        if known.catalogue.find(priced_name(name)) is None
        and priced_name(name) not in machine_types
    ]


def _refuse_namesakes(files: Sequence[Path]) -> None:
    """Two clusters of one name would count as one.

    Raises:
        ForesailError: two records are called alike.
    """
    found: dict[str, Path] = {}
    for file in files:
        other = found.setdefault(name_of(file), file)
        if other is not file:
            raise ForesailError(
                f"--file {other} and {file}: a record is of the cluster that it is called after, "
                f"and both are called {name_of(file)}: rename one"
            )


def _recorded(file: Path) -> Cluster | str:
    try:
        return recorded(file)
    except UnreadableRecordError as error:
        return str(error)


async def _read(options: FleetOptions, name: str, kinds: Sequence[Kind]) -> Cluster | str:
    """A cluster's objects, or the reason why there are none; other clusters do not depend on it."""
    try:
        client = await client_of(options, name)
        async with client:
            return await read_cluster(client, name, kinds=kinds)
    except (ClusterUnreachableError, UnreadableError) as error:
        return reason(name, error)
