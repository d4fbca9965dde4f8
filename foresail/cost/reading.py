"""Clusters with all that their cost is made of: their GPUs, OpenCost's prices, models' tokens."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fleet.allocation import unlike
from fleet.measured import UnmeasuredError, client_spend, model_tokens, pod_allocations
from fleet.snapshot import FleetSnapshot
from fleet.spend import Client, Spend
from fleet.tokens import Tokens
from foresail.clock import wall_clock
from foresail.gpus.options import FleetOptions, bearer_token, prometheus_urls, reference_data
from foresail.gpus.reading import measurements, read_once, snapshot_with, unused_prices


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One cluster."""

    snapshot: FleetSnapshot
    tokens_per_second: Mapping[str, Tokens] | None
    """Of each model that Prometheus has series of; None = it was not asked, or did not answer."""
    remarks: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """All clusters, read at once."""

    readings: Sequence[Reading]
    at_seconds: float
    unreadable: Sequence[str] = ()
    """Clusters that could not be read, with the reason."""
    remarks: Sequence[str] = ()


async def read_round(options: FleetOptions, window_seconds: float) -> Round:
    """Read the clusters that can be read.

    Args:
        options: which, and where their Prometheus is.
        window_seconds: in which tokens are counted.

    Raises:
        ForesailError: an option cannot be used, or no cluster can be read.
    """
    known, urls, token = reference_data(options), prometheus_urls(options), bearer_token(options)
    read, unreadable = await read_once(options)
    measured = await measurements(options, [cluster.name for cluster in read])
    now = wall_clock()
    asked = []
    for one in read:
        # By now every lease of a record has ended.
        then = one.recorded_seconds or now
        snapshot = snapshot_with(one, known, measured[one.name], then)
        url = urls.get(one.name) or urls.get("")
        asked.append(_reading(snapshot, url, token, window_seconds))
    readings = await asyncio.gather(*asked)
    remarks = unused_prices(read, known)
    if not options.prometheus:
        remarks.append("idle GPUs and tokens are not measured: name a Prometheus with --prometheus")
    return Round(readings=readings, at_seconds=now, unreadable=unreadable, remarks=remarks)


async def read_spend(
    options: FleetOptions, window_seconds: float
) -> tuple[Mapping[Client, Spend] | None, Sequence[str]]:
    """What gateways booked in a second, by every Prometheus once; and why one did not tell.

    One Prometheus may measure several clusters. None where none was asked, or one did not answer.

    Raises:
        ForesailError: an option cannot be used.
    """
    urls, token = prometheus_urls(options), bearer_token(options)
    found: dict[Client, Spend] = {}
    for url in dict.fromkeys(urls.values()):
        try:
            booked = await client_spend(url, window_seconds, token=token)
        except UnmeasuredError as error:
            return None, [f"{error}; what gateways booked is unknown"]
        for client, spend in booked.items():
            found[client] = found.get(client, Spend()) + spend.times(1 / window_seconds)
    return found if urls else None, []


async def _reading(
    snapshot: FleetSnapshot, url: str | None, token: str | None, window_seconds: float
) -> Reading:
    tokens: Mapping[str, Tokens] | None = None
    remarks = []
    if url is not None:
        unknown = "tokens are"
        try:
            tokens = await model_tokens(url, window_seconds, snapshot, token=token)
            # A Prometheus that did not answer is not waited for again.
            unknown = "what OpenCost allocates is"
            other = unlike(await pod_allocations(url, token=token), snapshot)
            remarks += [] if other is None else [other]
        except UnmeasuredError as error:
            remarks.append(f"{error}; {unknown} unknown")
    if snapshot.coming is None:
        remarks.append("no NodeClaim was read: machines without a node are not counted")
    return Reading(
        snapshot=snapshot,
        tokens_per_second=None
        if tokens is None
        else {model: count.times(1 / window_seconds) for model, count in tokens.items()},
        remarks=(*snapshot.remarks, *remarks),
    )
