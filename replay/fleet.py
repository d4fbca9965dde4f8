"""The replicas of one workload from order to end: start-up in stages, ready, draining, gone.

A replica costs from the moment it is ordered: its node is being bought, then its image pulled, then
its weights loaded, and none of that serves anybody. It costs until it is gone, so a drain is paid
too. `gpu_seconds` is the sum of those lifetimes and nothing else.

The k-th replica ever ordered draws the same start-up whatever rule ordered it, so two rules on one
seed meet the same luck.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import inf, log

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One part of a start-up, lognormal around its median."""

    name: str
    median_seconds: float
    log_sigma: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StartUp:
    """From "one more" to "it serves"."""

    stages: tuple[Stage, ...]

    @property
    def median_seconds(self) -> float:
        """Sum of the medians: within a few per cent of the median of the sum."""
        return sum(stage.median_seconds for stage in self.stages)

    def slow_seconds(self, level: float = 0.95) -> float:
        """What that share of start-ups does not exceed."""
        generator = np.random.default_rng(0)
        return float(np.quantile([sum(self.draw(generator)) for _ in range(2000)], level))

    def draw(self, generator: np.random.Generator) -> tuple[float, ...]:
        """Seconds of each stage."""
        return tuple(
            float(generator.lognormal(log(stage.median_seconds), stage.log_sigma))
            if stage.median_seconds > 0
            else 0.0
            for stage in self.stages
        )


# Between llm-d's 105-130 s on a warm node with the image there and the 966 s that kaito#2325 broke
# down for a 27B model on a bought one: a node pool that grows within two minutes, a cached image.
FIVE_MINUTES = StartUp(
    stages=(
        Stage(name="node", median_seconds=110, log_sigma=0.25),
        Stage(name="image", median_seconds=60, log_sigma=0.3),
        Stage(name="weights", median_seconds=75, log_sigma=0.15),
        Stage(name="warm-up", median_seconds=50, log_sigma=0.1),
    )
)


class Phase(StrEnum):
    """Where a replica is in its life."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortage:
    """A time in which the cloud has none to give: what is ordered then starts when it ends."""

    begin_seconds: float
    end_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSettings:
    """What the platform does with a replica."""

    start_up: StartUp = FIVE_MINUTES
    grace_seconds: float = 120
    """How long a drained replica may finish its streams. Kubernetes' own default of 30 s would kill
    long answers on every scale-down; LLM deployments raise it."""
    gpus_per_replica: int = 1
    shortages: tuple[Shortage, ...] = ()
    rows: int = 48
    """Places for ready and draining replicas; one that finds none stays starting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """One replica that is not gone yet."""

    ordinal: int
    """How many were ordered before it."""
    phase: Phase
    ordered_seconds: float
    stage_seconds: tuple[float, ...]
    ready_seconds: float
    row: int | None = None
    """Its place in the engine; none while it starts."""
    kill_seconds: float = inf
    """When a drain ends at the latest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What the engine has to be told."""

    opened: tuple[int, ...] = ()
    removed: tuple[int, ...] = ()
    """Rows whose replica is gone; streams left there are killed."""


_NOTHING = Changes()


