"""Clusters with all that their cost is made of: their GPUs, OpenCost's prices, models' tokens."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from fleet.account.partition import perhaps_idle
from fleet.allocation import unlike
from fleet.measured import UnmeasuredError, client_spend, model_tokens, pod_allocations
from fleet.remark_text import first_of
from fleet.snapshot import FleetSnapshot
from fleet.spend import Client, Spend
from fleet.tokens import GENERATED, Tokens, models_of_pods
from foresail.clock import wall_clock
from foresail.gpus.options import (
    FleetOptions,
    bearer_token,
    prometheus_urls,
    reference_data,
    url_of,
)
from foresail.gpus.reading import (
    measurements,
    named,
    read_once,
    snapshot_with,
    told_apart,
    unused_prices,
)

_NOISE: Final = 1e-6


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
    snapshots = [
        # By now every lease of a record has ended.
        snapshot_with(one, known, found, one.recorded_seconds or now)
        for one, found in told_apart(read, measured)
    ]
    clusters_of = Counter(url_of(urls, name) for name in named(options))
    asked = []
    for one in snapshots:
        url = url_of(urls, one.cluster)
        strangers = {
            pod
            for other in snapshots
            if other is not one and url_of(urls, other.cluster) == url
            for pod in models_of_pods(other)
        }
        of_several = strangers if clusters_of[url] > 1 else None
        asked.append(_reading(one, url, token, window_seconds, of_several))
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
    snapshot: FleetSnapshot,
    url: str | None,
    token: str | None,
    window_seconds: float,
    strangers: AbstractSet[str] | None,
) -> Reading:
    """One cluster.

    Args:
        snapshot: its GPUs.
        url: of its Prometheus.
        token: for it.
        window_seconds: in which tokens are counted.
        strangers: pods of the other clusters that the Prometheus measures; None = it measures no
            other.
    """
    tokens: Mapping[str, Tokens] | None = None
    remarks: list[str] = []
    if url is not None:
        unknown = "tokens are"
        try:
            tokens = await model_tokens(
                url, window_seconds, snapshot, token=token, strangers=strangers
            )
            models = set(filter(None, models_of_pods(snapshot).values()))
            if models and not models & tokens.keys():
                remarks.append(f"tokens are unknown: {url} has no {GENERATED} of a model here")
            # A Prometheus that did not answer is not waited for again.
            unknown = "what OpenCost allocates is"
            allocated = await pod_allocations(url, token=token)
            ours = {pod: gpus for pod, gpus in allocated.items() if pod not in (strangers or ())}
            other = unlike(ours, snapshot)
            remarks += [] if other is None else [other]
        except UnmeasuredError as error:
            remarks.append(f"{error}; {unknown} unknown")
        remarks += _perhaps_idle(snapshot)
    if snapshot.coming is None:
        remarks.append("no NodeClaim was read: machines without a node are not counted")
    return Reading(
        snapshot=snapshot,
        tokens_per_second=None
        if tokens is None
        else {model: count.times(1 / window_seconds) for model, count in tokens.items()},
        remarks=(*snapshot.remarks, *remarks),
    )


def _perhaps_idle(snapshot: FleetSnapshot) -> Iterator[str]:
    """How many GPUs count as serving because nothing tells that they are idle, and where."""
    found = {node.node: gpus for node in snapshot.nodes if (gpus := perhaps_idle(node)) > _NOISE}
    if found:
        yield (
            f"{sum(found.values()):g} GPUs count as serving and may be idle: DCGM's series in "
            f"Prometheus do not name all GPUs, or not their pods, on node {first_of(sorted(found))}"
        )
