"""A cluster of one node that a gang has, and the MLflow runs beside it, round by round."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from fleet.cluster.kinds import Kind, record_of
from fleet.cluster.reading import Cluster
from foresail.controller.rounds import ClusterRounds, PlannedReplicas
from foresail.controller.run_watch import RunWatch
from foresail.meters.mlflow import MlflowServer
from policies.policy.schema import CapacityPolicy
from tests.policies.test_assess import KNOWN, NOW, Json, initialized, node, pod, pool
from tests.policies.test_node_planning import policies

MINUTE = 60.0
TUNE = {"jobset.sigs.k8s.io/jobset-name": "tune"}


@dataclass
class Hall:
    """The gang's pod started half an hour before `NOW`."""

    watch: RunWatch
    in_force: tuple[CapacityPolicy, ...]
    rounds: ClusterRounds = field(default_factory=lambda: ClusterRounds(KNOWN))
    now: float = NOW
    run_id: str = "r1"
    remarks: tuple[str, ...] = ()
    cluster: Cluster = field(default_factory=lambda: Cluster(name="test"))

    async def round(self, after: float = 0.0, *, leads: bool = True, gang: bool = True) -> str:
        """What is done with the gang's node, so much later."""
        self.now += after
        self.show(gang=gang)
        await self.watch.ask()
        made = self.rounds.make(
            self.cluster, self.in_force, PlannedReplicas(), self.now, self.watch.ends
        )
        self.watch.take(made, leads=leads)
        await self.watch.write()
        (plan,) = made.decided.plan.pools
        self.remarks = made.decided.remarks
        return next(one.verdict.value for one in plan.nodes if one.node == "h100-a")

    def show(self, *, gang: bool = True) -> None:
        begun = datetime.fromtimestamp(NOW - 30 * MINUTE, UTC).isoformat()
        annotations = {"foresail.io/mlflow-run-id": self.run_id}
        member = pod("tune-0", 8, "a", labels=TUNE, annotations=annotations)
        member["status"]["startTime"] = begun
        objects: dict[Kind, list[Json]] = {
            Kind.NODE_POOL: [pool("h100")],
            Kind.NODE_CLAIM: [initialized("h100-a", "a")],
            Kind.NODE: [node("a")],
            Kind.POD: [member] if gang else [],
        }
        records = {kind: [record_of(kind, one) for one in all_] for kind, all_ in objects.items()}
        self.cluster = Cluster.of("test", records)


def hall_of(url: str, spec: str = "mode: act, idleCeiling: {usdPerHour: 1000}") -> Hall:
    """One beside the MLflow at an address, under a policy."""
    made: list[Hall] = []
    watch = RunWatch(
        server=MlflowServer(url=url),
        wall=lambda: made[0].now,
        pods=lambda: made[0].cluster.pods or (),
        writes=True,
    )
    made.append(Hall(watch=watch, in_force=policies(spec)))
    return made[0]
