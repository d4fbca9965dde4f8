"""The replicas of one workload from order to end: start-up in stages, ready, draining, gone.

A replica costs from its order, while its node is bought, its image pulled and its weights loaded,
until it has ended, so a drain is paid too. `gpu_seconds` is the sum of those lifetimes.

With a `NodePool` in the settings `replay.nodes` places the replicas; without one every replica
comes and goes with a node of its own.

The k-th replica ever ordered draws the same start-up whatever rule ordered it, so two rules on one
seed draw equal start-ups.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from math import inf

import numpy as np
from numpy.typing import NDArray

from replay.nodes import Node, NodePool, Nodes
from replay.start_up import FIVE_MINUTES, StartUp


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
    nodes: NodePool | None = None
    """None: each replica brings its node."""

    def __post_init__(self) -> None:
        if self.nodes and self.nodes.gpus_per_node < self.gpus_per_replica:
            raise ValueError(
                f"a replica of {self.gpus_per_replica} GPUs fits no node of"
                f" {self.nodes.gpus_per_node}"
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
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
    node: Node | None = None
    """Where a NodePool is modelled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Rows that changed, for the engine."""

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
        self.nodes = Nodes(settings.nodes) if settings.nodes else None
        self._seed = seed
        self._replicas: list[Replica] = []
        self._free_rows = list(range(settings.rows))
        self._gone_gpu_seconds = 0.0
        self._next_ready_seconds = inf
        for _ in range(ready):
            node = self.nodes.found(settings.gpus_per_replica) if self.nodes else None
            self._append(0, (0.0,) * len(settings.start_up.stages), ready_seconds=0, node=node)
        self._plan_next()

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
            Rows that take no new request from now on.
        """
        missing = desired - self.wanted
        for _ in range(missing):
            self._order(now_seconds)
        closed: list[int] = []
        if missing < 0:
            starting = [r for r in self._replicas if r.phase is Phase.STARTING]
            for replica in starting[missing:][::-1]:
                self._remove(replica, now_seconds)
            closed = [self._drain(now_seconds) for _ in range(-missing - len(starting))]
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

    def _order(self, now_seconds: float) -> None:
        settings = self.settings
        start_up = settings.start_up
        # Making a generator is dear, and most comparisons have a start-up that never varies.
        generator = np.random.default_rng((self._seed, self.ordered)) if start_up.varies else None
        drawn = start_up.draw(generator)
        shortages = (
            s for s in settings.shortages if s.begin_seconds <= now_seconds < s.end_seconds
        )
        had_seconds = max((shortage.end_seconds for shortage in shortages), default=now_seconds)
        if self.nodes is None:
            # Nothing is paid for while there is nothing to be had.
            self._append(had_seconds, drawn, ready_seconds=had_seconds + sum(drawn))
            return
        of_node = start_up.of_node_seconds(drawn)
        node = self.nodes.bind(
            settings.gpus_per_replica,
            now_seconds,
            node_seconds=of_node,
            refused_until_seconds=had_seconds,
        )
        bound_seconds = max(now_seconds, node.ready_seconds)
        self._append(
            max(now_seconds, node.launched_seconds),
            drawn,
            ready_seconds=bound_seconds + sum(drawn) - of_node,
            node=node,
        )

    def _append(
        self,
        ordered_seconds: float,
        stage_seconds: tuple[float, ...],
        *,
        ready_seconds: float,
        node: Node | None = None,
    ) -> None:
        self._replicas.append(
            Replica(
                ordinal=self.ordered,
                phase=Phase.STARTING,
                ordered_seconds=ordered_seconds,
                stage_seconds=stage_seconds,
                ready_seconds=ready_seconds,
                node=node,
            )
        )
        self.ordered += 1

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
        if self.nodes is not None and replica.node is not None:
            self.nodes.release(replica.node, self.settings.gpus_per_replica, now_seconds)
        if replica.row is not None:
            # Sorted, so that a run does not depend on the order in which rows came back.
            self._free_rows = sorted([*self._free_rows, replica.row])

    def _plan_next(self) -> None:
        starting = (r.ready_seconds for r in self._replicas if r.phase is Phase.STARTING)
        self._next_ready_seconds = min(starting, default=inf)
