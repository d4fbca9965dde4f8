"""GPU-hours of a cluster by state and reason, added up over readings.

Between two readings every GPU counts in the state that the earlier one found. After `GAP_SECONDS`
without a reading, further hours count as unknown. The sum over all states is the number of GPUs
integrated over time: nothing is lost, and nothing is counted twice.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from fleet.account.node import NodeGpus
from fleet.snapshot import FleetSnapshot
from fleet.uses import NOBODY, Use

GAP_SECONDS: Final = 600.0
"""Without a reading, after which the state of a GPU counts as unknown."""
SERIES_MAX: Final = 4096
"""Of totals that are kept; further ones are added up under the reason `other`."""
_HOUR: Final = 3600.0
_OTHER: Final = "other"


class State(StrEnum):
    """What a GPU is to its owner."""

    SERVING = "serving"
    """Of a pod that is ready."""
    STARTING = "starting"
    """Of a pod that is not ready yet, or not any more."""
    IDLE = "idle"
    """Of a ready pod, and its engine does nothing, as measured."""
    FREE = "free"
    """A new pod can have it."""
    OUT = "out"
    """Neither."""
    UNKNOWN = "unknown"


NODE_EMPTY: Final = "node empty"
"""Why a GPU is free: nothing on the node holds one, so the node could go."""
NODE_IN_USE: Final = "node in use"
"""Others of its node are held."""
NOT_READ: Final = "not read"
NO_POD: Final = "claimed by no pod"


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """What one total is of."""

    cluster: str
    pool: str | None
    generation: str | None
    state: State
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """Since the start."""

    gpu_hours: float = 0.0
    usd: float = 0.0
    """Of those with a price."""
    unpriced_gpu_hours: float = 0.0

    def plus(self, gpu_hours: float, usd_per_gpu_hour: float | None) -> "Total":
        """With more hours."""
        priced = usd_per_gpu_hour is not None
        return Total(
            gpu_hours=self.gpu_hours + gpu_hours,
            usd=self.usd + gpu_hours * (usd_per_gpu_hour or 0.0),
            unpriced_gpu_hours=self.unpriced_gpu_hours + (0.0 if priced else gpu_hours),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """GPUs of one price in one state, as the last reading found them."""

    series: Series
    gpus: float
    usd_per_gpu_hour: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuHours:
    """The totals of one cluster until its last reading."""

    totals: Mapping[Series, Total] = field(default_factory=dict)
    at_seconds: float | None = None
    """Of the last reading; None = there was none."""
    standing: tuple[Standing, ...] = ()

    def read(self, snapshot: FleetSnapshot, now_seconds: float) -> "GpuHours":
        """With the time since the last reading added, and this reading's states from now on."""
        passed = self.passed(now_seconds)
        return replace(passed, standing=tuple(_standing(snapshot)))

    def passed(self, now_seconds: float) -> "GpuHours":
        """With the time since the last reading added; a clock that was set back adds nothing."""
        since = max(
            0.0, now_seconds - (now_seconds if self.at_seconds is None else self.at_seconds)
        )
        known, unknown = min(since, GAP_SECONDS) / _HOUR, max(0.0, since - GAP_SECONDS) / _HOUR
        totals = dict(self.totals)
        for one in self.standing:
            _add(totals, one.series, one.gpus * known, one.usd_per_gpu_hour)
            if unknown:
                series = replace(one.series, state=State.UNKNOWN, reason=NOT_READ)
                _add(totals, series, one.gpus * unknown, one.usd_per_gpu_hour)
        return replace(self, totals=totals, at_seconds=now_seconds)


def _add(
    totals: dict[Series, Total], series: Series, gpu_hours: float, usd_per_gpu_hour: float | None
) -> None:
    if series not in totals and len(totals) >= SERIES_MAX:
        series = replace(series, pool=_OTHER, generation=_OTHER, reason=_OTHER)
    totals[series] = totals.get(series, Total()).plus(gpu_hours, usd_per_gpu_hour)


def _standing(snapshot: FleetSnapshot) -> Iterator[Standing]:
    for node in snapshot.nodes:
        found: defaultdict[tuple[State, str], float] = defaultdict(float)
        for state, reason, gpus in _parts(node):
            found[state, reason] += gpus
        for (state, reason), gpus in found.items():
            if gpus > 0:
                series = Series(
                    cluster=snapshot.cluster,
                    pool=node.pool,
                    generation=node.generation or node.product,
                    state=state,
                    reason=reason,
                )
                yield Standing(series=series, gpus=gpus, usd_per_gpu_hour=node.usd_per_gpu_hour)


def _parts(node: NodeGpus) -> Iterator[tuple[State, str, float]]:
    """The GPUs of a node by state and reason; together they are all of them."""
    if node.allocated is None or node.free is None or node.out is None:
        yield State.UNKNOWN, f"no {node.not_read} was read", float(node.gpus)
        return
    asked = sum(use.gpus for use in node.uses)
    # Where more is given out than there is, each pod has less than it asked for.
    scale = node.allocated / asked if asked else 0.0
    for use in node.uses:
        for state, reason, gpus in _parts_of(use):
            yield state, reason, gpus * scale
    yield State.FREE, NODE_IN_USE if node.uses else NODE_EMPTY, node.free
    yield State.OUT, node.out_reason or "", node.out


def _parts_of(use: Use) -> Iterator[tuple[State, str, float]]:
    if use.pod == NOBODY:
        yield State.STARTING, NO_POD, use.gpus
    elif use.ready is None:
        yield State.UNKNOWN, "pod not read", use.gpus
    elif not use.ready:
        yield State.STARTING, "", use.gpus
    else:
        idle = use.idle or 0.0
        yield State.SERVING, "", use.gpus - idle
        yield State.IDLE, "", idle
