"""A small cluster that carries plans out, for what must hold in any schedule of events.

Demand is placed on the fullest node that has room and leaves the emptiest first. Karpenter buys a
node where demand finds no room, and removes one that was empty for longer than it waits, unless it
is held. Nothing in it knows the rules.
"""

from dataclasses import dataclass, field

from fleet.cluster.nodes import CapacityType
from fleet.cluster.owners import Workload
from policies.node_plan import PoolPlan, Verdict
from policies.situation import GangDemand, LeadTime, NodePod, NodeStage, PoolNode, PoolState
from scaler.forecast.running_maximum import MaximumForecast
from tests.policies.pools import LEAD, SERVICE

LOADS_SECONDS = 180.0
GANG = Workload(kind="JobSet", namespace="ml", name="tune")
CAPACITY = tuple(CapacityType)


@dataclass(slots=True, kw_only=True)
class Machine:
    """A node of the cluster."""

    name: str
    gpus: int
    usd_per_hour: float
    capacity_type: CapacityType
    ordered: float
    boots: float
    """Seconds until it is ready."""
    ready_since: float | None = None
    pods: dict[str, float] = field(default_factory=dict)
    """By the pod's name, when it was bound."""
    empty_since: float | None = None
    held_until: float | None = None


@dataclass(slots=True, kw_only=True)
class Cluster:
    """One pool. All times in it are the wall clock's, and lengths of time are not."""

    name: str
    gpus_per_node: int
    now: float
    usd_per_gpu_hour: float = 2.0
    lead: LeadTime = LEAD
    nodes_max: int | None = None
    demand: int = 0
    gang_nodes: int = 0
    spread: float | None = 1.0
    """Of the forecast, in GPUs up to its .5 quantile; None = there is no forecast."""
    spare_of_others: int = 0
    """Nodes without a pod that another owner's buffer wants: Karpenter buys and keeps them."""
    refuses: bool = False
    """What is to go stays, as where a pod comes before the taint."""
    machines: list[Machine] = field(default_factory=list)
    made: int = 0

    def buy(self, nodes: int, capacity_type: CapacityType = CapacityType.ON_DEMAND) -> None:
        for _ in range(nodes):
            self.made += 1
            machine = Machine(
                name=f"{self.name}-{self.made}",
                gpus=self.gpus_per_node,
                usd_per_hour=self.usd_per_gpu_hour * self.gpus_per_node,
                capacity_type=capacity_type,
                ordered=self.now,
                boots=self.lead.boot_seconds,
            )
            self.machines.append(machine)

    def settle(self, seconds: float) -> None:
        """Let so much time pass: machines boot, pods come and go, Karpenter buys."""
        for one in self.machines:
            one.boots -= seconds
            if one.boots <= 0 and one.ready_since is None:
                one.ready_since = self.now
        ready = [one for one in self.machines if one.ready_since is not None]
        self._place(ready)
        for one in ready:
            if one.pods:
                one.empty_since = None
            elif one.empty_since is None:
                one.empty_since = self.now
        room = sum(one.gpus for one in self.machines)
        lacking = -(-max(0, self.demand - room) // self.gpus_per_node)
        unused = sum(not one.pods for one in self.machines) - -(
            -self._waiting // self.gpus_per_node
        )
        lacking = max(lacking, self.spare_of_others - unused)
        if self.nodes_max is not None:
            lacking = min(lacking, self.nodes_max - len(self.machines))
        self.buy(max(0, lacking))

    @property
    def _waiting(self) -> int:
        return max(0, self.demand - sum(len(one.pods) for one in self.machines))

    def _place(self, ready: list[Machine]) -> None:
        placed = sum(len(one.pods) for one in ready)
        for _ in range(placed - self.demand):
            emptiest = min((one for one in ready if one.pods), key=lambda one: len(one.pods))
            emptiest.pods.popitem()
        for _ in range(self.demand - placed):
            with_room = [one for one in ready if len(one.pods) < one.gpus]
            if with_room:
                self.made += 1
                fullest = max(with_room, key=lambda one: len(one.pods))
                fullest.pods[f"{self.name}-pod-{self.made}"] = self.now

    def state(self) -> PoolState:
        return PoolState(
            name=self.name,
            gpus_per_node=self.gpus_per_node,
            usd_per_hour=self.usd_per_gpu_hour * self.gpus_per_node,
            nodes=tuple(map(self._node, self.machines)),
            demand_gpus=float(self.demand),
            forecast=self._forecast(),
            gangs=self._gangs(),
            lead_time=self.lead,
            nodes_max=self.nodes_max,
            consolidate_after_seconds=600.0,
        )

    def carry_out(self, plan: PoolPlan) -> None:
        decided = {one.node: one for one in plan.nodes}
        kept = []
        for machine in self.machines:
            decision = decided[machine.name]
            machine.held_until = decision.until_seconds
            idle = 0.0 if machine.empty_since is None else self.now - machine.empty_since
            spare = sum(not one.pods for one in self.machines) <= self.spare_of_others
            consolidated = decision.verdict is Verdict.LEAVE and idle > 600 and not spare
            released = decision.verdict is Verdict.RELEASE and not self.refuses
            if not released and not consolidated:
                kept.append(machine)
        self.machines = kept
        for order in plan.orders:
            self.buy(order.nodes, order.capacity_type or CapacityType.ON_DEMAND)

    def _node(self, machine: Machine) -> PoolNode:
        ready = machine.ready_since is not None
        return PoolNode(
            name=machine.name,
            uid=machine.name,
            gpus=machine.gpus,
            usd_per_hour=machine.usd_per_hour,
            capacity_type=machine.capacity_type,
            stage=NodeStage.INITIALIZED if ready else NodeStage.LAUNCHED,
            stage_since_seconds=machine.ordered
            if machine.ready_since is None
            else machine.ready_since,
            ordered_seconds=machine.ordered,
            cancellable=True,
            pods=tuple(
                NodePod(
                    uid=pod,
                    name=f"llm/{pod}",
                    workload=SERVICE,
                    gpus=1,
                    ready=bound + LOADS_SECONDS <= self.now,
                    created_seconds=bound,
                )
                for pod, bound in machine.pods.items()
            ),
            empty_since_seconds=machine.empty_since,
            held_by_us_until_seconds=machine.held_until,
        )

    def _forecast(self) -> MaximumForecast | None:
        if self.spread is None:
            return None
        shape = (0.0, 1.0, 3.0, 5.0)
        return MaximumForecast(
            made_at_seconds=self.now,
            last_value=float(self.demand),
            windows_seconds=(600.0, 1200.0, 2400.0),
            levels=(0.25, 0.5, 0.9, 0.99),
            quantiles=tuple(
                tuple(self.demand + self.spread * grows * one for one in shape)
                for grows in (1.0, 1.5, 2.0)
            ),
        )

    def _gangs(self) -> tuple[GangDemand, ...]:
        if self.gang_nodes == 0:
            return ()
        waiting = GangDemand(
            workload=GANG,
            pods=self.gang_nodes,
            gpus_per_pod=self.gpus_per_node,
            waiting_pods=self.gang_nodes,
        )
        return (waiting,)
