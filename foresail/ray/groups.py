"""Worker groups of KubeRay's RayClusters: what a plan asks of one.

KubeRay counts a group in replicas of `numOfHosts` pods each. With in-tree autoscaling Ray's
autoscaler owns `replicas` and would fight with another writer. `minReplicas` is the floor below
which it does not go, and the only field that is changed here. Without autoscaling `replicas`
belongs to the author of the object, who gets advice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Final

from typing_extensions import override

from fleet.cluster.fields import UnreadableObjectError
from fleet.documents import part, text
from foresail.plans_api.plan import Plan
from foresail.ray.scaling import Keep, no_replicas
from policies.levers.change import Address, Change, Verb, expect

_LEVER: Final = "ray-scale"
_COUNT_MAX: Final = 2**31 - 1
"""KubeRay's default of `maxReplicas`."""
Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupTarget:
    """Where a worker group is found."""

    namespace: str
    of_service: bool
    """`owner` is a RayService, whose active RayCluster counts."""
    owner: str
    group: str

    @override
    def __str__(self) -> str:
        kind = "rayservice" if self.of_service else "raycluster"
        return f"{kind}/{self.owner}/{self.group}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerGroup:
    """A worker group of a RayCluster, as its object has it."""

    namespace: str
    cluster: str
    uid: str
    place: int
    """In `workerGroupSpecs`."""
    name: str
    replicas: int | None
    least: int | None
    """`minReplicas`; None = not given, which is 0."""
    most: int
    hosts: int
    """Pods of one replica."""
    autoscaled: bool
    suspended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SetLeast:
    """Set `minReplicas`."""

    before: int
    replicas: int
    pods: int
    why_not_more: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AdviseReplicas:
    """Nobody scales the group: its owner may set `replicas`."""

    before: int
    replicas: int
    pods: int
    why_not_more: str | None = None


def wanted_of_group(
    plan: Plan, group: WorkerGroup | None, *, replica_hosts: int | None
) -> SetLeast | AdviseReplicas | Keep:
    """What a plan asks for.

    Args:
        plan: in replicas of the model.
        group: None where there is no such group.
        replica_hosts: pods that one replica of the model takes; None = those of a group's replica.
    """
    no_plan = no_replicas(plan)
    if no_plan is not None:
        return no_plan
    assert plan.plan is not None
    if group is None or group.suspended:
        return Keep(why="there is no such worker group" if group is None else "it is suspended")
    hosts = group.hosts if replica_hosts is None else replica_hosts
    wanted = ceil(plan.plan.planned * hosts / group.hosts)
    replicas = min(wanted, group.most)
    cut = f"maxReplicas is {group.most}, {wanted} are wanted" if wanted > group.most else None
    before = (group.least if group.autoscaled else group.replicas) or 0
    if replicas == before:
        named = "minReplicas" if group.autoscaled else "replicas"
        return Keep(why=f"{before} is its {named}" + (f"; {cut}" if cut else ""))
    kind = SetLeast if group.autoscaled else AdviseReplicas
    return kind(before=before, replicas=replicas, pods=replicas * group.hosts, why_not_more=cut)


def change_of(group: WorkerGroup, wanted: SetLeast, workload: str) -> Change:
    """The patch of `minReplicas`, which fails where the object is not what was read."""
    at = f"/spec/workerGroupSpecs/{group.place}"
    return Change(
        verb=Verb.PATCH,
        address=Address(
            group="ray.io",
            version="v1",
            kind="RayCluster",
            resource="rayclusters",
            namespace=group.namespace,
            name=group.cluster,
        ),
        lever=_LEVER,
        why=f"the plan of {workload}: minReplicas of group {group.name} to {wanted.replicas}",
        uid=group.uid,
        body=[
            expect("/metadata/uid", group.uid),
            expect("/spec/enableInTreeAutoscaling", value=True),
            expect(f"{at}/groupName", group.name),
            expect(f"{at}/minReplicas", group.least),
            {"op": "add", "path": f"{at}/minReplicas", "value": wanted.replicas},
        ],
    )


def active_cluster_of(service: Json) -> str | None:
    """The RayCluster that serves a RayService; None = none does yet."""
    return text(part(service, "status", "activeServiceStatus"), "rayClusterName")


def group_of(cluster: Json, name: str) -> WorkerGroup | None:
    """A worker group of a RayCluster; None where it has none of that name.

    Raises:
        UnreadableObjectError: it is no RayCluster.
    """
    metadata, spec = part(cluster, "metadata"), part(cluster, "spec")
    uid, named, namespace = (text(metadata, key) for key in ("uid", "name", "namespace"))
    groups = spec.get("workerGroupSpecs") or []
    if uid is None or named is None or namespace is None or not isinstance(groups, Sequence):
        raise UnreadableObjectError("the answer is no RayCluster")
    for place, one in enumerate(groups):
        if isinstance(one, Mapping) and one.get("groupName") == name:
            most = _count(one, "maxReplicas")
            return WorkerGroup(
                namespace=namespace,
                cluster=named,
                uid=uid,
                place=place,
                name=name,
                replicas=_count(one, "replicas"),
                least=_count(one, "minReplicas"),
                most=_COUNT_MAX if most is None else most,
                hosts=max(1, _count(one, "numOfHosts") or 1),
                autoscaled=spec.get("enableInTreeAutoscaling") is True,
                suspended=one.get("suspend") is True or spec.get("suspend") is True,
            )
    return None


def _count(of: Json, key: str) -> int | None:
    value = of.get(key)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _COUNT_MAX:
        raise UnreadableObjectError(f"{key} is no count")
    return value
