"""What the rules want of GPU nodes, with the steps that led to it.

A plan is a value: `policies.levers` turns it into API objects, replay into events of its cluster,
and cost by reason reads the reasons of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from fleet.cluster.nodes import CapacityType


class Reason(StrEnum):
    """Why a node, or a part of it, is there without serving. Each idle GPU-hour has exactly one."""

    FORECAST_HOLD = "forecast hold"
    """Empty, held for demand that the forecast expects."""
    PRE_WARM = "pre-warm"
    """Ordered ahead of demand, and not used yet."""
    WARM_FLOOR = "warm floor"
    """Empty, held by the policy's schedule."""
    GANG = "gang"
    """Ordered or held for a workload that needs all its nodes at once."""
    VETO = "veto"
    """A pod of it still loads its model."""
    UNINITIALIZED = "uninitialized"
    """Paid for, and pods cannot have its GPUs yet."""
    FRAGMENTATION = "fragmentation"
    """Free GPUs beside used ones."""
    RESERVED = "reserved"
    """Empty, and it costs the same without us."""
    BUDGET = "budget"
    """Empty, and a ceiling ended its hold: it is on its way out."""
    HELD_BY_OTHERS = "held by others"
    """Empty, and an annotation that is not ours keeps it."""
    NONE = "no reason"
    """Empty, and no rule wants it: it waits for Karpenter."""


class Verdict(StrEnum):
    """What becomes of a node."""

    HOLD = "hold"
    """Keep it although it is empty, or about to be; until the lease ends."""
    RELEASE = "release"
    """Let it go now."""
    LEAVE = "leave"
    """Do nothing: it is in use, or Karpenter decides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One rule's part in a decision."""

    rule: str
    text: str
    """With the numbers, for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeDecision:
    """What becomes of one node."""

    node: str
    uid: str
    verdict: Verdict
    reason: Reason | None = None
    """Why it is there without serving; None = it serves, all of it."""
    until_seconds: float | None = None
    """The end of a hold's lease."""
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOrder:
    """Nodes wanted beyond those that are there or on their way."""

    nodes: int
    reason: Reason
    capacity_type: CapacityType | None = None
    """None = as the pool has it."""
    workload: str | None = None
    """Of a gang."""
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPlan:
    """The decisions for one pool."""

    pool: str
    act: bool
    """False = the policy only advises."""
    nodes: tuple[NodeDecision, ...] = ()
    orders: tuple[NodeOrder, ...] = ()
    deletion_costs: Mapping[str, int] = field(default_factory=dict)
    """By UID of the pod, `controller.kubernetes.io/pod-deletion-cost`: the lowest goes first.
    Pods that have the cost already are not in it."""
    disruption_costs: Mapping[str, int] = field(default_factory=dict)
    """The same for `karpenter.sh/disruption-cost`, where another controller ranks the pods."""
    steps: tuple[Step, ...] = ()
    """Of the pool as a whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePlan:
    """The decisions of one round."""

    at_seconds: float
    pools: tuple[PoolPlan, ...]
