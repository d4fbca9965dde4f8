"""A round of the controller as the console's records: nodes, reasons with dollars, clusters."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fleet.account.gpu_hours import hourly_costs
from fleet.cluster.owners import LEADER_WORKER_SET, LWS_GROUP, Workload
from fleet.cluster.pods import Pod
from fleet.reasons import Reason
from fleet.tally import By, tally
from foresail.console.records import ClusterRow, NodeRow, Nodes, ReasonCost
from foresail.controller.rounds import ClusterRound
from foresail.cost.report import summed
from foresail.policy.advice_table import order_text, step_text, used_text
from policies.node_plan import PoolPlan
from policies.situation import PoolState
from scaler.message_text import printable


def nodes_of(made: ClusterRound) -> Nodes:
    """The nodes, as a round found them and decides on them."""
    states = {pool.name: pool for pool in made.decided.situation.pools}
    rows = tuple(row for plan in made.decided.plan.pools for row in _rows(states[plan.pool], plan))
    return Nodes(
        reasons=tuple(_reasons(made)),
        rows=rows,
        clusters=tuple(_clusters(made)),
        remarks=tuple(
            printable(one)
            for one in (*made.cluster.remarks, *made.snapshot.remarks, *made.decided.remarks)
        ),
    )


def _reasons(made: ClusterRound) -> Iterator[ReasonCost]:
    """In the order in which reasons are listed; serving is first."""
    costs = summed(
        hourly_costs(made.snapshot, made.decided.plan.reasons), lambda series: series.reason
    )
    for reason in Reason:
        cost = costs.get(reason)
        if cost is not None:
            unpriced = cost.unpriced_gpu_hours
            yield ReasonCost(
                reason=reason.value,
                serves=reason is Reason.SERVING,
                gpus=cost.gpu_hours,
                usd_per_hour=None if unpriced >= cost.gpu_hours else cost.usd,
                unpriced_gpus=unpriced,
            )


def _rows(state: PoolState, plan: PoolPlan) -> Iterator[NodeRow]:
    nodes = {node.uid: node for node in state.nodes}
    for order in plan.orders:
        usd = state.usd_per_hour_ordered
        yield NodeRow(
            node=order_text(order),
            pool=plan.pool,
            used=f"0/{order.nodes * state.gpus_per_node}",
            usd_per_hour=None if usd is None else usd * order.nodes,
            verdict="order",
            reason=order.reason.value,
            steps=tuple(map(step_text, order.steps)),
        )
    for decision in plan.nodes:
        node = nodes[decision.uid]
        yield NodeRow(
            node=decision.node,
            pool=plan.pool,
            used=used_text(node),
            usd_per_hour=node.usd_per_hour,
            verdict=decision.verdict.value,
            reason=decision.reason.value if decision.reason is not None else "serves",
            steps=tuple(map(step_text, decision.steps)),
        )


def _clusters(made: ClusterRound) -> Iterator[ClusterRow]:
    for row in tally([made.snapshot], By.CLUSTER):
        yield ClusterRow(
            name=row.key,
            gpus=row.gpus,
            used=None if row.uses_unknown else row.allocated,
            free=None if row.free_unknown else row.free,
            usd_per_hour=row.usd_per_hour,
            unpriced_gpus=row.unpriced,
            remarks=(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadCost:
    """What the pods of a workload cost."""

    replicas: int
    """With pods on GPUs."""
    usd_per_hour: float | None
    """None = a GPU of theirs has no price."""

    @property
    def usd_per_replica_hour(self) -> float | None:
        return None if self.usd_per_hour is None else self.usd_per_hour / self.replicas


def workload_costs(made: ClusterRound) -> Mapping[str, WorkloadCost]:
    """The cost of the workload of each ScaledObject, by its name with the namespace.

    A ScaledObject without pods on GPUs is left out: it costs nothing, or its pods were not read.
    """
    pods = {pod.name: pod for pod in made.cluster.pods or ()}
    uses: dict[Workload, list[_Use]] = defaultdict(list)
    for node in made.snapshot.nodes:
        for use in node.uses:
            pod = pods.get(f"{use.namespace}/{use.pod}")
            if pod is not None and pod.workload is not None:
                price = node.usd_per_gpu_hour
                usd = None if price is None else use.gpus * node.scale * price
                uses[pod.workload].append(_Use(replica=_replica_of(pod), usd_per_hour=usd))
    return {
        one.name: _cost(uses[one.target])
        for one in made.cluster.scaled_objects or ()
        if one.target is not None and one.target in uses
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Use:
    """The GPUs of a pod on a node."""

    replica: str
    usd_per_hour: float | None


def _replica_of(pod: Pod) -> str:
    """The replica that a pod is, or is a part of: a group of a LeaderWorkerSet is one."""
    is_group = pod.workload is not None and pod.workload.kind == LEADER_WORKER_SET
    return pod.labels.get(LWS_GROUP, pod.name) if is_group else pod.name


def _cost(uses: list[_Use]) -> WorkloadCost:
    known = [use.usd_per_hour for use in uses if use.usd_per_hour is not None]
    return WorkloadCost(
        replicas=len({use.replica for use in uses}),
        usd_per_hour=sum(known) if len(known) == len(uses) else None,
    )
