"""A small cluster with round times: nodes boot in 100 s, pull for 20 s, pods start in 30 s."""

from collections.abc import Callable

from fleet.cluster.owners import Workload
from policies.node_plan import NodeDecision, NodeOrder, NodePlan, PoolPlan
from policies.situation import Situation
from replay.cluster.cluster import Cluster
from replay.cluster.policy import NodePolicy
from replay.cluster.settings import ClusterSettings, GangRun, NodeStartUp, PodChoice, Pool, Service

START_UP = NodeStartUp(boot_seconds=(100, 100), failure_share=0, pull_seconds=20)
POOL = Pool(name="p", start_up=START_UP, consolidate_after_seconds=60)
CHAT = Workload(kind="Deployment", namespace="llm", name="chat")
CODE = Workload(kind="Deployment", namespace="llm", name="code")
JOB = Workload(kind="JobSet", namespace="train", name="tune")


def service(
    *replicas: tuple[float, int],
    workload: Workload = CHAT,
    pools: tuple[str, ...] = ("p",),
    gpus: int = 1,
) -> Service:
    return Service(
        workload=workload, replicas=replicas, pools=pools, gpus_per_pod=gpus, pod_seconds=30
    )


def cluster(
    *services: Service,
    pools: tuple[Pool, ...] = (POOL,),
    gangs: tuple[GangRun, ...] = (),
    policy: NodePolicy | None = None,
    pod_choice: PodChoice = PodChoice.REPLICA_SET,
    seed: int = 1,
) -> Cluster:
    settings = ClusterSettings(
        pools=pools,
        services=services,
        gangs=gangs,
        begin_seconds=0,
        pod_choice=pod_choice,
        seed=seed,
    )
    return Cluster(settings, policy=policy)


class Scripted:
    """Orders and decides what a function says, and keeps what it was shown."""

    def __init__(
        self,
        *,
        orders: Callable[[float], tuple[NodeOrder, ...]] = lambda _: (),
        nodes: Callable[[Situation], tuple[NodeDecision, ...]] = lambda _: (),
        deletion_costs: dict[str, int] | None = None,
        act: bool = True,
    ) -> None:
        self.seen: list[Situation] = []
        self._orders, self._nodes, self._act = orders, nodes, act
        self._deletion_costs = deletion_costs or {}

    def decide(self, situation: Situation) -> NodePlan:
        self.seen.append(situation)
        plan = PoolPlan(
            pool="p",
            act=self._act,
            nodes=self._nodes(situation),
            orders=self._orders(situation.now_seconds),
            deletion_costs=self._deletion_costs,
        )
        return NodePlan(at_seconds=situation.now_seconds, pools=(plan,))
