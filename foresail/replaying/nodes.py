"""The nodes under a replay's replicas: which pool and policy are asked about, and the runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from foresail.policy.shown import NamedPool, policies_named, resolved
from foresail.replaying.node_question import NodeQuestion
from foresail.replaying.plan import ReplayPlan
from policies.policy.schema import CapacityPolicy
from policies.rounds import ROUND_SECONDS
from replay.cluster.settings import Pool
from replay.cluster.shipped import ShippedRules
from replay.node_demand import node_start_up, pod_seconds
from replay.node_run import (
    BEGIN_SECONDS,
    NodeOutcome,
    NodeRuns,
    NodeSite,
    ReplicaDemand,
    acting,
)
from scaler.durations import format_duration
from scaler.errors import ForesailError

KARPENTER = "Karpenter alone"
_POOL = "gpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class GovernedPool:
    """A pool under a policy, checked before anything runs."""

    site: NodeSite
    policies: tuple[CapacityPolicy, ...]
    policy: str
    """The name of the one that governs the pool."""
    rho: float

    @property
    def usd_per_delayed_minute(self) -> float:
        """Of one pod, as the policy has it; a delayed pod counts by its GPUs."""
        return self.rho * self.site.gpus_per_pod * self.site.usd_per_gpu_hour / 60


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRow:
    """One run."""

    rule: str
    """That asked for the replicas."""
    by: str
    """Karpenter alone, or a policy."""
    outcome: NodeOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeReport:
    """All runs: of each rule's replicas, Karpenter alone and then the policy."""

    governed: GovernedPool
    rows: tuple[NodeRow, ...]

    def pairs(self) -> list[tuple[NodeRow, NodeRow]]:
        """Of each rule: Karpenter alone, and the policy."""
        return list(zip(self.rows[::2], self.rows[1::2], strict=True))

    def remarks(self) -> list[str]:
        """What to know of the numbers."""
        pool = self.governed.site.pool
        low, high = pool.start_up.boot_seconds
        soon, late = (seconds / 60 for seconds in pool.start_up.noticed_seconds)
        said = [
            (
                f"A node boots in {low:.0f} to {high:.0f} s, {pool.start_up.failure_share:.0%} of"
                f" launches fail and are noticed after {soon:.0f} to {late:.0f} minutes. What pods"
                " wait for nodes here is not in the requests in time above."
            ),
            (
                "Karpenter alone removes nodes that are empty, and a ReplicaSet chooses the pods"
                " that go. Consolidation of nodes in use is not modelled."
            ),
        ]
        after = pool.consolidate_after_seconds
        if after is not None and after < ROUND_SECONDS:
            said.append(
                f"With consolidateAfter {format_duration(after)} Karpenter removes empty nodes"
                f" before the policy, which decides every {format_duration(ROUND_SECONDS)}, can"
                " hold them; try a longer one, such as --consolidate-after 10m."
            )
        return said


def governed_pool(question: NodeQuestion, plan: ReplayPlan) -> GovernedPool:
    """The pool of the options and the plan, and its policy.

    Raises:
        ForesailError: two of them disagree, something is missing, or no policy matches the pool.
    """
    profile, start_up = plan.platform().profile, plan.platform().fleet.start_up
    gpus = _gpus_per_node(question, plan, profile.gpus)
    if not any(stage.once_a_node for stage in start_up.stages):
        raise ForesailError(
            "--nodes: the plan's startUp does not say what of it is the node's: give stages, and"
            " mark those of the node with oncePerNode: true"
        )
    pool = Pool(
        name=_POOL,
        gpus_per_node=gpus,
        start_up=node_start_up(start_up),
        consolidate_after_seconds=_consolidate_after(question, plan),
        usd_per_node_hour=_usd_per_hour(question, plan, gpus),
    )
    policies = policies_named(question.policy)
    named = NamedPool(name=pool.name, gpus_per_node=gpus, usd_per_hour=pool.usd_per_node_hour)
    of_pool = resolved(policies, named, BEGIN_SECONDS)
    return GovernedPool(
        site=NodeSite(pool=pool, gpus_per_pod=profile.gpus, pod_seconds=pod_seconds(start_up)),
        policies=policies,
        policy=of_pool.policy,
        rho=of_pool.rho,
    )


def _gpus_per_node(question: NodeQuestion, plan: ReplayPlan, of_replica: int) -> int:
    asked, planned = question.gpus_per_node, plan.nodes.gpus if plan.nodes else None
    if asked and planned and asked != planned:
        raise ForesailError(
            f"--gpus-per-node {asked}: the plan has nodes.gpus {planned}; leave one of them out"
        )
    gpus = asked or planned or of_replica
    if gpus < of_replica:
        raise ForesailError(
            f"--gpus-per-node {gpus}: a replica of the plan has {of_replica} GPUs and fits no node"
        )
    return gpus


def _consolidate_after(question: NodeQuestion, plan: ReplayPlan) -> float | None:
    asked = question.consolidate_after_seconds
    planned = plan.nodes.consolidate_after if plan.nodes else None
    if asked is not None and planned is not None and asked != planned:
        raise ForesailError(
            f"--consolidate-after: the plan has nodes.consolidateAfter {format_duration(planned)};"
            " leave one of them out"
        )
    seconds = asked if asked is not None else planned or 0.0
    return None if seconds == inf else seconds


def _usd_per_hour(question: NodeQuestion, plan: ReplayPlan, gpus: int) -> float:
    if question.usd_per_node_hour is not None:
        return question.usd_per_node_hour
    if plan.gpu_usd_hour is None:
        raise ForesailError(
            "--nodes counts dollars, and the price of a node is not known: give --node-price USD,"
            " of one node for an hour, or gpuUsdHour in the plan"
        )
    return plan.gpu_usd_hour * gpus


def nodes_on(
    governed: GovernedPool, demands: Sequence[ReplicaDemand], *, seed: int, console: Console
) -> NodeReport:
    """Run Karpenter alone and the policy under the replicas of each demand."""
    rows: list[NodeRow] = []
    columns = (TextColumn("nodes under {task.fields[name]}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        rounds = sum(len(demand.each_round()) for demand in demands)
        task = progress.add_task("", total=rounds, name="")
        for demand in demands:
            progress.update(task, name=demand.rule)
            runs = NodeRuns(demand=demand, site=governed.site, seed=seed)
            policy = ShippedRules(acting(governed.policies))
            found = runs.of(
                {KARPENTER: None, f"policy {governed.policy}": policy},
                lambda: progress.advance(task),
            )
            rows += [NodeRow(rule=demand.rule, by=by, outcome=one) for by, one in found.items()]
    return NodeReport(governed=governed, rows=tuple(rows))
