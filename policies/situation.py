"""The state of GPU node pools at one moment, as the rules see it.

Production builds it from `fleet.cluster` and the plans of workloads, replay from its own cluster.
All times are Unix times in seconds. What is not known is None, never 0.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from fleet.cluster.nodes import CapacityType
from fleet.cluster.owners import Workload
from scaler.forecast.running_maximum import MaximumForecast


class NodeStage(StrEnum):
    """How far a node has come; each stage includes those before it."""

    ORDERED = "ordered"
    LAUNCHED = "launched"
    REGISTERED = "registered"
    INITIALIZED = "initialized"
    """Pods can have its GPUs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePod:
    """A pod with GPUs on a node."""

    uid: str
    name: str
    """With its namespace."""
    workload: Workload | None = None
    gpus: float
    ready: bool
    """A pod that is not ready still loads its model, or `loads` is False."""
    loads: bool = True
    """False = it is not ready for another reason: its image cannot be pulled, it crashes again and
    again, or it was ready before."""
    loading_until_seconds: float | None = None
    """Until when its loading can be believed, by what its workload takes; None = not learned."""
    created_seconds: float
    do_not_disrupt: bool = False
    deletion_cost: int | None = None
    """The `controller.kubernetes.io/pod-deletion-cost` that it has; None = none."""
    disruption_cost: int | None = None
    """The `karpenter.sh/disruption-cost` that it has; None = none."""
    covered: bool = True
    """False = the pool's policy is not about its workload: no node is kept for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolNode:
    """A GPU node of a pool, from its order to its end."""

    name: str
    """Of its NodeClaim, else of the Node."""
    uid: str
    instance_type: str | None = None
    zone: str | None = None
    capacity_type: CapacityType | None = None
    gpus: int
    usd_per_hour: float | None = None
    """Of the whole node."""
    stage: NodeStage
    stage_since_seconds: float
    ordered_seconds: float
    cancellable: bool = False
    """Until it is initialized, its start can be called off; False = that is not known, Karpenter
    did not make it, or it was initialized before."""
    pods: tuple[NodePod, ...] = ()
    empty_since_seconds: float | None = None
    """Since when it is initialized and no pod has a GPU of it; None = it is not empty, or is out of
    service."""
    replaced_until_seconds: float | None = None
    """Until when a pod in the place of one that was on it may come; None = it is not empty, or
    nobody saw the pods that were on it."""
    held_by_us_until_seconds: float | None = None
    """The end of our own hold's lease; None = we hold it not."""
    held_by_others: bool = False
    """Somebody else keeps it, by `karpenter.sh/do-not-disrupt` or the annotation in its place."""
    leaving: bool = False
    """It is cordoned, drained or being deleted: no pod comes to it any more."""
    ending: bool = False
    """It ends before another could be in its place, and nothing but time has begun that."""
    ends_at_seconds: float | None = None
    """When it goes whatever anybody does; None = no such end is known."""
    ends_because: str | None = None
    out_of_service: bool = False
    """No new pod can have its GPUs now: it is not ready, or they are unhealthy or tainted."""
    pods_moved: bool = True
    """Its pods may be told to go first; False = another controller ranks them."""
    clique: str | None = None
    """The NVLink domain that it shares with other nodes."""

    @property
    def lasts(self) -> bool:
        """Whether pods may still be planned for it."""
        return not self.leaving and not self.ending

    @property
    def free_gpus(self) -> float:
        return max(0.0, self.gpus - sum(pod.gpus for pod in self.pods))

    @property
    def loading(self) -> tuple[NodePod, ...]:
        return tuple(pod for pod in self.pods if not pod.ready and pod.loads and pod.covered)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadTime:
    """How long a new node of a pool takes, as quantiles of what was seen and of the prior."""

    boot_seconds: float
    """Expected, from the order to GPUs that pods can have, with failed launches and retries."""
    boot_seconds_p90: float
    pull_seconds: float
    """Expected, from then until images are there."""
    launch_failure_share: float = 0.0
    seen: int = 0
    """Starts that it was learned from; 0 = the prior alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GangDemand:
    """A workload whose pods start together or not at all."""

    workload: Workload
    pods: int
    gpus_per_pod: float
    waiting_pods: int
    """Without a node yet."""
    seen_pods: int = 0
    """Of the waiting ones, those that Karpenter buys nodes for: they exist, without a gate."""
    missing_pods: int = 0
    """Of the waiting ones, those that do not exist: only a number that a tenant wrote tells of
    them, and no quota has counted it."""
    ends_at_seconds: float | None = None
    """When it is expected to end; None = not known."""
    held_back: str | None = None
    """What it waits for that no node helps against, such as a queue without quota for it; None =
    nothing, or that is not known."""
    gpus: float | None = None
    """Of all its pods, where they differ; None = each has `gpus_per_pod`."""
    admitted: bool = False
    """A quota that an administrator set counts all its pods, the missing ones among them."""
    checkpoints: "Checkpoints | None" = None
    """That it writes; None = none that are known."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Of its pods to be made, where there is none yet."""

    @property
    def all_gpus(self) -> float:
        return self.pods * self.gpus_per_pod if self.gpus is None else self.gpus

    @property
    def started_in_part(self) -> bool:
        """Some of its pods have a node and wait for the others."""
        return 0 < self.waiting_pods < self.pods


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoints:
    """When a gang writes what it can go on from after it was moved."""

    last_seconds: float
    """The last one that is known; else when its pods started."""
    every_seconds: float

    def next_after(self, at_seconds: float) -> float:
        """The first one that is not before a moment, whatever time the last one says it was."""
        steps = math.ceil((at_seconds - self.last_seconds) / self.every_seconds)
        return self.last_seconds + steps * self.every_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolState:
    """One pool of equal GPU nodes."""

    name: str
    generation: str | None = None
    gpus_per_node: int
    gpus_per_pod: int = 1
    """As most of its pods have."""
    usd_per_hour: float | None = None
    """Of a new node."""
    usd_per_hour_on_demand: float | None = None
    """Of a new node that is paid for on demand; None = not known, and `usd_per_hour` counts."""
    capacity_type: CapacityType | None = None
    """Of a new node; None = the pool allows several, or does not tell."""
    nodes: tuple[PoolNode, ...] = ()
    demand_gpus: float
    """Wanted now: of the pods that run and of those that wait for a node; gangs are not in it."""
    forecast: MaximumForecast | None = None
    """Of `demand_gpus`; None = there is none that may be trusted, and only the present counts."""
    gangs: tuple[GangDemand, ...] = ()
    lead_time: LeadTime
    nodes_max: int | None = None
    """By the pool's limits; None = no limit."""
    consolidate_after_seconds: float | None = None
    """Karpenter's own wait before an empty node goes; None = never. The nightly replay of the
    pool's past plays it; no rule reads it."""
    static: bool = False
    """Its size is a number, `spec.replicas`; Karpenter removes no empty node by itself."""
    labels: Mapping[str, str] = field(default_factory=dict)
    workloads: tuple[Workload, ...] = ()
    """That run on it, or are planned for it."""
    pods_wait: bool = False
    """Pods wait that may get a node of it, also such as are not counted in its demand."""
    waiting_pod: tuple[str, str] | None = None
    """UID and name of one pod that waits for a node of it: what it is like tells a pool without
    nodes what to order."""
    remarks: tuple[str, ...] = ()
    """What could not be told of it, for the steps of its plan."""

    @property
    def usd_per_hour_ordered(self) -> float | None:
        """Of an order of one node, for the ceilings.

        Where the pool allows several capacity types it is the highest price: nobody knows which one
        a node will have.
        """
        if self.capacity_type is CapacityType.RESERVED:
            return 0.0
        prices = [self.usd_per_hour]
        if self.capacity_type is None:
            prices.append(self.usd_per_hour_on_demand)
        return max((usd for usd in prices if usd is not None), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """Money spent on idle capacity that a policy holds or orders, up to now."""

    month_usd: float = 0.0
    """Since the first of this month, in the policy's time zone."""
    month_usd_by_policy: Mapping[str, float] = field(default_factory=dict)
    """Where several policies are: by the policy's name; for one that is missing, `month_usd`."""

    def of_policy(self, policy: str) -> float:
        return self.month_usd_by_policy.get(policy, self.month_usd)


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """All pools at one moment."""

    now_seconds: float
    pools: tuple[PoolState, ...]
    spending: Spending = field(default_factory=Spending)
