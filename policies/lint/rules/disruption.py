"""PodDisruptionBudgets of workloads whose nodes shall be able to leave."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from fleet.documents import Json, is_object, listed, part, text
from policies.lint.finding import Fault, Severity
from policies.lint.objects import Inputs, Object
from policies.lint.pods import SERVING_TYPES, gpu_workloads, pods_in
from policies.lint.rule import rule
from policies.lint.scaled import bounds, scaler_of
from policies.lint.selected import selected, selects

_PERCENT: Final = re.compile(r"([1-9][0-9]?)%")
"""Of minAvailable; 100% never allows one, whatever it covers."""
PDB: Final = "policy/PodDisruptionBudget"
_GROUPED: Final = "leaderworkerset.x-k8s.io/LeaderWorkerSet"


@rule(
    "FS531",
    Severity.WARNING,
    on=PDB,
    what="a disruption budget that never allows one",
    fix="set maxUnavailable: 1",
    source="Kubernetes, specifying a disruption budget; Karpenter, disruption: PDBs",
)
def never_allows(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """No node with such a pod can be drained: not for consolidation, not for an upgrade. Karpenter
    says DisruptionBlocked and pays on.
    """
    for name in ("maxUnavailable", "minAvailable"):
        value = of.spec.get(name)
        at = ("spec", name)
        if (name == "maxUnavailable" and value in (0, "0", "0%")) or (
            name == "minAvailable" and value == "100%"
        ):
            why = "no node with such a pod can ever be drained"
            yield Fault(at=at, why=why, do="set maxUnavailable: 1")
    covered = _covered(of, inputs)
    pods = _most_pods(of, covered, inputs)
    least = None if pods is None else _kept(of.spec.get("minAvailable"), pods)
    if pods is not None and least is not None and 0 < pods <= least:
        whose = f"{covered[0].title} has" if len(covered) == 1 else "its workloads have"
        why = f"{whose} {pods} pods at the most, so none may ever go"
        yield Fault(at=("spec", "minAvailable"), why=why, do="set maxUnavailable: 1 instead")


@rule(
    "FS532",
    Severity.ERROR,
    on=PDB,
    what="two disruption budgets on one pod",
    fix="keep one of them",
    source="Kubernetes, eviction API; Karpenter, pdb.go",
)
def two_budgets(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """The eviction API answers such a pod with an error, so its node cannot be drained at all."""
    budgets = inputs.once(budgets_by_workload)
    for workload in _covered(of, inputs):
        other = next((one for one in budgets[workload] if one.name != of.name), None)
        if other is not None and _share_a_pod(of, other, workload):
            why = f"{other.title} covers {workload.title} too, and evictions fail"
            yield Fault(at=("spec", "selector"), why=why, do="keep one of the two")
            return


def budgets_by_workload(inputs: Inputs) -> Mapping[Object, list[Object]]:
    found: dict[Object, list[Object]] = {}
    for budget in inputs.of(PDB):
        for workload in _covered(budget, inputs):
            found.setdefault(workload, []).append(budget)
    return found


@rule(
    "FS533",
    Severity.INFO,
    on=PDB,
    what="replicas that are evicted while they load",
    fix="leave unhealthyPodEvictionPolicy out where starts take minutes",
    source="Kubernetes, specifying a disruption budget: unhealthyPodEvictionPolicy",
)
def evicts_loading(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """AlwaysAllow lets pods that are not ready go, whatever the budget says, and a model server
    that loads its weights is not ready. It is right where pods hang for ever.
    """
    if text(of.spec, "unhealthyPodEvictionPolicy") != "AlwaysAllow":
        return
    with_gpus = inputs.once(gpu_workloads)
    covered = [one for one in _covered(of, inputs) if one in with_gpus]
    if covered:
        why = f"replicas of {covered[0].title} may be evicted while they load"
        at = ("spec", "unhealthyPodEvictionPolicy")
        yield Fault(at=at, why=why, do="leave it out, or keep it where pods hang for ever")


def covered_by_budget(inputs: Inputs) -> Mapping[Object, list[Object]]:
    found: dict[Object, list[Object]] = {}
    for one in inputs.of(PDB):
        selector = one.spec.get("selector")
        # Without a selector it covers nothing, in v1 with an empty one every pod.
        covers = is_object(selector) and (bool(selector) or one.version == "v1")
        found[one] = selected(one.scope, part(one.spec, "selector"), inputs) if covers else []
    return found


def _covered(of: Object, inputs: Inputs) -> list[Object]:
    return inputs.once(covered_by_budget)[of]


def _kept(given: object, replicas: int) -> int | None:
    """How many of the replicas minAvailable keeps; percentages are rounded up. None = no such."""
    if isinstance(given, int) and not isinstance(given, bool):
        return given if given >= 1 else None
    found = _PERCENT.fullmatch(given) if isinstance(given, str) else None
    return None if found is None else -(-int(found[1]) * replicas // 100)


def _share_a_pod(one: Object, other: Object, workload: Object) -> bool:
    """Whether one pod is in both, and not a group's leader in one and its workers in the other."""
    selectors = [part(budget.spec, "selector") for budget in (one, other)]
    return any(all(selects(each, pod.labels) for each in selectors) for pod in pods_in(workload))


def _most_pods(of: Object, covered: Sequence[Object], inputs: Inputs) -> int | None:
    """The most pods that a budget may cover; None = unknown."""
    selector = part(of.spec, "selector")
    if not part(selector, "matchLabels") and not any(listed(selector, "matchExpressions")):
        return None  # All pods of a namespace, with those that are not among the inputs.
    found: dict[tuple[str, str], int] = {}
    for one in covered:
        replicas, each = _most_replicas(one, inputs), _pods_a_replica(one, selector)
        if replicas is None or each is None:
            return None
        key = (one.type, one.name)
        found[key] = max(replicas * each, found.get(key, 0))
    return sum(found.values())


def _pods_a_replica(workload: Object, selector: Json) -> int | None:
    """How many pods of a replica a selector means; None = unknown."""
    if workload.type != _GROUPED:
        return 1
    size = part(workload.spec, "leaderWorkerTemplate").get("size", 1)
    if not isinstance(size, int):
        return None
    meant = {pod.at[-1]: selects(selector, pod.labels) for pod in pods_in(workload)}
    workers = meant.get("workerTemplate", False)
    return int(meant.get("leaderTemplate", workers)) + workers * (size - 1)


def _most_replicas(workload: Object, inputs: Inputs) -> int | None:
    """The most that it may have, by its ScaledObject, else as the manifest says; None = unknown."""
    scaler = scaler_of(workload, inputs)
    if scaler is not None:
        return max(1, bounds(scaler)[1])
    replicas = workload.spec.get("replicas", 1)
    return replicas if workload.type in SERVING_TYPES and isinstance(replicas, int) else None
