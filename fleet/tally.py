"""Sums over snapshots: by generation, cluster, pool, node, namespace or model."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from fleet.account.node import NodeGpus
from fleet.snapshot import FleetSnapshot
from fleet.uses import Use

UNKNOWN: Final = "unknown"
NONE: Final = "(none)"
FREE: Final = "(free)"
OUT: Final = "(out)"
UNREAD: Final = "(unknown)"


class By(StrEnum):
    """What a row stands for."""

    GENERATION = "generation"
    CLUSTER = "cluster"
    POOL = "pool"
    NODE = "node"
    NAMESPACE = "namespace"
    MODEL = "model"

    @property
    def of_pods(self) -> bool:
        """GPUs are split by the pods that hold them, not by place."""
        return self in {By.NAMESPACE, By.MODEL}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A sum over GPUs. Where a part is unknown, a field is the sum of the rest."""

    key: str
    gpus: float
    allocated: float
    free: float
    out: float
    uses_unknown: float
    """GPUs that may be allocated, free or out."""
    free_unknown: float
    """Those, and GPUs that may be free or out."""
    idle: float
    """Of those allocated."""
    idle_unknown: float
    """GPUs that are or may be allocated, and may be idle: not measured, or of unknown owners."""
    fragmented: float
    islands: int
    islands_whole: int
    """Of which every GPU is free."""
    islands_unknown: float
    """GPUs of nodes whose islands are not known."""
    usd_per_hour: float
    free_usd_per_hour: float
    free_usd_unknown: float
    """GPUs without a price, or that may be free."""
    idle_usd_per_hour: float
    unpriced: float
    """GPUs without a price."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """GPUs of one price that go into one row."""

    key: str
    usd_per_gpu_hour: float | None
    gpus: float
    allocated: float = 0.0
    free: float = 0.0
    out: float = 0.0
    uses_unknown: float = 0.0
    free_unknown: float = 0.0
    idle: float | None = 0.0
    idle_unknown: float = 0.0
    fragmented: float = 0.0
    islands: int = 0
    islands_whole: int = 0
    islands_unknown: float = 0.0


def tally(snapshots: Sequence[FleetSnapshot], by: By) -> list[Row]:
    """One row for each key, the most GPUs first; GPUs that no pod holds come last.

    With several clusters the key of a node has its cluster's name before it.
    """
    alone = len(snapshots) == 1
    entries = [
        entry
        for snapshot in snapshots
        for node in snapshot.nodes
        for entry in (
            _of_uses(node, by) if by.of_pods else [_of_node(snapshot, node, by, alone=alone)]
        )
    ]
    found: dict[str, list[_Entry]] = defaultdict(list)
    for entry in entries:
        found[entry.key].append(entry)
    rows = [_row(key, of_key) for key, of_key in found.items()]
    return sorted(rows, key=lambda row: (row.key in {FREE, OUT, UNREAD}, -row.gpus, row.key))


def total(snapshots: Sequence[FleetSnapshot]) -> Row:
    """All GPUs of all clusters in one row."""
    entries = [
        _of_node(one, node, By.CLUSTER, alone=True) for one in snapshots for node in one.nodes
    ]
    return _row("total", entries)


def _of_node(snapshot: FleetSnapshot, node: NodeGpus, by: By, *, alone: bool) -> _Entry:
    match by:
        case By.CLUSTER:
            key = snapshot.cluster
        case By.POOL:
            key = node.pool or NONE
        case By.NODE:
            key = node.node if alone else f"{snapshot.cluster}/{node.node}"
        case _:
            key = node.generation or node.product or UNKNOWN
    of_islands = node.fragmentation
    return _Entry(
        key=key,
        usd_per_gpu_hour=node.usd_per_gpu_hour,
        gpus=node.gpus,
        allocated=node.allocated or 0.0,
        free=node.free or 0.0,
        out=node.out or 0.0,
        uses_unknown=node.gpus if node.allocated is None else 0.0,
        free_unknown=_free_unknown(node),
        idle=node.idle,
        idle_unknown=node.idle_unknown,
        fragmented=of_islands.fragmented if of_islands else 0.0,
        islands=of_islands.islands if of_islands else 0,
        islands_whole=of_islands.whole if of_islands else 0,
        islands_unknown=0.0 if of_islands else node.gpus,
    )


def _of_uses(node: NodeGpus, by: By) -> Iterator[_Entry]:
    price = node.usd_per_gpu_hour
    for use in node.uses:
        gpus = use.gpus * node.scale
        yield _Entry(
            key=_key(use, by),
            usd_per_gpu_hour=price,
            gpus=gpus,
            allocated=gpus,
            idle=None if use.idle is None else use.idle * node.scale,
        )
    if node.free is None:
        rest = max(0.0, node.gpus - node.scale * sum(use.gpus for use in node.uses))
        unread = rest if node.allocated is None else 0.0
        yield _Entry(
            key=UNREAD,
            usd_per_gpu_hour=price,
            gpus=rest,
            uses_unknown=unread,
            free_unknown=rest,
            idle=None if unread else 0.0,
        )
    if node.free:
        yield _Entry(key=FREE, usd_per_gpu_hour=price, gpus=node.free, free=node.free)
    if node.out:
        yield _Entry(key=OUT, usd_per_gpu_hour=price, gpus=node.out, out=node.out)


def _free_unknown(node: NodeGpus) -> float:
    return 0.0 if node.free is not None else node.gpus - (node.allocated or 0.0)


def _key(use: Use, by: By) -> str:
    return use.namespace if by is By.NAMESPACE else use.model or NONE


def _row(key: str, entries: Sequence[_Entry]) -> Row:
    return Row(
        key=key,
        gpus=_sum(one.gpus for one in entries),
        allocated=_sum(one.allocated for one in entries),
        free=_sum(one.free for one in entries),
        out=_sum(one.out for one in entries),
        uses_unknown=_sum(one.uses_unknown for one in entries),
        free_unknown=_sum(one.free_unknown for one in entries),
        idle=_sum(one.idle or 0.0 for one in entries),
        idle_unknown=_sum(
            one.idle_unknown if one.idle is not None else one.allocated + one.uses_unknown
            for one in entries
        ),
        fragmented=_sum(one.fragmented for one in entries),
        islands=sum(one.islands for one in entries),
        islands_whole=sum(one.islands_whole for one in entries),
        islands_unknown=_sum(one.islands_unknown for one in entries),
        usd_per_hour=_sum(one.gpus * (one.usd_per_gpu_hour or 0.0) for one in entries),
        free_usd_per_hour=_sum(one.free * (one.usd_per_gpu_hour or 0.0) for one in entries),
        free_usd_unknown=_sum(
            one.gpus if one.usd_per_gpu_hour is None else one.free_unknown for one in entries
        ),
        idle_usd_per_hour=_sum(
            (one.idle or 0.0) * (one.usd_per_gpu_hour or 0.0) for one in entries
        ),
        unpriced=_sum(one.gpus for one in entries if one.usd_per_gpu_hour is None),
    )


def _sum(values: Iterable[float]) -> float:
    return round(sum(values), 6)