class Fleet:
    """Replicas that exist, and what those that existed have cost."""

    def __init__(self, settings: FleetSettings, *, ready: int, seed: int) -> None:
        """Start at second 0 with `ready` replicas, paid from then on."""
        self.settings = settings
        self.ordered = 0
        """Replicas ever ordered, the first ones included."""
        self._seed = seed
        self._replicas: list[Replica] = []
        self._free_rows = list(range(settings.rows))
        self._gone_gpu_seconds = 0.0
        self._next_ready_seconds = inf
        for _ in range(ready):
            self._order(0, stage_seconds=(0.0,) * len(settings.start_up.stages))

    @property
    def next_ready_seconds(self) -> float:
        """When the next start-up ends; before it `advance` has only drains to look after."""
        return self._next_ready_seconds

    @property
    def replicas(self) -> tuple[Replica, ...]:
        """Those not gone, oldest order first."""
        return tuple(self._replicas)

    @property
    def wanted(self) -> int:
        """What the Deployment's status.replicas says: starting and ready, not draining."""
        return sum(replica.phase is not Phase.DRAINING for replica in self._replicas)

    def count(self, phase: Phase) -> int:
        """Replicas in one phase."""
        return sum(replica.phase is phase for replica in self._replicas)

    def gpu_seconds(self, now_seconds: float) -> float:
        """Paid so far: starting, ready and draining."""
        living = sum(max(0.0, now_seconds - replica.ordered_seconds) for replica in self._replicas)
        return self._gone_gpu_seconds + living * self.settings.gpus_per_replica

    def scale_to(self, desired: int, now_seconds: float) -> tuple[int, ...]:
        """Order what is missing, or cancel the newest orders and then drain.

        Of the ready replicas the newest goes first, as a ReplicaSet does it. A draining replica
        never comes back.

        Returns:
            Rows that take nobody new from now on.
        """
        missing = desired - self.wanted
        for _ in range(missing):
            self._order(now_seconds)
        closed: list[int] = []
        for _ in range(-missing):
            starting = [r for r in self._replicas if r.phase is Phase.STARTING]
            if starting:
                self._remove(starting[-1], now_seconds)
            else:
                closed.append(self._drain(now_seconds))
        self._plan_next()
        return tuple(closed)

    def advance(self, now_seconds: float, streams: NDArray[np.int64]) -> Changes:
        """Let start-ups end and drains finish; `streams` are the running requests by row."""
        draining = [r for r in self._replicas if r.phase is Phase.DRAINING]
        if now_seconds < self._next_ready_seconds and not draining:
            return _NOTHING
        removed: list[int] = []
        for replica in draining:
            assert replica.row is not None
            if not streams[replica.row] or now_seconds >= replica.kill_seconds:
                removed.append(replica.row)
                self._remove(replica, now_seconds)
        opened: list[int] = []
        for place, replica in enumerate(self._replicas):
            due = replica.phase is Phase.STARTING and now_seconds >= replica.ready_seconds
            if due and self._free_rows:
                row = self._free_rows.pop(0)
                opened.append(row)
                self._replicas[place] = replace(replica, phase=Phase.READY, row=row)
        self._plan_next()
        return Changes(opened=tuple(opened), removed=tuple(removed))

    def _order(self, now_seconds: float, *, stage_seconds: Sequence[float] | None = None) -> None:
        if stage_seconds is None:
            generator = np.random.default_rng((self._seed, self.ordered))
            stage_seconds = self.settings.start_up.draw(generator)
        begin_seconds = max(
            (
                shortage.end_seconds
                for shortage in self.settings.shortages
                if shortage.begin_seconds <= now_seconds < shortage.end_seconds
            ),
            default=now_seconds,
        )
        self._replicas.append(
            Replica(
                ordinal=self.ordered,
                phase=Phase.STARTING,
                # Nothing is paid for while there is nothing to be had.
                ordered_seconds=begin_seconds,
                stage_seconds=tuple(stage_seconds),
                ready_seconds=begin_seconds + sum(stage_seconds),
            )
        )
        self.ordered += 1
        self._plan_next()

    def _drain(self, now_seconds: float) -> int:
        place, replica = max(
            (
                (place, replica)
                for place, replica in enumerate(self._replicas)
                if replica.phase is Phase.READY
            ),
            key=lambda candidate: (candidate[1].ready_seconds, candidate[1].ordinal),
        )
        assert replica.row is not None
        self._replicas[place] = replace(
            replica,
            phase=Phase.DRAINING,
            kill_seconds=now_seconds + self.settings.grace_seconds,
        )
        return replica.row

    def _remove(self, replica: Replica, now_seconds: float) -> None:
        self._replicas.remove(replica)
        lifetime_seconds = max(0.0, now_seconds - replica.ordered_seconds)
        self._gone_gpu_seconds += lifetime_seconds * self.settings.gpus_per_replica
        if replica.row is not None:
            # Sorted, so that a run does not depend on the order in which rows came back.
            self._free_rows = sorted([*self._free_rows, replica.row])

    def _plan_next(self) -> None:
        starting = (r.ready_seconds for r in self._replicas if r.phase is Phase.STARTING)
        self._next_ready_seconds = min(starting, default=inf)
