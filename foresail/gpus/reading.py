"""Readings of clusters or of files, as the options of a verb name them, with what is measured."""

import asyncio
from collections.abc import Mapping, Sequence
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
from fleet.recorded import UnreadableRecordError, recorded
from fleet.snapshot import FleetSnapshot, Known, snapshot_of
from foresail.gpus.options import (
    IN_CLUSTER,
    FleetOptions,
    bearer_token,
    clusters,
    prometheus_urls,
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
    remarks: tuple[str, ...] = ()
    """What it did not tell."""


NOTHING: Final = Measured()
"""Of a cluster without a Prometheus."""


async def read_once(
    options: FleetOptions, kinds: Sequence[Kind] = SNAPSHOT_KINDS
) -> tuple[list[Cluster], list[str]]:
    """The clusters that can be read, and the reasons for the others.

    Raises:
        ForesailError: an option cannot be used, or no cluster can be read.
    """
    if options.files:
        answers: Sequence[Cluster | str] = [_recorded(file) for file in options.files]
    else:
        names = clusters(options)
        answers = await asyncio.gather(*(_read(options, name, kinds) for name in names))
    read = [one for one in answers if isinstance(one, Cluster)]
    unreadable = [one for one in answers if isinstance(one, str)]
    if not read:
        raise ForesailError("\n".join(unreadable))
    return read, unreadable


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
        *(_measured(options, urls.get(name) or urls.get(""), secret) for name in names)
    )
    return dict(zip(names, found, strict=True))


async def _measured(options: FleetOptions, url: str | None, secret: str | None) -> Measured:
    if url is None:
        return NOTHING
    try:
        return Measured(
            activity=await measured(url, options.idle_seconds, token=secret),
            prices=await node_prices(url, token=secret),
        )
    except UnmeasuredError as error:
        return Measured(remarks=(f"{error}; idle GPUs and OpenCost's prices are unknown",))


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
