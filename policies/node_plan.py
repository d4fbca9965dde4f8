"""What the rules want of GPU nodes, with the steps that led to it.

A plan is a value: `policies.levers` turns it into API objects, replay into events of its cluster,
and cost by reason reads the reasons of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from fleet.cluster.nodes import CapacityType
from fleet.reasons import Reason


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
    set_aside: frozenset[str] = frozenset()
    """UIDs of the nodes that gangs run on or get, which nobody else counts on."""
    steps: tuple[Step, ...] = ()
    """Of the pool as a whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePlan:
    """The decisions of one round."""

    at_seconds: float
    pools: tuple[PoolPlan, ...]

    @property
    def released(self) -> frozenset[str]:
        """UIDs of the nodes that go; mere advice lets none go."""
        return frozenset(
            node.uid
            for pool in self.pools
            if pool.act
            for node in pool.nodes
            if node.verdict is Verdict.RELEASE
        )

    @property
    def reasons(self) -> Mapping[str, Reason]:
        """Why nodes stay without serving, by the name of each; mere advice keeps none."""
        return {
            node.node: node.reason
            for pool in self.pools
            if pool.act
            for node in pool.nodes
            if node.reason is not None
        }
