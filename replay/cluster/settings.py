"""What a cluster of the replay is made of: node pools, workloads, gangs."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from fleet.cluster.karpenter import LAUNCH_LIMIT_SECONDS, REGISTRATION_LIMIT_SECONDS
from fleet.cluster.nodes import CapacityType
from fleet.cluster.owners import Workload
from policies.rounds import ROUND_SECONDS
from policies.situation import LeadTime
from replay.cluster import karpenter

_P90 = 0.9


class PodChoice(StrEnum):
    """Which pod of a Deployment goes first when it shrinks."""

    REPLICA_SET = "replica-set"
    """The ReplicaSet's own ranking, with the deletion costs that a policy wrote."""
    EMPTIEST_NODE = "emptiest-node"
    """The pods of the emptiest node, as if deletion costs were always up to date."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStartUp:
    """How long a node takes from its order until its images are there; drawn evenly.

    The defaults are the range of published GPU node starts with a driver in the image. Times are
    drawn in whole seconds, so that sums of GPU-seconds are exact.
    """

    boot_seconds: tuple[float, float] = (240.0, 480.0)
    """From the order to GPUs that pods can have."""
    failure_share: float = 0.05
    """Of launches that never come to anything, and are paid until that is noticed."""
    noticed_seconds: tuple[float, float] = (LAUNCH_LIMIT_SECONDS, REGISTRATION_LIMIT_SECONDS)
    pull_seconds: float = 120.0
    """From then until images are there; it runs on an empty node too."""
    launched_share: float = 0.1
    """Of the boot, until the machine exists."""
    registered_share: float = 0.6

    def __post_init__(self) -> None:
        if not 0 <= self.failure_share < 1:
            raise ValueError(f"failure_share is {self.failure_share}: it must be in [0, 1)")

    def draw(self, generator: np.random.Generator) -> tuple[float, bool]:
        """Seconds until the node is initialized or its failure is noticed, and whether it fails."""
        fails = bool(generator.random() < self.failure_share)
        low, high = self.noticed_seconds if fails else self.boot_seconds
        return float(round(generator.uniform(low, high))), fails

    def lead_time(self) -> LeadTime:
        """The same as expectation, with failed launches tried again."""
        low, high = self.boot_seconds
        failed = self.failure_share / (1 - self.failure_share)
        good = min(1.0, _P90 / (1 - self.failure_share))
        return LeadTime(
            boot_seconds=(low + high) / 2 + failed * sum(self.noticed_seconds) / 2,
            boot_seconds_p90=low + good * (high - low),
            pull_seconds=self.pull_seconds,
            launch_failure_share=self.failure_share,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """A time in which the cloud has no node of a pool to give."""

    begin_seconds: float
    end_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """A NodePool with one instance type."""

    name: str
    gpus_per_node: int = 1
    start_up: NodeStartUp = NodeStartUp()
    consolidate_after_seconds: float | None = 0.0
    """An empty node is let go after it; None = never."""
    budget_share: float = karpenter.BUDGET_SHARE
    nodes_max: int | None = None
    nodes_at_start: int = 0
    """At least so many are there from the beginning."""
    capacity_type: CapacityType | None = None
    usd_per_node_hour: float | None = None
    outages: tuple[Outage, ...] = ()
    reclaims_per_hour: float = 0.0
    """Of one node; the cloud takes it back, and its pods are made again."""
    static: bool = False
    """Karpenter removes no empty node by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A Deployment of equal pods, whose replicas somebody else sets."""

    workload: Workload
    replicas: tuple[tuple[float, int], ...]
    """(from when, how many), ascending in time; the first entry is there from the beginning."""
    pools: tuple[str, ...]
    """Where its pods may run; a node is ordered from the first that is not refused."""
    gpus_per_pod: int = 1
    pod_seconds: float = 120.0
    """From the binding, or the end of the pull, until it serves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GangRun:
    """A job whose pods start together or not at all, and end together."""

    workload: Workload
    pods: int
    gpus_per_pod: int
    pools: tuple[str, ...]
    created_seconds: float
    run_seconds: float
    pod_seconds: float = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSettings:
    """One cluster and what is asked of it."""

    pools: tuple[Pool, ...]
    services: tuple[Service, ...] = ()
    gangs: tuple[GangRun, ...] = ()
    begin_seconds: float
    """Unix time; the pods of this moment and their nodes are ready."""
    pod_choice: PodChoice = PodChoice.REPLICA_SET
    round_seconds: float = ROUND_SECONDS
    """Between two regular decisions of a node policy."""
    seed: int = 1

    @property
    def asking(self) -> tuple[Service | GangRun, ...]:
        """All that asks for GPUs."""
        return (*self.services, *self.gangs)

    def __post_init__(self) -> None:
        known = {pool.name: pool for pool in self.pools}
        for asked in self.asking:
            for name in asked.pools:
                if name not in known:
                    raise ValueError(f"{asked.workload.name}: no pool is named {name!r}")
                if known[name].gpus_per_node < asked.gpus_per_pod:
                    raise ValueError(
                        f"{asked.workload.name}: a pod of {asked.gpus_per_pod} GPUs fits no node"
                        f" of {known[name].gpus_per_node} in pool {name}"
                    )
