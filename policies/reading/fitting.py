"""The pool that a waiting pod gets a node of, where its objects leave no doubt.

Karpenter tries pools by weight, and a pod says by node selector and tolerations which it may have.
A required node affinity is not understood, so such a pod is matched where only one pool is left.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fleet.cluster.fields import Taint
from fleet.cluster.karpenter import NodePool, Requirement
from fleet.cluster.nodes import KARPENTER_POOL
from fleet.cluster.pods import Pod


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A pool, as far as pods choose by it."""

    name: str
    gpus_per_node: int
    weight: int = 0
    labels: Mapping[str, str]
    """That all its nodes have."""
    made_with: Mapping[str, str] = field(default_factory=dict)
    """Those of them that any new node gets; by the others no new node can be ruled out."""
    node_labels: tuple[Mapping[str, str], ...] = ()
    """Of each node that is there."""
    requirements: tuple[Requirement, ...] = ()
    taints: tuple[Taint, ...] = ()


def candidate_of(
    name: str,
    gpus_per_node: int,
    pool: NodePool | None,
    node_labels: Iterable[Mapping[str, str]],
    node_taints: Iterable[tuple[Taint, ...]],
) -> Candidate:
    """A pool of Karpenter's, or, without one, what its nodes have in common."""
    every = tuple(node_labels)
    common = set(every[0].items()).intersection(*(one.items() for one in every)) if every else ()
    taints = [set(one) for one in node_taints]
    shared = set[Taint].intersection(*taints) if taints else set()
    return Candidate(
        name=name,
        gpus_per_node=gpus_per_node,
        weight=(pool.weight or 0) if pool is not None else 0,
        labels={**dict(common), **_labels_of(name, pool)},
        made_with=_labels_of(name, pool),
        node_labels=every,
        requirements=pool.requirements if pool is not None else (),
        taints=pool.taints if pool is not None else tuple(sorted(shared, key=str)),
    )


def _labels_of(name: str, pool: NodePool | None) -> Mapping[str, str]:
    """Those that Karpenter gives all nodes of a pool, also of one without a node."""
    return {} if pool is None else {KARPENTER_POOL: name, **pool.labels}


def pools_for(pod: Pod, gpus: float, candidates: Iterable[Candidate]) -> list[str]:
    """The pools that the pod may get a node of; one = there is no doubt."""
    fitting = [
        one
        for one in candidates
        if gpus <= one.gpus_per_node
        and all(_may_have(one, key, value) for key, value in pod.node_selector.items())
        and _tolerates(pod, one)
    ]
    if not pod.required_affinity:
        heaviest = max((one.weight for one in fitting), default=0)
        fitting = [one for one in fitting if one.weight == heaviest]
    return [one.name for one in fitting]


def not_ruled_out(pod: Pod, gpus: float, candidate: Candidate) -> bool:
    """Whether nothing that is known keeps the pod off a new node of the pool.

    Other than for `pools_for`, a label that nothing tells of may be there: a driver, the cloud or
    the kubelet sets many only once the node is up.
    """
    if gpus > candidate.gpus_per_node or not _tolerates(pod, candidate):
        return False
    return all(
        candidate.made_with.get(key, value) == value
        and all(_allows(one, value) for one in candidate.requirements if one.key == key)
        for key, value in pod.node_selector.items()
    )


def _tolerates(pod: Pod, candidate: Candidate) -> bool:
    return all(
        not taint.repels or any(each.covers(taint) for each in pod.tolerations)
        for taint in candidate.taints
    )


def _may_have(candidate: Candidate, key: str, value: str) -> bool:
    if key in candidate.labels:
        return candidate.labels[key] == value
    found = [one for one in candidate.requirements if one.key == key]
    if found:
        return all(_allows(one, value) for one in found)
    return any(labels.get(key) == value for labels in candidate.node_labels)


def _allows(requirement: Requirement, value: str) -> bool:
    match requirement.operator:
        case "In":
            return value in requirement.values
        case "NotIn":
            return value not in requirement.values
        case "DoesNotExist":
            return False
        case _:
            return True
